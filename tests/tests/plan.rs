//! Outlines and plans as values: what must be true of them for any specification.

use std::collections::BTreeSet;
use std::net::IpAddr;

use quorate::plan::{Blocked, ClockOffset, Lane, Observed, Outline, Plan, Sight, pending};
use quorate::procedure::Procedure;
use quorate::spec::{ClusterSpec, Role};
use quorate_proto::goal::{EtcdGoal, HostGoal, Kind};
use quorate_proto::{Drift, EtcdFacts, EtcdMember, Facts, Finding, Goal, NodeName, StepId};
use quorate_tests::sim::{End, Log, Random, Rules, SimCluster, apply, name, observe, plan, sample};

fn seen(world: &mut SimCluster) -> Observed {
    observe(world, Rules::ALL)
}

fn bare(spec: ClusterSpec) -> Outline {
    let mut world = SimCluster::new(spec, false);
    let observed = seen(&mut world);
    Procedure::BringUp.outline(&world.spec, &observed).unwrap()
}

/// A cluster that is up, and what its nodes say.
pub(super) fn risen(planes: u8, workers: u8) -> (SimCluster, Observed) {
    let mut world = SimCluster::new(sample(planes, workers), true);
    let (mut random, mut log) = (Random::new(1), Log::default());
    let term = quorate_proto::Term { number: 1, ..Default::default() };
    let end = apply(&mut world, &mut random, Rules::ALL, &term, usize::MAX, &mut log);
    assert_eq!(end, End::Success);
    let observed = seen(&mut world);
    (world, observed)
}

pub(super) fn facts_mut<'a>(observed: &'a mut Observed, node: &str) -> &'a mut Facts {
    match observed.nodes.get_mut(&name(node)) {
        Some(Sight::Seen { facts, .. }) => facts,
        _ => panic!("{node} was not seen"),
    }
}

fn find<'a>(outline: &'a Outline, node: &str, goal: &str) -> &'a quorate::plan::Step {
    outline.steps.iter().find(|step| step.id == id(node, goal)).unwrap()
}

fn id(node: &str, goal: &str) -> StepId {
    StepId { node: name(node), goal: goal.into() }
}

#[test]
fn every_step_is_listed_once_and_behind_those_that_it_waits_for() {
    for (planes, workers) in [(1, 0), (1, 3), (3, 2), (7, 8)] {
        let mut listed = BTreeSet::new();
        for step in bare(sample(planes, workers)).steps {
            assert!(step.after.iter().all(|id| listed.contains(id)), "{}", step.id);
            assert_eq!(step.id.goal, step.goal.id());
            assert!(listed.insert(step.id.clone()), "{} twice", step.id);
        }
    }
}

#[test]
fn a_step_of_kubeadm_waits_for_all_preparation_of_its_node() {
    let outline = bare(sample(3, 1));
    for (node, first) in [("cp-1", "certificates"), ("worker-1", "kubelet-started")] {
        let after: Vec<_> =
            find(&outline, node, first).after.iter().map(|id| id.goal.to_string()).collect();
        for goal in ["hosts", "swap-off", "sysctls", "packages", "containerd", "images"] {
            assert!(after.contains(&goal.to_owned()), "{node} {goal}");
        }
    }
}

#[test]
fn one_change_of_membership_for_each_control_plane_and_no_other_step_in_that_lane() {
    let outline = bare(sample(3, 2));
    let lane = outline.steps.iter().filter(|step| step.lane == Lane::Membership);
    assert!(lane.clone().all(|step| matches!(step.goal, Goal::Etcd(EtcdGoal::EtcdMember(_)))));
    assert_eq!(lane.count(), 3);
}

#[test]
fn a_node_may_balance_the_load_and_be_a_control_plane() {
    let mut spec = sample(3, 0);
    spec.nodes.retain(|node| !node.roles.contains(&Role::LoadBalancer));
    spec.nodes.iter_mut().for_each(|node| {
        node.roles.insert(Role::LoadBalancer);
    });
    let outline = bare(spec);
    let Goal::Host(HostGoal::Packages(packages)) = &find(&outline, "cp-2", "packages").goal else {
        panic!()
    };
    let names: Vec<_> = packages.packages.iter().map(|package| package.name.as_str()).collect();
    assert!(names.contains(&"haproxy") && names.contains(&"kubeadm"));
    find(&outline, "cp-2", "backends-up");
}

