//! A node is taken out by a plan that somebody asked for: what it lists, and what stands against it.

use quorate::plan::{Blocked, Findings, Observed, Plan, Refusal, Sight, Warning, pending};
use quorate::procedure::{Procedure, Removal};
use quorate::spec::ClusterSpec;
use quorate_proto::{EtcdMember, Finding, OperationId, Term, UnderWay};
use quorate_tests::sim::{name, sample};

use super::plan::{each_view, facts_mut, member_mut, risen};

/// cp-3 is lost and cp-4 has its place in the specification; cp-1 and cp-2 are well.
struct Loss {
    spec: ClusterSpec,
    observed: Observed,
    removal: Removal,
}

impl Loss {
    fn of_a_voter() -> Self {
        let (world, mut observed) = risen(3, 1);
        each_view(&mut observed, |etcd| {
            // They joined in any order.
            for (id, node) in [(1, "cp-1"), (2, "cp-2"), (3, "cp-3")] {
                member_mut(etcd, node).id = id;
            }
            etcd.leader = Some(1);
            member_mut(etcd, "cp-3").healthy = false;
        });
        let mut spec = world.spec;
        let lost = spec.nodes.iter_mut().find(|node| node.name == name("cp-3")).unwrap();
        (lost.name, lost.address) = (name("cp-4"), "10.77.0.14".parse().unwrap());
        let Some(Sight::Seen { mut facts, clock }) = observed.nodes.remove(&name("cp-3")) else {
            panic!("cp-3 was seen")
        };
        facts.node = name("cp-4");
        (facts.kubernetes, facts.etcd) = Default::default();
        observed.nodes.insert(name("cp-4"), Sight::Seen { facts, clock });
        let removal = Removal { node: name("cp-3"), addresses: Vec::new(), alive: false };
        Self { spec, observed, removal }
    }

    /// Changes what every member says of cp-3's.
    fn member(mut self, change: impl Fn(&mut EtcdMember)) -> Self {
        for node in ["cp-1", "cp-2"] {
            let etcd = facts_mut(&mut self.observed, node).etcd.as_mut().unwrap();
            change(member_mut(etcd, "cp-3"));
        }
        self
    }

    fn other_voter_down(mut self) -> Self {
        for node in ["cp-1", "cp-2"] {
            let etcd = facts_mut(&mut self.observed, node).etcd.as_mut().unwrap();
            member_mut(etcd, "cp-2").healthy = false;
        }
        self
    }

    /// The plan of a procedure of which nothing holds yet.
    fn plan(&self, procedure: &Procedure) -> Result<Plan, Blocked> {
        let outline = procedure.outline(&self.spec, &self.observed)?;
        let findings: Findings = outline
            .steps
            .iter()
            .filter(|step| self.observed.silence(&step.id.node).is_none())
            .map(|step| (step.id.clone(), Finding::Drifted(Vec::new())))
            .collect();
        pending(&outline, &findings, &self.observed)
    }

    fn removed(&self) -> Result<Plan, Blocked> {
        self.plan(&Procedure::Remove(self.removal.clone()))
    }

    fn steps(&self) -> Vec<String> {
        let plan = self.removed().unwrap();
        plan.steps.iter().map(|left| left.step.id.to_string()).collect()
    }

    /// What `quorate apply` says.
    fn told(&self) -> String {
        self.plan(&Procedure::BringUp).unwrap_err().to_string()
    }
}

fn unstarted(member: &mut EtcdMember) {
    member.name.clear();
    member.learner = true;
}

#[test]
fn the_member_goes_first_and_then_the_node() {
    let loss = Loss::of_a_voter();
    let plan = loss.removed().unwrap();
    assert_eq!(loss.steps(), ["cp-1/etcd-member-removed:cp-3", "cp-1/node-removed:cp-3"]);
    assert_eq!(plan.steps[1].step.after, [plan.steps[0].step.id.clone()]);
    let tolerance = plan.tolerance.unwrap();
    assert_eq!((tolerance.before.voters, tolerance.after.voters), (3, 2));
    assert_eq!((tolerance.before.tolerance(), tolerance.after.tolerance()), (0, 0));
    assert!(plan.warnings.contains(&Warning::MachineKept { node: name("cp-3") }));
}

