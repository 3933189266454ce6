//! This control plane's etcd member: started, a voter, well, and of the one cluster.
//!
//! The plan lets one member join at a time and has projected the membership. The agent looks once
//! more, right before it changes anything: what the plan saw may be minutes old.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{Entry, KubeNode};
use quorate_proto::{ActivityKind, Drift, EtcdFacts, EtcdMember as Member, Finding};

use crate::goal::kubeadm::pods;
use crate::goal::replacement::{self, Replacement};
use crate::goal::{Ensure, Work, wait};
use crate::host::{Host, HostError};
use crate::kubeadm::{ETCD_DATA, manifest, phase, render};

const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
/// Arguments that count for a member without data alone.
const FIRST_START: [&str; 2] = ["initial-cluster", "initial-cluster-state"];
/// etcd starts in seconds; the kubelet may first have to pull its image.
const PATIENCE: Duration = Duration::from_secs(180);
/// The membership before this one may still be settling; elections are over in seconds.
const SETTLING: Duration = Duration::from_secs(60);

pub(super) struct EtcdMember<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for EtcdMember<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let what = format!("etcd member {}", self.0.node);
        let wanted = "a started, healthy voter";
        let found = if host.read(MANIFEST).await?.is_none() {
            Some("no static pod".to_owned())
        } else {
            match host.etcd(&self.peers()).await {
                Ok(facts) => {
                    let has_data = !host.list(ETCD_DATA).await?.is_empty();
                    if has_data && facts.leader.is_some() && self.own(&facts).is_none() {
                        return Ok(Finding::Refused { why: removed() });
                    }
                    self.shortcoming(&facts)
                }
                // The member is this node's own: that nobody answers is a fact about it.
                Err(HostError::Silent { service, .. }) => {
                    Some(format!("{service} does not answer"))
                }
                Err(other) => return Err(other),
            }
        };
        if let Some(found) = found {
            return Ok(Finding::Drifted(vec![Drift::new(what, found, wanted)]));
        }
        let mut drifts = self.settings(host).await?;
        let kept = Replacement { name: "etcd", files: &[] };
        if drifts.is_empty() && kept.is_open(host).await? {
            drifts.push(Drift::new(MANIFEST, "not proved to work yet", "serving").in_use());
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let files = [(MANIFEST.to_owned(), 0o600)];
        let replaced = Replacement { name: "etcd", files: &files };
        if replaced.is_open(host).await? || self.check(host).await?.is_in_use() {
            return self.change(host, work, &replaced).await;
        }
        match self.0.entry {
            Entry::Founder => self.found(host, work).await?,
            Entry::ControlPlane => self.join(host, work).await?,
            Entry::Worker => {
                return Err(HostError::Refused("a worker has no etcd member".to_owned()));
            }
        }
        let what = format!("the etcd member {} is a healthy voter", self.0.node);
        wait::until(self, host, work, &what, PATIENCE).await
    }
}

