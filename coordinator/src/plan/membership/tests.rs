//! The gate against brute force, for every membership up to seven, with and without a leader.

use quorate_proto::{Facts, KubernetesFacts, Machine, Term};
use serde_json::{Value, json};

use super::*;
use crate::plan::{ClockOffset, Lane, Sight};

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Healthy,
    Down,
    Learner,
    Unstarted,
}

const ALL: [Is; 4] = [Is::Healthy, Is::Down, Is::Learner, Is::Unstarted];

/// Every membership of one to `most` members.
fn memberships(most: u32) -> impl Iterator<Item = Vec<Is>> {
    (1..=most).flat_map(|size| {
        (0..4_usize.pow(size)).map(move |number| {
            (0..size).map(|place| ALL[number / 4_usize.pow(place) % 4]).collect()
        })
    })
}

fn node(number: usize) -> NodeName {
    format!("cp-{number}").try_into().unwrap()
}

fn address(number: usize) -> IpAddr {
    format!("10.0.0.{number}").parse().unwrap()
}

fn step(number: usize, entry: &str) -> Step {
    let peers = (1..=9).map(|it| json!({ "node": node(it), "address": address(it) }));
    let goal = json!({ "etcd-member": {
        "node": node(number), "address": address(number), "entry": entry,
        "cluster": {
            "name": "lab", "version": "v1.35.4", "endpoint": { "host": "10.0.0.9", "port": 6443 },
            "api_port": 6443, "pod_subnet": "10.244.0.0/16", "service_subnet": "10.96.0.0/12",
            "dns_domain": "cluster.local", "ca": null, "control_planes": peers.collect::<Value>(),
            "cert_sans": [], "kubelet": {}, "kube_proxy": {}, "ignore_preflight_errors": [],
            "image_repository": null,
            "extra_args": { "api_server": {}, "controller_manager": {}, "scheduler": {},
                            "etcd": {}, "kubelet": {} },
        },
    }});
    let goal: Goal = serde_json::from_value(goal).unwrap();
    Step {
        id: StepId { node: node(number), goal: goal.id() },
        goal,
        after: Vec::new(),
        lane: Lane::Membership,
        restarts: None,
        transient: false,
        deadline_s: 1,
    }
}

fn seen(number: usize, etcd: Option<EtcdFacts>, etcd_data: bool) -> (NodeName, Sight) {
    let facts = Facts {
        audit: None,
        nodes: None,
        node: node(number),
        agent_version: String::new(),
        machine: Machine::default(),
        term: Term::default(),
        under_way: None,
        kubernetes: KubernetesFacts { etcd_data, ..KubernetesFacts::default() },
        etcd,
    };
    let clock = ClockOffset::default();
    (node(number), Sight::Seen { facts: Box::new(facts), clock })
}

/// What the nodes of these members tell; only healthy voters answer.
fn observed(members: &[Is], leader: bool) -> Observed {
    let member = |(number, is): (usize, &Is)| EtcdMember {
        id: number.try_into().unwrap(),
        name: if *is == Is::Unstarted { String::new() } else { node(number).to_string() },
        peer_urls: vec![EtcdMember::peer_url(address(number))],
        learner: matches!(is, Is::Learner | Is::Unstarted),
        // As agents judge: without a leader nobody is healthy.
        healthy: leader && matches!(is, Is::Healthy | Is::Learner),
    };
    let told = EtcdFacts {
        cluster_id: 1,
        leader: leader.then_some(1),
        members: (1..).zip(members).map(member).collect(),
    };
    let answers = |is: Is| (is == Is::Healthy).then(|| told.clone());
    let nodes = (1..).zip(members).map(|(number, is)| seen(number, answers(*is), true));
    Observed { nodes: nodes.collect() }
}

/// Whether some set of more than half of these voters is up throughout.
fn some_majority_is_up(up: &[bool]) -> bool {
    (0..1_u32 << up.len()).any(|set| {
        let chosen: Vec<bool> =
            up.iter().enumerate().filter(|(at, _)| set & (1 << at) != 0).map(|it| *it.1).collect();
        chosen.iter().all(|up| *up) && chosen.len() * 2 > up.len()
    })
}

fn voters(members: &[Is]) -> Vec<bool> {
    let votes = members.iter().filter(|is| matches!(is, Is::Healthy | Is::Down));
    votes.map(|is| *is == Is::Healthy).collect()
}