#[test]
fn a_replacement_is_told_who_stands_in_its_way_and_by_which_command_they_go() {
    let at = "https://10.77.0.13:2380";
    let named = format!("etcd's member cp-3 (3 at {at}) belongs to none");
    let command = "run `quorate node remove cp-3`";
    let loss = Loss::of_a_voter();
    assert!(loss.told().starts_with(&named) && loss.told().ends_with(command), "{}", loss.told());
    let loss = Loss::of_a_voter().member(|member| member.learner = true);
    assert!(loss.told().starts_with(&named) && loss.told().ends_with(command), "{}", loss.told());
    let told = Loss::of_a_voter().member(unstarted).told();
    assert!(told.starts_with(&format!("etcd's member 3 at {at}, which has never started, ")));
    assert!(told.contains("`quorate node remove NAME --address 10.77.0.13`"), "{told}");
}

#[test]
fn a_spec_that_still_names_the_lost_node_says_both_ways_out() {
    let command = "take it out of the specification and run `quorate node remove cp-3";
    let mut cases = vec![];
    let changes: [fn(&mut EtcdMember); 3] = [|it| it.learner = true, unstarted, |_| {}];
    for change in changes {
        let mut loss = Loss::of_a_voter().member(change);
        let back = sample(4, 0).nodes.into_iter().find(|node| node.name == name("cp-3")).unwrap();
        loss.spec.nodes.push(back);
        let why = "no route to host".to_owned();
        loss.observed.nodes.insert(name("cp-3"), Sight::Silent { why });
        cases.push(loss.told());
    }
    let [learner, unstarted, voter] = cases.try_into().unwrap();
    assert!(learner.contains("cp-3 (3 at") && learner.contains("start its agent or"), "{learner}");
    assert!(unstarted.ends_with("remove cp-3 --address 10.77.0.13`"), "{unstarted}");
    assert!(voter.contains("start its machine"), "{voter}");
    for told in [learner, unstarted, voter] {
        assert!(told.contains(command), "{told}");
    }
}

#[test]
fn a_member_that_never_started_is_known_by_its_address_alone() {
    let mut loss = Loss::of_a_voter().member(unstarted);
    let blocked = loss.removed().unwrap_err();
    assert!(matches!(&blocked, Blocked::NamelessMember { member, .. } if member.id == 3));
    let command = "`quorate node remove cp-3 --address 10.77.0.13`";
    assert!(blocked.to_string().contains(command), "{blocked}");
    loss.removal.addresses = vec!["10.77.0.99".parse().unwrap()];
    assert_eq!(loss.removed().unwrap_err(), blocked);
    loss.removal.addresses.push("10.77.0.13".parse().unwrap());
    assert_eq!(loss.steps().len(), 2);
}

#[test]
fn an_address_never_picks_a_member_that_has_told_another_name() {
    let mut loss = Loss::of_a_voter();
    loss.removal.node = name("cp-9");
    loss.removal.addresses = vec!["10.77.0.13".parse().unwrap(), "10.77.0.11".parse().unwrap()];
    assert_eq!(loss.steps(), ["cp-1/node-removed:cp-9"]);
}

#[test]
fn a_node_that_the_specification_names_stays() {
    let mut loss = Loss::of_a_voter();
    loss.removal.node = name("worker-1");
    let node = name("worker-1");
    assert_eq!(loss.removed().unwrap_err(), Blocked::StillSpecified { node });
}

#[test]
fn a_healthy_member_goes_only_where_that_was_asked_for() {
    let mut loss = Loss::of_a_voter().member(|member| member.healthy = true);
    assert!(matches!(loss.removed(), Err(Blocked::MemberAlive { .. })));
    loss.removal.alive = true;
    assert_eq!(loss.steps().len(), 2);
}