#[test]
fn only_joins_carry_material() {
    let outline = bare(sample(3, 1));
    let carriers = outline.steps.iter().filter(|step| step.needs_material());
    let carriers: Vec<_> = carriers.map(|step| step.id.to_string()).collect();
    assert!(carriers.contains(&"worker-1/kubelet-started".to_owned()));
    let founder = carriers.iter().filter(|id| id.starts_with("cp-1/"));
    assert_eq!(founder.collect::<Vec<_>>(), ["cp-1/join-access", "cp-1/join-offered"]);
}

#[test]
fn a_plan_says_which_steps_of_a_join_restart_the_kubelet() {
    let outline = bare(sample(3, 1));
    let steps = outline.steps.iter().filter(|step| step.id.node == name("cp-2"));
    let restarting = steps.filter(|step| step.restarts.as_deref() == Some("restarts the kubelet"));
    let goals: Vec<_> = restarting.map(|step| step.id.goal.to_string()).collect();
    assert_eq!(goals, ["kubelet-started", "kubelet-certificate"]);
}

#[test]
fn a_plan_survives_json_and_holds_no_key() {
    let mut world = SimCluster::new(sample(3, 2), false);
    let plan = plan(&mut world, &mut Random::new(1), Rules::ALL, None).unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    assert!(!json.contains("token") && !json.contains("certificate_key"));
}

#[test]
fn a_founder_that_lost_its_data_joins_like_any_other() {
    let (world, mut observed) = risen(3, 0);
    let facts = facts_mut(&mut observed, "cp-1");
    facts.kubernetes.etcd_data = false;
    facts.etcd = None;
    let outline = Procedure::BringUp.outline(&world.spec, &observed).unwrap();
    assert!(find(&outline, "cp-1", "etcd-member").needs_material());
    find(&outline, "cp-2", "join-offered");
}

#[test]
fn what_a_cluster_holds_once_is_asked_where_an_api_server_runs() {
    let (world, mut observed) = risen(3, 0);
    let silent = Sight::Silent { why: "gone".to_owned() };
    observed.nodes.insert(name("cp-1"), silent);
    let outline = Procedure::BringUp.outline(&world.spec, &observed).unwrap();
    find(&outline, "cp-2", "system-pods-ready");
}

#[test]
fn an_answer_that_nothing_will_bring_blocks_the_plan() {
    let (world, observed) = risen(1, 0);
    let outline = Procedure::BringUp.outline(&world.spec, &observed).unwrap();
    let mut findings: quorate::plan::Findings =
        outline.steps.iter().map(|step| (step.id.clone(), Finding::Satisfied)).collect();
    let unknown = || Finding::Unknown { why: "no answer".to_owned() };
    findings.insert(id("cp-1", "addons"), unknown());
    let blocked = pending(&outline, &findings, &observed).unwrap_err();
    assert!(matches!(blocked, Blocked::Untold { step, .. } if step == id("cp-1", "addons")));

    let drifted = Finding::Drifted(Vec::new());
    findings.insert(id("cp-1", "api-server-ready"), drifted);
    assert_eq!(pending(&outline, &findings, &observed).unwrap().steps.len(), 2);
}

