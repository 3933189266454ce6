//! etcd's voters are exactly the control planes, all of them well, of one leader.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{Cluster, KubeNode};
use quorate_proto::{Drift, EtcdFacts, EtcdMember, Finding};

use crate::goal::{Ensure, Work, wait};
use crate::host::{Host, HostError};

/// Elections and snapshots to a new member are over in seconds.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct EtcdHealthy<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for EtcdHealthy<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let cluster = &self.0.cluster;
        let peers = cluster.control_planes.iter();
        let urls: Vec<String> = peers.map(|peer| EtcdMember::client_url(peer.address)).collect();
        let facts = host.etcd(&urls).await?;
        Ok(Finding::from_drifts(drifts(cluster, &facts)))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        wait::until(self, host, work, "all etcd members are healthy voters", PATIENCE).await
    }
}

fn drifts(cluster: &Cluster, facts: &EtcdFacts) -> Vec<Drift> {
    let mut drifts = Vec::new();
    if facts.leader.is_none() {
        drifts.push(Drift::new("etcd's leader", "none", "one"));
    }
    let wanted: BTreeSet<&str> = cluster.control_planes.iter().map(|it| it.node.as_str()).collect();
    let names: BTreeSet<&str> = facts.members.iter().map(|it| it.name.as_str()).collect();
    for name in wanted.difference(&names) {
        drifts.push(Drift::new(format!("etcd member {name}"), "missing", "a healthy voter"));
    }
    for member in &facts.members {
        let found = match (wanted.contains(member.name.as_str()), member.learner, member.healthy) {
            (false, _, _) => "no control plane of the specification",
            (true, true, _) => "a learner",
            (true, false, false) => "not healthy",
            (true, false, true) => continue,
        };
        let name = if member.name.is_empty() { "without a name" } else { &member.name };
        let wanted = if found.starts_with("no ") {
            "removed, as by `quorate node remove`"
        } else {
            "a healthy voter"
        };
        drifts.push(Drift::new(format!("etcd member {name}"), found, wanted));
    }
    drifts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubeadm::sample;

    fn etcd(change: impl Fn(&mut EtcdFacts)) -> Vec<String> {
        let members = sample::CONTROL_PLANES.iter().zip(1..).map(|((name, _), id)| EtcdMember {
            id,
            name: (*name).to_owned(),
            peer_urls: Vec::new(),
            learner: false,
            healthy: true,
        });
        let mut facts = EtcdFacts { cluster_id: 7, leader: Some(1), members: members.collect() };
        change(&mut facts);
        let drifts = drifts(&sample::cluster(), &facts);
        drifts.into_iter().map(|drift| format!("{} is {}", drift.what, drift.found)).collect()
    }

    #[test]
    fn the_voters_are_the_control_planes_and_well() {
        assert_eq!(etcd(|_| {}), Vec::<String>::new());
        assert_eq!(
            etcd(|etcd| etcd.members[1].healthy = false),
            ["etcd member cp-2 is not healthy"]
        );
        assert_eq!(etcd(|etcd| etcd.members[2].learner = true), ["etcd member cp-3 is a learner"]);
        assert_eq!(etcd(|etcd| etcd.leader = None), ["etcd's leader is none"]);
    }

    #[test]
    fn a_member_too_few_and_a_member_too_many_are_named() {
        let drifts = etcd(|etcd| etcd.members[0].name = "old".to_owned());
        assert_eq!(
            drifts,
            [
                "etcd member cp-1 is missing",
                "etcd member old is no control plane of the specification"
            ]
        );
    }
}