#[test]
fn nothing_goes_that_the_quorum_needs() {
    let lost = Loss::of_a_voter().other_voter_down();
    let refusal = Refusal::LosesQuorum { healthy: 1, quorum: 2 };
    assert_eq!(lost.removed().unwrap_err(), Blocked::Quorum(refusal));
    let mut alive = lost.member(|member| member.healthy = true);
    alive.removal.alive = true;
    assert_eq!(alive.removed().unwrap_err(), Blocked::Quorum(refusal));
}

#[test]
fn no_voter_goes_while_another_member_joins() {
    let mut loss = Loss::of_a_voter();
    for node in ["cp-1", "cp-2"] {
        let etcd = facts_mut(&mut loss.observed, node).etcd.as_mut().unwrap();
        let mut joining = member_mut(etcd, "cp-3").clone();
        (joining.id, joining.name, joining.learner) = (9, "cp-4".to_owned(), true);
        joining.peer_urls = vec!["https://10.77.0.14:2380".to_owned()];
        etcd.members.push(joining);
    }
    assert_eq!(loss.removed().unwrap_err(), Blocked::Quorum(Refusal::Unfinished));
    let both = loss.member(|member| member.learner = true);
    assert_eq!(both.steps().len(), 2, "one of two has to be the first to go");
}

#[test]
fn without_a_leader_or_an_answer_nothing_goes() {
    let mut loss = Loss::of_a_voter();
    for node in ["cp-1", "cp-2"] {
        facts_mut(&mut loss.observed, node).etcd.as_mut().unwrap().leader = None;
    }
    assert_eq!(loss.removed().unwrap_err(), Blocked::NoLeader);
    for node in ["cp-1", "cp-2"] {
        facts_mut(&mut loss.observed, node).etcd = None;
    }
    assert_eq!(loss.removed().unwrap_err(), Blocked::EtcdSilent);
}

#[test]
fn nobody_goes_while_a_silent_control_plane_may_be_joining() {
    let mut loss = Loss::of_a_voter();
    let silent = || Sight::Silent { why: "no route to host".to_owned() };
    loss.observed.nodes.insert(name("cp-4"), silent());
    assert_eq!(loss.removed().unwrap_err(), Blocked::MayBeJoining { node: name("cp-4") });

    // A voter has joined: its silence holds nobody up.
    let mut loss = Loss::of_a_voter();
    loss.observed.nodes.insert(name("cp-2"), silent());
    assert_eq!(loss.steps().len(), 2);
}

#[test]
fn one_change_of_the_membership_waits_for_another_and_follows_itself() {
    let mut loss = Loss::of_a_voter();
    let at = |goal: &str| {
        let (operation, term) = (OperationId("1".to_owned()), Term::default());
        Some(UnderWay { operation, term, goal: goal.into(), since_ms: 0 })
    };
    facts_mut(&mut loss.observed, "cp-4").under_way = at("etcd-member");
    let (node, goal) = (name("cp-4"), "etcd-member".into());
    assert_eq!(loss.removed().unwrap_err(), Blocked::MembershipChanging { node, goal });
    // Only another version knows what this one does.
    facts_mut(&mut loss.observed, "cp-4").under_way = at("etcd-moved");
    assert!(matches!(loss.removed(), Err(Blocked::MembershipChanging { .. })));
    facts_mut(&mut loss.observed, "cp-4").under_way = at("packages");
    facts_mut(&mut loss.observed, "cp-1").under_way = at("etcd-member-removed:cp-3");
    assert_eq!(loss.steps().len(), 2);
}

#[test]
fn a_worker_leaves_etcd_alone() {
    let mut loss = Loss::of_a_voter();
    loss.removal.node = name("worker-9");
    assert_eq!(loss.steps(), ["cp-1/node-removed:worker-9"]);
    assert_eq!(loss.removed().unwrap().tolerance, None);
}
