//! etcd's arithmetic: what a change of membership would do to the cluster's quorum, told before.

use quorate_proto::{EtcdFacts, EtcdMember};
use serde::{Deserialize, Serialize};

/// Members of etcd, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Members that vote, healthy or not.
    pub voters: usize,
    /// Voters that do not answer.
    pub unhealthy: usize,
    /// Members that do not vote yet, or have never started.
    pub unfinished: usize,
}

impl Count {
    /// Of the members that one of them knows.
    pub fn of(etcd: &EtcdFacts) -> Self {
        let finished = etcd.members.iter().filter(|member| !is_unfinished(member));
        let unhealthy = finished.clone().filter(|member| !member.healthy).count();
        let voters = finished.count();
        Self { voters, unhealthy, unfinished: etcd.members.len().saturating_sub(voters) }
    }

    /// Voters that must agree.
    pub fn quorum(self) -> usize {
        self.voters / 2 + 1
    }

    /// Voters that may fail further before writes stop; what is unhealthy has failed already.
    pub fn tolerance(self) -> usize {
        self.voters.saturating_sub(self.unhealthy).saturating_sub(self.quorum())
    }

    /// Whether enough voters are healthy for the cluster to accept writes.
    pub fn writes(self) -> bool {
        self.voters.saturating_sub(self.unhealthy) >= self.quorum()
    }
}

/// A member that does not vote yet, or was added and has never started.
pub(crate) fn is_unfinished(member: &EtcdMember) -> bool {
    member.learner || member.name.is_empty()
}

/// One change of the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A new member joins.
    Add,
    /// A voter leaves.
    Remove { healthy: bool },
    /// A member leaves that never became a voter: it began to join and will not finish.
    RemoveUnfinished,
}

/// What a change would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    pub before: Count,
    /// At worst: a new member counts as unhealthy until it has proved otherwise.
    pub after: Count,
    /// `Some`: the change must not be made.
    pub refused: Option<Refusal>,
}

/// Why a change must not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a member has begun to join and has not finished; finish or remove that one first")]
    Unfinished,
    #[error("a voter is not healthy; bring it back or remove it first")]
    Unhealthy,
    #[error(
        "it would leave {healthy} healthy voters where {quorum} must agree; bring a voter back first"
    )]
    LosesQuorum { healthy: usize, quorum: usize },
    #[error("it would remove the last member, and the cluster with it")]
    LastMember,
}

/// Projects a change, by the rule of Cluster API's control plane controller: the membership that
/// results must keep its quorum even if the new member never starts. The step from one member to
/// two is the exception, as no cluster could grow without it.
pub fn project(before: Count, change: Change) -> Projection {
    let after = match change {
        Change::Add => {
            let unhealthy = before.unhealthy + usize::from(before.voters > 1);
            Count { voters: before.voters + 1, unhealthy, ..before }
        }
        Change::Remove { healthy } => Count {
            voters: before.voters.saturating_sub(1),
            unhealthy: before.unhealthy.saturating_sub(usize::from(!healthy)),
            ..before
        },
        Change::RemoveUnfinished => {
            Count { unfinished: before.unfinished.saturating_sub(1), ..before }
        }
    };
    Projection { before, after, refused: refusal(before, after, change) }
}

fn refusal(before: Count, after: Count, change: Change) -> Option<Refusal> {
    // To remove an unfinished member is the way out, where its join cannot be finished.
    if before.unfinished > 0 && change != Change::RemoveUnfinished {
        return Some(Refusal::Unfinished);
    }
    if change == Change::Add && before.unhealthy > 0 {
        return Some(Refusal::Unhealthy);
    }
    if after.voters == 0 {
        return Some(Refusal::LastMember);
    }
    if !after.writes() {
        let healthy = after.voters.saturating_sub(after.unhealthy);
        return Some(Refusal::LosesQuorum { healthy, quorum: after.quorum() });
    }
    // Whoever gives a healthy voter away has lost one too many if another is lost already.
    let gives_away = change == Change::Remove { healthy: true };
    (gives_away && before.unhealthy > 0).then_some(Refusal::Unhealthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy(voters: usize) -> Count {
        Count { voters, ..Count::default() }
    }

    #[test]
    fn tolerance_is_what_etcd_documents() {
        let tolerances: Vec<_> = (0..=7).map(|voters| healthy(voters).tolerance()).collect();
        assert_eq!(tolerances, [0, 0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn a_healthy_cluster_may_always_grow() {
        for voters in 1..=7 {
            assert_eq!(project(healthy(voters), Change::Add).refused, None, "{voters}");
        }
    }

    #[test]
    fn of_three_with_one_down_only_that_one_may_go() {
        let one_down = Count { unhealthy: 1, ..healthy(3) };
        let refused = |change| project(one_down, change).refused;
        assert_eq!(refused(Change::Add), Some(Refusal::Unhealthy));
        assert_eq!(
            refused(Change::Remove { healthy: true }),
            Some(Refusal::LosesQuorum { healthy: 1, quorum: 2 })
        );
        assert_eq!(refused(Change::Remove { healthy: false }), None);
    }

    /// Majorities counted one by one: a set of members agrees if more than half of all voters are
    /// in it, and writes go on if some such set is healthy throughout.
    fn some_majority_is_healthy(voters: &[bool]) -> bool {
        (0..1_u32 << voters.len()).any(|set| {
            let chosen = |at: usize| set & (1 << at) != 0;
            let size = (0..voters.len()).filter(|at| chosen(*at)).count();
            let all_healthy = voters.iter().enumerate().all(|(at, up)| *up || !chosen(at));
            all_healthy && size * 2 > voters.len()
        })
    }

    #[test]
    fn no_allowed_change_can_stop_writes_in_any_membership_up_to_seven() {
        for voters in 0..=7_usize {
            for unhealthy in 0..=voters {
                for unfinished in 0..=7 - voters {
                    check(Count { voters, unhealthy, unfinished });
                }
            }
        }
    }

    fn check(before: Count) {
        let members: Vec<bool> = (0..before.voters).map(|at| at >= before.unhealthy).collect();
        let without = |healthy: bool| {
            let mut left = members.clone();
            left.iter().position(|up| *up == healthy).map(|at| {
                left.remove(at);
                left
            })
        };
        let mut grown = members.clone();
        // The worst that a new member can do is never to start.
        grown.push(before.voters <= 1);
        let cases = [
            (Change::Add, Some(grown)),
            (Change::Remove { healthy: true }, without(true)),
            (Change::Remove { healthy: false }, without(false)),
            (Change::RemoveUnfinished, (before.unfinished > 0).then(|| members.clone())),
        ];
        for (change, after) in cases {
            let Some(after) = after else { continue };
            let discards = change == Change::RemoveUnfinished;
            let bears_the_ill = discards || change == Change::Remove { healthy: false };
            let clean =
                (before.unfinished == 0 || discards) && (before.unhealthy == 0 || bears_the_ill);
            let allowed = clean && some_majority_is_healthy(&after);
            let projection = project(before, change);
            assert_eq!(projection.refused.is_none(), allowed, "{before:?} {change:?}");
            assert_eq!(projection.after.voters, after.len());
        }
    }
}