#[test]
fn nobody_joins_beside_a_voter_that_is_down_or_unknown() {
    let (mut world, _) = risen(3, 0);
    world.specify(sample(4, 0));
    let mut observed = seen(&mut world);
    let joins = |observed: &Observed, spec: &ClusterSpec| {
        let outline = Procedure::BringUp.outline(spec, observed).unwrap();
        let new = |step: &quorate::plan::Step| step.id.node == name("cp-4");
        let finding = |step: &quorate::plan::Step| match new(step) {
            true => Finding::Drifted(Vec::new()),
            false => Finding::Satisfied,
        };
        let seen = outline.steps.iter().filter(|step| observed.facts(&step.id.node).is_some());
        let findings = seen.map(|step| (step.id.clone(), finding(step))).collect();
        pending(&outline, &findings, observed).map(|_| ())
    };
    assert_eq!(joins(&observed, &world.spec), Ok(()));

    let healthy = observed.clone();
    each_view(&mut observed, |etcd| member_mut(etcd, "cp-2").healthy = false);
    assert_eq!(joins(&observed, &world.spec), Ok(()), "its check is newer, and holds");
    observed.nodes.insert(name("cp-2"), Sight::Silent { why: "no route".to_owned() });
    let blocked = joins(&observed, &world.spec);
    assert!(
        matches!(blocked, Err(Blocked::UnhealthyVoter { member }) if member.node.as_deref() == Some("cp-2"))
    );

    observed = healthy.clone();
    let peer_urls = vec!["https://10.9.9.9:2380".to_owned()];
    let stranger = "cp-9".to_owned();
    let stranger = EtcdMember { id: 9, name: stranger, peer_urls, learner: false, healthy: true };
    each_view(&mut observed, |etcd| etcd.members.push(stranger.clone()));
    let blocked = joins(&observed, &world.spec);
    assert!(matches!(blocked, Err(Blocked::UnknownMember { member }) if member.id == 9));

    observed = healthy;
    each_view(&mut observed, |etcd| etcd.leader = None);
    assert_eq!(joins(&observed, &world.spec), Ok(()), "an election passes");
    for node in ["cp-2", "cp-3"] {
        observed.nodes.insert(name(node), Sight::Silent { why: "no route".to_owned() });
    }
    assert_eq!(joins(&observed, &world.spec), Err(Blocked::NoLeader));
}

#[test]
fn a_founder_that_comes_back_is_no_new_member() {
    let (world, mut observed) = risen(3, 0);
    facts_mut(&mut observed, "cp-1").etcd = None;
    for node in ["cp-2", "cp-3"] {
        let etcd = facts_mut(&mut observed, node).etcd.as_mut().unwrap();
        member_mut(etcd, "cp-1").healthy = false;
    }
    let outline = Procedure::BringUp.outline(&world.spec, &observed).unwrap();
    let down = id("cp-1", "etcd-member");
    let drift = || Finding::Drifted(vec![Drift::new("etcd member cp-1", "not up", "up")]);
    let finding = |id: &StepId| if *id == down { drift() } else { Finding::Satisfied };
    let findings = outline.steps.iter().map(|step| (step.id.clone(), finding(&step.id)));
    let plan = pending(&outline, &findings.collect(), &observed).unwrap();
    let left: Vec<_> = plan.steps.iter().map(|left| left.step.id.clone()).collect();
    assert_eq!(left, [down]);
}

/// Of cp-1.
fn set_clock(observed: &mut Observed, told: ClockOffset) {
    match observed.nodes.get_mut(&name("cp-1")) {
        Some(Sight::Seen { clock, .. }) => *clock = told,
        _ => panic!("cp-1 was not seen"),
    }
}

pub(super) fn each_view(observed: &mut Observed, change: impl Fn(&mut EtcdFacts)) {
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts_mut(observed, node).etcd.as_mut().map(&change).unwrap();
    }
}

pub(super) fn member_mut<'a>(etcd: &'a mut EtcdFacts, name: &str) -> &'a mut EtcdMember {
    etcd.members.iter_mut().find(|member| member.name == name).unwrap()
}

#[test]
fn two_etcd_clusters_of_one_authority_are_told_apart() {
    let (world, mut observed) = risen(3, 0);
    facts_mut(&mut observed, "cp-3").etcd.as_mut().unwrap().cluster_id = 2;
    let blocked = Procedure::BringUp.outline(&world.spec, &observed);
    assert_eq!(blocked, Err(Blocked::SplitEtcd { node: name("cp-1"), other: name("cp-3") }));
}

#[test]
fn what_is_left_of_a_cluster_without_its_authority_is_not_touched() {
    let (world, observed) = risen(3, 1);
    for node in ["cp-2", "worker-1"] {
        let mut observed = observed.clone();
        facts_mut(&mut observed, node).kubernetes.ca = None;
        let blocked = Procedure::BringUp.outline(&world.spec, &observed).unwrap_err();
        let named = |blocked: &Blocked| blocked.to_string().starts_with(node);
        assert!(matches!(blocked, Blocked::DataWithoutAuthority { .. }) && named(&blocked));
    }
}