impl EtcdMember<'_> {
    /// Restarts the member with other arguments: with its data it comes back as the member that it is.
    async fn change(
        &self,
        host: &dyn Host,
        work: &Work<'_>,
        replaced: &Replacement<'_>,
    ) -> Result<(), HostError> {
        replaced.keep(host).await?;
        let healthy = format!("the etcd member {} is a healthy voter", self.0.node);
        let changed = async {
            phase::init(host, work, self.0, "etcd local").await?;
            wait::until(&Running(self), host, work, &healthy, PATIENCE).await
        };
        if let Err(error) = changed.await {
            work.progress.doing(ActivityKind::Own, "putting the former manifest of etcd back");
            replaced.restore(host).await?;
            wait::until(&Voting(self), host, work, &healthy, PATIENCE).await?;
            replaced.close(host).await?;
            return Err(replacement::undone(self.0.node.as_str(), "etcd", &error));
        }
        replaced.close(host).await
    }

    async fn shortcomings(&self, host: &dyn Host) -> Result<Option<String>, HostError> {
        match host.etcd(&self.peers()).await {
            Ok(facts) => Ok(self.shortcoming(&facts)),
            // The member is this node's own: that nothing answers is a fact about it.
            Err(HostError::Silent { service, .. }) => {
                Ok(Some(format!("{service} does not answer")))
            }
            Err(other) => Err(other),
        }
    }

    /// What the member runs by, where that is not what the specification asks for.
    async fn settings(&self, host: &dyn Host) -> Result<Vec<Drift>, HostError> {
        let found = manifest::read(host, "etcd").await?.unwrap_or_default();
        let rendered = render::rendered(host, self.0).await?;
        let wanted = rendered.pod("etcd").cloned().unwrap_or_default();
        let drifts = pods::drifts("etcd", &found, &wanted, &FIRST_START);
        if !drifts.is_empty() {
            return Ok(drifts);
        }
        pods::process_drifts(host, "etcd", &wanted.args, &FIRST_START).await
    }

    async fn found(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let node = &self.0.node;
        if host.read(MANIFEST).await?.is_some() {
            return Ok(());
        }
        if !host.list(ETCD_DATA).await?.is_empty() {
            return Err(HostError::Refused(format!(
                "{node} holds etcd's data in {ETCD_DATA} and no static pod that serves it: if the \
                 data is this cluster's, put /etc/kubernetes/manifests/etcd.yaml back; if it is \
                 of no use, move it away, then run `quorate apply` again"
            )));
        }
        match host.etcd(&self.peers()).await {
            Ok(facts) => {
                return Err(HostError::Refused(format!(
                    "etcd answers already, with {} members: {node} must not found another. Look \
                     at the control planes with `quorate status`, and run `quorate plan` again",
                    facts.members.len()
                )));
            }
            Err(HostError::Silent { .. }) => {}
            Err(other) => return Err(other),
        }
        phase::init(host, work, self.0, "etcd local").await
    }

    async fn join(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let node = &self.0.node;
        work.progress.doing(ActivityKind::Wait, format!("waiting until {node} may join etcd"));
        let begun_ms = host.uptime_ms();
        loop {
            let why = match self.next(host).await? {
                Next::Wait => return Ok(()),
                Next::Join => return phase::join(host, work, self.0, "etcd-join").await,
                Next::Refuse(why) => return Err(HostError::Refused(format!("{node} {why}"))),
                Next::NotYet(why) => why,
            };
            if u128::from(host.uptime_ms().saturating_sub(begun_ms)) >= SETTLING.as_millis() {
                return Err(HostError::NotYet(format!("{node} cannot join etcd: {why}")));
            }
            host.pause(Duration::from_millis(250)).await;
        }
    }

    async fn next(&self, host: &dyn Host) -> Result<Next, HostError> {
        let facts = match host.etcd(&self.peers()).await {
            Ok(facts) => facts,
            Err(HostError::Silent { service, .. }) => {
                return Ok(Next::NotYet(format!("{service} does not answer")));
            }
            Err(other) => return Err(other),
        };
        let has_pod = host.read(MANIFEST).await?.is_some();
        let has_data = !host.list(ETCD_DATA).await?.is_empty();
        Ok(next(&facts, self.own(&facts), has_pod, has_data))
    }

    /// What this node's member lacks; `None` if nothing.
    fn shortcoming(&self, facts: &EtcdFacts) -> Option<String> {
        let Some(own) = self.own(facts) else { return Some("not a member".to_owned()) };
        if own.name != self.0.node.as_str() {
            return Some("not started yet".to_owned());
        }
        if own.learner {
            return Some("a learner".to_owned());
        }
        if facts.leader.is_none() {
            return Some("without a leader".to_owned());
        }
        // How the others are is another goal's affair: this member does not get well by theirs.
        (!own.healthy).then(|| "not healthy".to_owned())
    }

    fn own<'f>(&self, facts: &'f EtcdFacts) -> Option<&'f Member> {
        let url = Member::peer_url(self.0.address);
        facts.members.iter().find(|member| member.peer_urls.contains(&url))
    }

    /// Where the other control planes' members listen.
    fn peers(&self) -> Vec<String> {
        let others = self.0.cluster.control_planes.iter().filter(|peer| peer.node != self.0.node);
        others.map(|peer| Member::client_url(peer.address)).collect()
    }
}