/// A control plane that is no member joins; of the members none has a step left.
#[test]
fn in_every_membership_a_new_member_joins_only_where_a_quorum_stays_if_it_never_starts() {
    let new = step(8, "control-plane");
    for members in memberships(7).filter(|members| members.contains(&Is::Healthy)) {
        for leader in [true, false] {
            let mut observed = observed(&members, leader);
            observed.nodes.extend([seen(8, None, false)]);
            let mut after = voters(&members);
            after.push(after.len() == 1);
            let sound = members.iter().all(|is| *is == Is::Healthy);
            let allowed = sound && some_majority_is_up(&after);
            let found = gate(&[&new], &[], &observed);
            assert_eq!(found.is_ok(), allowed, "{members:?} leader: {leader} {found:?}");
        }
    }
}

/// Every member that is not well has a step left, and so has a new one.
#[test]
fn in_every_membership_members_that_are_not_well_come_first() {
    for members in memberships(6).filter(|members| members.contains(&Is::Healthy)) {
        let observed = observed(&members, true);
        let unwell = (1..).zip(&members).filter(|(_, is)| **is != Is::Healthy);
        let mut steps: Vec<Step> =
            unwell.map(|(number, _)| step(number, "control-plane")).collect();
        let first: Vec<StepId> = steps.iter().map(|step| step.id.clone()).collect();
        steps.push(step(8, "control-plane"));
        let found = gate(&steps.iter().collect::<Vec<_>>(), &[], &observed);
        assert_eq!(found.map(|gate| gate.first), Ok(first), "{members:?}");
    }
}

#[test]
fn an_election_is_waited_for_and_a_lost_quorum_is_not() {
    let new = step(8, "control-plane");
    let told = |members: &[Is]| gate(&[&new], &[], &observed(members, false)).map(|_| ());
    assert_eq!(told(&[Is::Healthy, Is::Healthy, Is::Healthy]), Ok(()), "they elect");
    assert_eq!(told(&[Is::Healthy, Is::Down, Is::Down]), Err(Blocked::NoLeader));
    let back = [&step(2, "control-plane"), &new];
    let members = [Is::Healthy, Is::Down, Is::Healthy];
    let first = gate(&back, &[], &observed(&members, false)).unwrap().first;
    assert_eq!(first, [back[0].id.clone()], "it comes back");
}

#[test]
fn after_a_reboot_of_all_control_planes_members_with_data_come_back_before_others_join() {
    let booted = |number, data| seen(number, None, data);
    let nodes = [booted(1, true), booted(2, true), booted(3, false)];
    let observed = Observed { nodes: nodes.into() };
    let steps: Vec<Step> = (1..=3).map(|number| step(number, "control-plane")).collect();
    let left: Vec<&Step> = steps.iter().collect();
    let first = gate(&left, &[], &observed).unwrap().first;
    assert_eq!(first, [steps[0].id.clone(), steps[1].id.clone()]);
    assert_eq!(gate(&left[2..], &[], &observed), Err(Blocked::EtcdSilent));
}

/// Its member came up after its node was described and before its goals were checked.
#[test]
fn a_founder_that_is_up_since_it_was_looked_at_does_not_block_the_others() {
    let observed = Observed { nodes: [seen(1, None, false), seen(2, None, false)].into() };
    let (founder, joins) = (step(1, "founder"), step(2, "control-plane"));
    assert!(gate(&[&joins], &[&founder], &observed).is_ok());
}

/// Between Describe and Check a join came to its end.
#[test]
fn a_member_whose_check_holds_by_now_does_not_block_the_others() {
    let (joined, new) = (step(2, "control-plane"), step(3, "control-plane"));
    for was in [Is::Learner, Is::Unstarted, Is::Down] {
        let observed = observed(&[Is::Healthy, was], true);
        assert!(gate(&[&new], &[], &observed).is_err(), "{was:?}");
        let found = gate(&[&new], &[&joined], &observed).unwrap();
        assert_eq!((found.first, found.before.voters), (Vec::new(), 2), "{was:?}");
    }
}

/// Its own steps wait for another silent node, such as a load balancer.
#[test]
fn a_voter_that_comes_back_is_not_kept_from_it_by_one_that_has_not_finished() {
    let back = step(1, "founder");
    let mut told = observed(&[Is::Healthy, Is::Learner], true);
    assert!(gate(&[&back], &[], &told).is_ok());
    let new = step(3, "control-plane");
    told.nodes.extend([seen(3, None, false)]);
    let refused = gate(&[&back, &new], &[], &told);
    assert!(
        matches!(refused, Err(Blocked::UnfinishedMember { member: MemberAt { id: 2, .. } })),
        "{refused:?}"
    );
}