#[test]
fn a_slow_answer_is_no_wrong_clock() {
    let (world, mut observed) = risen(3, 0);
    // Two seconds from the question to the answer: by their middle cp-1 would be 1.5 s behind.
    set_clock(&mut observed, ClockOffset { least_ms: -2_500, most_ms: -500 });
    assert!(Procedure::BringUp.outline(&world.spec, &observed).is_ok());

    set_clock(&mut observed, ClockOffset { least_ms: -3_500, most_ms: -1_500 });
    let blocked = Procedure::BringUp.outline(&world.spec, &observed).unwrap_err();
    assert!(matches!(blocked, Blocked::ClocksApart { apart_ms: 1_500, .. }), "{blocked}");
}

#[test]
fn a_running_control_plane_need_not_prove_its_size() {
    let (world, mut observed) = risen(1, 0);
    facts_mut(&mut observed, "cp-1").machine.cpus = 1;
    assert!(Procedure::BringUp.outline(&world.spec, &observed).is_ok());
}

#[test]
fn a_node_of_ipv6_is_known_by_its_peer_address() {
    let (mut world, _) = risen(3, 0);
    let address: IpAddr = "fd00::3".parse().unwrap();
    let third = world.spec.nodes.iter_mut().find(|node| node.name == name("cp-3")).unwrap();
    third.address = address;
    let mut observed = seen(&mut world);
    each_view(&mut observed, |etcd| {
        let third = member_mut(etcd, "cp-3");
        (third.name, third.learner) = (String::new(), true);
        third.peer_urls = vec!["https://[fd00::3]:2380".to_owned()];
    });
    let outline = Procedure::BringUp.outline(&world.spec, &observed).unwrap();
    let held = |step: &quorate::plan::Step| match step.id == id("cp-3", "etcd-member") {
        true => Finding::Drifted(Vec::new()),
        false => Finding::Satisfied,
    };
    let findings = outline.steps.iter().map(|step| (step.id.clone(), held(step))).collect();
    let plan = pending(&outline, &findings, &observed).unwrap();
    let steps: Vec<&NodeName> = plan.steps.iter().map(|left| &left.step.id.node).collect();
    assert!(steps.contains(&&name("cp-3")), "{steps:?}");
}

#[test]
fn another_worker_changes_no_other_node() {
    let of_others = |workers| {
        let steps = bare(sample(3, workers)).steps.into_iter();
        let prepares = |step: &quorate::plan::Step| matches!(step.goal, Goal::Host(_));
        let known = |step: &quorate::plan::Step| step.id.node != name("worker-3");
        steps.filter(|step| prepares(step) && known(step)).collect::<Vec<_>>()
    };
    assert_eq!(of_others(2), of_others(3));
}

#[test]
fn hosts_names_what_a_node_needs() {
    let mut spec = sample(3, 2);
    let named = |spec: &ClusterSpec, node: &str| {
        let goal = find(&bare(spec.clone()), node, "hosts").goal.clone();
        let Goal::Host(HostGoal::Hosts(hosts)) = goal else { panic!("{goal:?}") };
        hosts.entries.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(named(&spec, "worker-1"), "worker-1");
    assert_eq!(named(&spec, "cp-1"), "cp-1 cp-2 cp-3");
    assert_eq!(named(&spec, "lb-1"), "cp-1 cp-2 cp-3 lb-1");
    spec.endpoint.host = "lb-1".to_owned();
    assert_eq!(named(&spec, "worker-1"), "lb-1 worker-1");
    assert_eq!(named(&spec, "cp-1"), "cp-1 cp-2 cp-3 lb-1");
}

/// All system pods are ready where there are none yet.
#[test]
fn the_clusters_dns_is_not_waited_for_before_it_is_installed() {
    let (mut world, _) = risen(1, 0);
    let observed = seen(&mut world);
    let outline = Procedure::BringUp.outline(&world.spec, &observed).unwrap();
    let missing = [Kind::Addons, Kind::ClusterDns];
    let finding = |step: &quorate::plan::Step| match missing.contains(&step.goal.kind()) {
        true => Finding::Drifted(Vec::new()),
        false => Finding::Satisfied,
    };
    let findings = outline.steps.iter().map(|step| (step.id.clone(), finding(step))).collect();
    let plan = pending(&outline, &findings, &observed).unwrap();
    let dns = plan.steps.iter().find(|left| left.step.goal.kind() == Kind::ClusterDns).unwrap();
    assert_eq!(dns.step.after, [StepId { node: name("cp-1"), goal: Kind::Addons.into() }]);
}