/// The member votes and is healthy.
struct Voting<'a>(&'a EtcdMember<'a>);

#[async_trait]
impl Ensure for Voting<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let found = self.0.shortcomings(host).await?;
        let drift = found.map(|found| Drift::new("etcd member", found, "a healthy voter"));
        Ok(Finding::from_drifts(drift.into_iter().collect()))
    }

    async fn apply(&self, _: &dyn Host, _: &Work<'_>) -> Result<(), HostError> {
        Ok(())
    }
}

/// The same, by the arguments of its manifest.
struct Running<'a>(&'a EtcdMember<'a>);

#[async_trait]
impl Ensure for Running<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = self.0.settings(host).await?;
        if host.processes("etcd").await?.is_empty() {
            drifts.push(Drift::new("process etcd", "none", "running"));
        }
        if drifts.is_empty() {
            Voting(self.0).check(host).await
        } else {
            Ok(Finding::Drifted(drifts))
        }
    }

    async fn apply(&self, _: &dyn Host, _: &Work<'_>) -> Result<(), HostError> {
        Ok(())
    }
}

/// What a further control plane does next about its member.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It is on its way: nothing to change.
    Wait,
    /// `etcd-join`, which adds the member unless its peer URL is known, and promotes it.
    Join,
    NotYet(String),
    Refuse(String),
}

fn next(facts: &EtcdFacts, own: Option<&Member>, has_pod: bool, has_data: bool) -> Next {
    let foreign = |member: &&Member| own.is_none_or(|own| own.id != member.id);
    let unsettled = |member: &&Member| member.learner || member.name.is_empty();
    if let Some(own) = own.filter(|own| !own.learner && !own.name.is_empty()) {
        return match (has_pod, has_data) {
            (true, _) => Next::Wait,
            // The member's data outranks the flags for a first start: it comes back as it was.
            (false, true) => Next::Join,
            (false, false) => Next::Refuse(format!(
                "is the etcd member {name} ({:x}) by the others' word, yet has lost its data: take \
                 it out of the specification, run `quorate node remove {name} --alive` and, on the \
                 node, `kubeadm reset`; then put it back and run `quorate apply` again",
                own.id,
                name = own.name,
            )),
        };
    }
    if own.is_none() && has_data {
        return Next::Refuse(removed());
    }
    if facts.leader.is_none() {
        return Next::NotYet("etcd has no leader".to_owned());
    }
    if let Some(other) = facts.members.iter().filter(foreign).find(unsettled) {
        return Next::NotYet(format!("another member is still joining ({})", label(other)));
    }
    // The new member counts as a voter that is down, as it may stay one: what is left must still be
    // a quorum. Only the first member has no choice.
    let others = || facts.voters().filter(foreign);
    let healthy = others().filter(|voter| voter.healthy).count();
    if let Some(ill) = others().find(|voter| !voter.healthy) {
        return Next::NotYet(format!("the member {} is not healthy", label(ill)));
    }
    let after = others().count() + 1;
    if after > 2 && healthy < after / 2 + 1 {
        return Next::NotYet(format!("{healthy} of {after} voters would be no quorum"));
    }
    Next::Join
}

fn removed() -> String {
    format!(
        "holds in {ETCD_DATA} the data of a member that etcd does not know any more, and cannot join with it: if \
         that data may go, run `kubeadm reset -f` there, then the same command again"
    )
}

fn label(member: &Member) -> &str {
    let url = || member.peer_urls.first().map_or("without a name", String::as_str);
    if member.name.is_empty() { url() } else { &member.name }
}

#[cfg(test)]
mod tests;
