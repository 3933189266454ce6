//! Which removals the agent objects to, whatever the plan says.

use quorate_proto::goal::Entry;

use super::*;
use crate::kubeadm::sample;

/// cp-1 asks; cp-3 is to go, and does not answer.
fn removal() -> MemberRemoval {
    MemberRemoval {
        on: sample::node(Entry::Founder),
        node: sample::name("cp-3"),
        id: 3,
        peer_url: "https://10.77.0.13:2380".to_owned(),
        alive: false,
    }
}

/// cp-1 and cp-2 are well, cp-3 is down.
fn etcd(change: impl Fn(&mut EtcdFacts)) -> EtcdFacts {
    let members = sample::CONTROL_PLANES.iter().zip(1..).map(|((name, address), id)| EtcdMember {
        id,
        name: (*name).to_owned(),
        peer_urls: vec![format!("https://{address}:2380")],
        learner: false,
        healthy: id != 3,
    });
    let mut facts = EtcdFacts { cluster_id: 7, leader: Some(1), members: members.collect() };
    change(&mut facts);
    facts
}

fn told(change: impl Fn(&mut EtcdFacts), alive: bool) -> String {
    let facts = etcd(change);
    let wanted = MemberRemoval { alive, ..removal() };
    match objection(&facts, facts.members.last().unwrap(), &wanted) {
        None => String::new(),
        Some(Objection::Lasting(why)) => why,
        Some(Objection::Passing(why)) => format!("for now: {why}"),
    }
}

#[test]
fn a_dead_voter_an_unstarted_member_and_a_learner_may_go() {
    assert_eq!(told(|_| {}, false), "");
    assert_eq!(told(|etcd| etcd.members[2].name.clear(), false), "");
    assert_eq!(told(|etcd| etcd.members[2].learner = true, false), "");
}

#[test]
fn a_member_that_is_healthy_goes_only_where_that_was_asked_for() {
    let well = |etcd: &mut EtcdFacts| etcd.members[2].healthy = true;
    assert!(told(well, false).contains("`quorate node remove cp-3 --alive`"));
    assert_eq!(told(well, true), "");
}

#[test]
fn a_member_at_another_address_than_the_plan_knew_stays() {
    let moved = |etcd: &mut EtcdFacts| etcd.members[2].peer_urls = vec!["https://x:2380".into()];
    assert!(told(moved, true).contains("is at https://x:2380 now"));
}

#[test]
fn the_askers_own_member_stays() {
    let facts = etcd(|_| {});
    let wanted = MemberRemoval {
        id: 1,
        peer_url: "https://10.77.0.11:2380".to_owned(),
        alive: true,
        ..removal()
    };
    let objection = objection(&facts, &facts.members[0], &wanted);
    assert!(matches!(objection, Some(Objection::Lasting(why)) if why.contains("cp-1's own")));
}

#[test]
fn nothing_is_removed_that_the_quorum_needs() {
    let two_down = |etcd: &mut EtcdFacts| etcd.members[1].healthy = false;
    assert!(told(two_down, false).contains("1 healthy voters of 2, and 2 must agree"));
    let other_down = |etcd: &mut EtcdFacts| {
        (etcd.members[1].healthy, etcd.members[2].healthy) = (false, true);
    };
    assert!(told(other_down, true).contains("another voter than cp-3 is not healthy"));
    let alone = |etcd: &mut EtcdFacts| drop(etcd.members.drain(..2));
    assert!(told(alone, true).contains("last voter"));
    assert!(told(|etcd| etcd.leader = None, false).starts_with("for now: etcd has no leader"));
}

#[test]
fn while_another_member_joins_no_voter_goes() {
    let joining = |etcd: &mut EtcdFacts| etcd.members[1].learner = true;
    assert!(told(joining, false).contains("the etcd member 2 at https://10.77.0.12:2380"));
    let both = |etcd: &mut EtcdFacts| {
        (etcd.members[1].learner, etcd.members[2].learner) = (true, true);
    };
    assert_eq!(told(both, false), "", "one of two has to be the first to go");
}
