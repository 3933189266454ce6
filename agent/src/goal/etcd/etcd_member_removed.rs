//! A member that somebody asked to remove is in etcd no more.
//!
//! The plan has projected the membership. The agent looks once more, right before it changes
//! anything: the member may have come back meanwhile, or another one may have failed.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::MemberRemoval;
use quorate_proto::{ActivityKind, Drift, EtcdFacts, EtcdMember, Finding};

use crate::goal::{Ensure, Work, wait};
use crate::host::{Host, HostError};

/// Where the leader itself was removed, the others elect another within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

#[async_trait]
impl Ensure for MemberRemoval {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let facts = ask(self, host).await?;
        let label = format!("etcd member {} ({:x})", self.node, self.id);
        let Some(member) = find(self, &facts) else {
            let drift = || Drift::new("etcd's leader", "none", "one");
            return Ok(Finding::from_drifts(
                facts.leader.is_none().then(drift).into_iter().collect(),
            ));
        };
        Ok(match objection(&facts, member, self) {
            Some(Objection::Lasting(why)) => Finding::Refused { why },
            Some(Objection::Passing(_)) | None => {
                Finding::Drifted(vec![Drift::new(label, state(member), "removed")])
            }
        })
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let Self { node, id, .. } = self;
        let facts = ask(self, host).await?;
        if let Some(member) = find(self, &facts) {
            match objection(&facts, member, self) {
                Some(Objection::Lasting(why)) => return Err(HostError::Refused(why)),
                Some(Objection::Passing(why)) => return Err(HostError::NotYet(why)),
                None => {}
            }
            let doing = format!("removing the etcd member {node} ({id:x})");
            work.progress.doing(ActivityKind::Own, doing);
            host.remove_etcd_member(*id).await?;
        }
        let what = format!("etcd goes on without {node}");
        wait::until(self, host, work, &what, PATIENCE).await
    }
}

async fn ask(removal: &MemberRemoval, host: &dyn Host) -> Result<EtcdFacts, HostError> {
    let peers = removal.on.cluster.control_planes.iter();
    let urls: Vec<String> = peers.map(|peer| EtcdMember::client_url(peer.address)).collect();
    host.etcd(&urls).await
}

fn find<'f>(removal: &MemberRemoval, facts: &'f EtcdFacts) -> Option<&'f EtcdMember> {
    facts.members.iter().find(|member| member.id == removal.id)
}

/// Why a member must not be removed.
#[derive(Debug, PartialEq, Eq)]
enum Objection {
    /// A person has to decide anew.
    Lasting(String),
    /// It may pass by itself.
    Passing(String),
}

fn objection(facts: &EtcdFacts, member: &EtcdMember, wanted: &MemberRemoval) -> Option<Objection> {
    let MemberRemoval { on, node, id, peer_url, alive } = wanted;
    let lasting = |why: String| Some(Objection::Lasting(why));
    if !member.peer_urls.contains(peer_url) {
        return lasting(format!(
            "the etcd member {id:x} is at {} now, and the plan knew it at {peer_url}: look at \
             `quorate status`, and run the same command again",
            member.peer_urls.join(", ")
        ));
    }
    if member.peer_urls.contains(&EtcdMember::peer_url(on.address)) {
        return lasting(format!("the etcd member {id:x} is {}'s own, which stays", on.node));
    }
    if member.healthy && !alive {
        return lasting(format!(
            "the etcd member {node} ({id:x}) is healthy: its machine runs. Put {node} back into the \
             specification to keep it; to remove it all the same, run `quorate node remove {node} \
             --alive`"
        ));
    }
    if facts.leader.is_none() {
        return Some(Objection::Passing("etcd has no leader: its membership cannot change".into()));
    }
    let others = || facts.members.iter().filter(|other| other.id != *id);
    let is_joining = |member: &EtcdMember| member.learner || member.name.is_empty();
    if let Some(other) = others().find(|other| is_joining(other)).filter(|_| !is_joining(member)) {
        return lasting(format!(
            "the etcd member {:x} at {} has begun to join and has not finished: finish its join with \
             `quorate apply`, or remove that one first",
            other.id,
            other.peer_urls.join(", ")
        ));
    }
    let voters = others().filter(|other| !other.learner);
    let (all, healthy) = (voters.clone().count(), voters.filter(|voter| voter.healthy).count());
    if all == 0 {
        return lasting(format!("{node} is etcd's last voter: without it the cluster is gone"));
    }
    if member.healthy && healthy < all {
        return lasting(format!(
            "another voter than {node} is not healthy, and {node} is: remove that one first, or \
             bring it back"
        ));
    }
    let quorum = all / 2 + 1;
    (healthy < quorum).then(|| {
        Objection::Lasting(format!(
            "without {node} etcd would have {healthy} healthy voters of {all}, and {quorum} must \
             agree: bring one back first"
        ))
    })
}

fn state(member: &EtcdMember) -> &'static str {
    match (member.name.is_empty(), member.learner, member.healthy) {
        (true, _, _) => "added and never started",
        (false, true, _) => "a learner",
        (false, false, true) => "a healthy voter",
        (false, false, false) => "a voter that is not healthy",
    }
}

#[cfg(test)]
mod tests;
