//! What a control plane does next about its member, from what etcd says.

use super::*;

fn voter(name: &str) -> Member {
    let last = name.trim_start_matches("cp-");
    Member {
        id: last.parse().unwrap(),
        name: name.to_owned(),
        peer_urls: vec![format!("https://10.77.0.1{last}:2380")],
        learner: false,
        healthy: true,
    }
}

fn etcd(members: &[Member]) -> EtcdFacts {
    EtcdFacts { cluster_id: 7, leader: Some(1), members: members.to_vec() }
}

/// What cp-2 does next.
fn cp2(facts: &EtcdFacts, has_pod: bool, has_data: bool) -> Next {
    let own = facts.members.iter().find(|member| member.id == 2);
    next(facts, own, has_pod, has_data)
}

#[test]
fn a_new_member_joins_where_all_voters_are_well() {
    assert_eq!(cp2(&etcd(&[voter("cp-1")]), false, false), Next::Join);
    assert_eq!(cp2(&etcd(&[voter("cp-1"), voter("cp-3")]), false, false), Next::Join);
}

#[test]
fn a_new_member_waits_while_a_voter_is_ill_or_another_joins() {
    let ill = Member { healthy: false, ..voter("cp-3") };
    let told = cp2(&etcd(&[voter("cp-1"), ill]), false, false);
    assert_eq!(told, Next::NotYet("the member cp-3 is not healthy".to_owned()));

    let learner = Member { learner: true, ..voter("cp-3") };
    assert!(matches!(cp2(&etcd(&[voter("cp-1"), learner]), false, false), Next::NotYet(_)));
    let unstarted = Member { name: String::new(), ..voter("cp-3") };
    let told = cp2(&etcd(&[voter("cp-1"), unstarted]), false, false);
    assert!(matches!(told, Next::NotYet(why) if why.contains("https://10.77.0.13:2380")));

    let leaderless = EtcdFacts { leader: None, ..etcd(&[voter("cp-1")]) };
    assert!(matches!(cp2(&leaderless, false, false), Next::NotYet(_)));
}

#[test]
fn an_interrupted_join_is_taken_up_where_it_stopped() {
    let unstarted = Member { name: String::new(), learner: true, healthy: false, ..voter("cp-2") };
    let facts = etcd(&[voter("cp-1"), unstarted]);
    assert_eq!(cp2(&facts, false, false), Next::Join, "announced, no static pod yet");
    assert_eq!(cp2(&facts, true, false), Next::Join, "static pod there, not promoted");
    let learner = Member { learner: true, healthy: false, ..voter("cp-2") };
    assert_eq!(cp2(&etcd(&[voter("cp-1"), learner]), true, true), Next::Join, "to be promoted");
    let ill = Member { healthy: false, ..voter("cp-2") };
    assert_eq!(cp2(&etcd(&[voter("cp-1"), ill.clone()]), true, true), Next::Wait);
    assert_eq!(cp2(&etcd(&[voter("cp-1"), ill]), false, true), Next::Join, "its data is there");
}

#[test]
fn data_that_does_not_fit_the_membership_is_never_started() {
    let told = cp2(&etcd(&[voter("cp-1"), voter("cp-2")]), false, false);
    assert!(matches!(told, Next::Refuse(why) if why.contains("quorate node remove cp-2 --alive")));
    assert!(matches!(cp2(&etcd(&[voter("cp-1")]), false, true), Next::Refuse(_)));
}

/// How another member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Healthy,
    Down,
    Learner,
    Unstarted,
}

/// Every membership of one to seven others.
fn memberships() -> impl Iterator<Item = Vec<Is>> {
    let all = [Is::Healthy, Is::Down, Is::Learner, Is::Unstarted];
    (1..=7).flat_map(move |size| {
        (0..4_usize.pow(size)).map(move |number| {
            (0..size).map(|place| all[number / 4_usize.pow(place) % 4]).collect()
        })
    })
}

/// Whether some set of more than half of these voters is up throughout.
fn some_majority_is_up(up: &[bool]) -> bool {
    (0..1_u32 << up.len()).any(|set| {
        let chosen: Vec<bool> =
            up.iter().enumerate().filter(|(at, _)| set & (1 << at) != 0).map(|it| *it.1).collect();
        chosen.iter().all(|up| *up) && chosen.len() * 2 > up.len()
    })
}

fn members(others: &[Is]) -> Vec<Member> {
    let member = |(at, is): (usize, &Is)| Member {
        name: if *is == Is::Unstarted { String::new() } else { format!("cp-{}", at + 3) },
        learner: matches!(is, Is::Learner | Is::Unstarted),
        healthy: *is == Is::Healthy,
        ..voter(&format!("cp-{}", at + 3))
    };
    others.iter().enumerate().map(member).collect()
}

/// The coordinator's gate is held against the same arithmetic, in its own tests: the two agree.
#[test]
fn in_every_membership_it_joins_only_where_a_quorum_stays_if_it_never_starts() {
    for others in memberships() {
        let votes = others.iter().filter(|is| matches!(is, Is::Healthy | Is::Down));
        let mut after: Vec<bool> = votes.map(|is| *is == Is::Healthy).collect();
        after.push(after.len() == 1);
        let allowed = others.iter().all(|is| *is == Is::Healthy) && some_majority_is_up(&after);

        let new = etcd(&members(&others));
        assert_eq!(cp2(&new, false, false) == Next::Join, allowed, "{others:?}");
        let leaderless = EtcdFacts { leader: None, ..new.clone() };
        assert!(matches!(cp2(&leaderless, false, false), Next::NotYet(_)), "{others:?}");

        // Its own member is known already, and has not become a voter.
        for name in ["", "cp-2"] {
            let own =
                Member { name: name.to_owned(), learner: true, healthy: false, ..voter("cp-2") };
            let begun = etcd(&[vec![own], new.members.clone()].concat());
            assert_eq!(cp2(&begun, true, true) == Next::Join, allowed, "{others:?} and {name:?}");
        }
    }
}
