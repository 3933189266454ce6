//! A cluster comes up goal by goal, on fake machines: what every goal promises, and the guards.

use quorate_proto::goal::{
    ClusterGoal, Entry, EtcdGoal, KubeNode, KubeadmGoal, Manifest, MemberRemoval, NodeRemoval,
    Offer,
};
use quorate_proto::{Event, Finding, Goal, JoinMaterial, Secret, Sha256};
use serde_json::json;
use tokio::sync::mpsc;

use crate::goal::{Work, of};
use crate::host::HostError;
use crate::host::fake::FakeHost;
use crate::host::fake::cluster::Cluster;
use crate::kubeadm::{BOOTSTRAP_CONF, CA, ETCD_DATA, sample};
use crate::progress::Progress;

mod guards;
mod readiness;
mod removal;
mod repairs;
mod scheduling;

const FLANNEL: &str = "kind: DaemonSet\n\
                       metadata: {name: kube-flannel-ds, namespace: kube-flannel}\n";

/// Every goal that is tried here.
pub(in crate::goal) fn in_turn() -> Vec<Goal> {
    let mut goals = founding();
    goals.push(Goal::Etcd(EtcdGoal::EtcdHealthy(sample::node(Entry::Founder))));
    goals.extend(removing());
    goals.extend(scheduling::cordoning());
    goals
}

/// What the founder does, in order; `network` and what waits for it come last.
fn founding() -> Vec<Goal> {
    let node = || sample::node(Entry::Founder);
    let offer = Offer { on: node(), certificates: true };
    vec![
        Goal::Kubeadm(KubeadmGoal::Certificates, node()),
        Goal::Kubeadm(KubeadmGoal::Kubeconfigs, node()),
        Goal::Kubeadm(KubeadmGoal::KubeletStarted, node()),
        Goal::Etcd(EtcdGoal::EtcdMember(node())),
        Goal::Kubeadm(KubeadmGoal::StaticPods, node()),
        Goal::Kubeadm(KubeadmGoal::ApiServerReady, node()),
        Goal::Kubeadm(KubeadmGoal::KubeletCertificate, node()),
        Goal::Kubeadm(KubeadmGoal::ControlPlaneMarked, node()),
        Goal::Kubeadm(KubeadmGoal::AdminKubeconfig, node()),
        Goal::Cluster(ClusterGoal::ClusterConfig(node())),
        Goal::Cluster(ClusterGoal::JoinAccess(node())),
        Goal::Cluster(ClusterGoal::Addons(node())),
        Goal::Cluster(ClusterGoal::JoinOffered(offer)),
        Goal::Cluster(ClusterGoal::Network(flannel())),
        Goal::Cluster(ClusterGoal::NodesReady([sample::name("cp-1")].into())),
        Goal::Cluster(ClusterGoal::SystemPodsReady),
        Goal::Cluster(ClusterGoal::EndpointReady(node())),
        Goal::Cluster(ClusterGoal::ClusterDns(node())),
        Goal::Cluster(ClusterGoal::JoinWithdrawn(node())),
    ]
}

fn flannel() -> Manifest {
    Manifest {
        name: "flannel".to_owned(),
        yaml: FLANNEL.to_owned(),
        sha256: Sha256::of(FLANNEL.as_bytes()),
    }
}

fn joining(entry: Entry) -> Vec<Goal> {
    let node = || sample::node(entry);
    if entry == Entry::Worker {
        return vec![
            Goal::Kubeadm(KubeadmGoal::KubeletStarted, node()),
            Goal::Kubeadm(KubeadmGoal::KubeletCertificate, node()),
        ];
    }
    vec![
        Goal::Kubeadm(KubeadmGoal::Certificates, node()),
        Goal::Kubeadm(KubeadmGoal::Kubeconfigs, node()),
        Goal::Kubeadm(KubeadmGoal::KubeletStarted, node()),
        Goal::Etcd(EtcdGoal::EtcdMember(node())),
        Goal::Kubeadm(KubeadmGoal::StaticPods, node()),
        Goal::Kubeadm(KubeadmGoal::ApiServerReady, node()),
        Goal::Kubeadm(KubeadmGoal::KubeletCertificate, node()),
        Goal::Kubeadm(KubeadmGoal::ControlPlaneMarked, node()),
        Goal::Kubeadm(KubeadmGoal::AdminKubeconfig, node()),
    ]
}

/// What the founder does to take cp-3 out.
fn removing() -> Vec<Goal> {
    let member = MemberRemoval {
        on: sample::node(Entry::Founder),
        node: sample::name("cp-3"),
        id: 3,
        peer_url: "https://10.77.0.13:2380".to_owned(),
        alive: false,
    };
    let node = NodeRemoval { node: sample::name("cp-3"), alive: false };
    vec![
        Goal::Etcd(EtcdGoal::EtcdMemberRemoved(member)),
        Goal::Cluster(ClusterGoal::NodeRemoved(node)),
    ]
}

fn machine() -> FakeHost {
    let host = FakeHost::with_packages(&["kubeadm", "kubelet", "kubectl"]);
    // As the kubelet's package leaves it.
    host.state().put("/etc/kubernetes/manifests/.kubelet-keep", "");
    host
}

/// A machine of the same cluster.
fn machine_of(cluster: &Cluster) -> FakeHost {
    let host = machine();
    host.state().cluster = cluster.clone();
    host
}

/// What a run minted, with the authority as the founder tells it.
fn material(founder: &FakeHost) -> JoinMaterial {
    let ca_pem = Some(founder.state().text(CA)).filter(|pem| !pem.is_empty());
    JoinMaterial { ca_pem, ..sample::material() }
}

async fn apply(goal: &Goal, host: &FakeHost, material: &JoinMaterial) -> Result<(), HostError> {
    let (events, _) = mpsc::unbounded_channel();
    let progress = Progress::new(events);
    of(goal).apply(host, &Work { progress: &progress, material: Some(material) }).await
}

async fn check(goal: &Goal, host: &FakeHost) -> Finding {
    of(goal).check(host).await.unwrap()
}

async fn assert_holds(goal: &Goal, host: &FakeHost) {
    let history = host.history();
    let finding = check(goal, host).await;
    assert_eq!(finding, Finding::Satisfied, "{} after {history:?}", goal.id());
    assert_eq!(host.history(), history, "{}: the check changed something", goal.id());
}

/// Makes all of these hold in turn.
async fn bring_up(goals: &[Goal], host: &FakeHost, material: &JoinMaterial) {
    for goal in goals {
        apply(goal, host, material).await.unwrap();
        assert_holds(goal, host).await;
    }
}

/// A founder that offers to join.
async fn founded() -> FakeHost {
    let host = machine();
    let goals = founding();
    bring_up(&goals[..13], &host, &sample::material()).await;
    host
}

/// A fresh machine on which the first so many of the goals hold.
async fn prepared(goals: &[Goal], founder: Option<&FakeHost>) -> (FakeHost, JoinMaterial) {
    let host = founder.map_or_else(machine, |founder| machine_of(&founder.state().cluster.clone()));
    let material = founder.map_or_else(sample::material, material);
    bring_up(goals, &host, &material).await;
    (host, material)
}

#[tokio::test]
async fn a_founders_goals_hold_in_turn_and_go_on_holding() {
    let (host, material) = prepared(&founding(), None).await;
    let transient = |goal: &&Goal| !matches!(goal, Goal::Cluster(ClusterGoal::JoinOffered(_)));
    for goal in founding().iter().filter(transient) {
        assert_holds(goal, &host).await;
    }
    // A goal that holds may be applied all the same, and then still holds.
    for goal in founding().iter().filter(transient) {
        apply(goal, &host, &material).await.unwrap();
        assert_holds(goal, &host).await;
    }
}

/// Its activities are what a person, and whoever kills it, sees of it.
#[tokio::test]
async fn a_node_without_a_cluster_is_looked_over_by_kubeadm_first() {
    let (events, mut told) = mpsc::unbounded_channel();
    let progress = Progress::new(events);
    let work = Work { progress: &progress, material: None };
    of(&founding()[0]).apply(&machine(), &work).await.unwrap();
    drop(progress);
    let mut phases = Vec::new();
    while let Some(event) = told.recv().await {
        if let Event::Activity(activity) = event {
            phases.push(activity.text);
        }
    }
    assert_eq!(phases, ["kubeadm init phase preflight", "kubeadm init phase certs all"]);
}

#[tokio::test]
async fn a_check_changes_nothing_and_tells_what_is_missing() {
    let host = machine();
    for goal in founding() {
        // Where nothing answers yet, nothing may be told.
        if let Ok(finding) = of(&goal).check(&host).await {
            assert!(!finding.is_satisfied(), "{} holds on a bare machine", goal.id());
        }
    }
    assert_eq!(host.history(), [""; 0]);
}

#[tokio::test]
async fn a_founding_that_dies_after_any_change_goes_on() {
    let goals = founding();
    for (at, goal) in goals.iter().enumerate() {
        goes_on(&goals[..at], goal, None).await;
    }
}

#[tokio::test]
async fn a_join_that_dies_after_any_change_goes_on() {
    for entry in [Entry::ControlPlane, Entry::Worker] {
        let goals = joining(entry);
        for (at, goal) in goals.iter().enumerate() {
            goes_on(&goals[..at], goal, Some(entry)).await;
        }
    }
}

/// Lets the apply of `goal` die after each of its changes in turn, and applies it again.
async fn goes_on(before: &[Goal], goal: &Goal, joins: Option<Entry>) {
    for changes in 0.. {
        let founder = if joins.is_some() { Some(founded().await) } else { None };
        let (host, material) = prepared(before, founder.as_ref()).await;
        host.interrupt_after(changes);
        if apply(goal, &host, &material).await.is_ok() {
            return; // it makes no more changes than these
        }
        host.revive();
        apply(goal, &host, &material).await.unwrap();
        assert_holds(goal, &host).await;
    }
}

#[tokio::test]
async fn a_control_plane_and_a_worker_join() {
    let founder = founded().await;
    let (host, _) = prepared(&joining(Entry::ControlPlane), Some(&founder)).await;
    assert!(!host.state().files.contains_key(BOOTSTRAP_CONF), "the token is left on the disk");
    prepared(&joining(Entry::Worker), Some(&founder)).await;
    let cluster = founder.state().cluster.clone();
    let names: Vec<String> =
        cluster.shared().members.iter().map(|member| member.name.clone()).collect();
    assert_eq!(names, ["cp-1", "cp-2"]);
}

#[tokio::test]
async fn etcd_is_healthy_once_every_control_plane_is_a_voter() {
    let founder = founded().await;
    let goal = Goal::Etcd(EtcdGoal::EtcdHealthy(sample::node(Entry::Founder)));
    assert!(!check(&goal, &founder).await.is_satisfied(), "two members are missing");
    for (number, member) in [(2, "cp-2"), (3, "cp-3")] {
        let cluster = founder.state().cluster.clone();
        let mut other = cluster.shared().members[0].clone();
        (other.id, other.name) = (number, member.to_owned());
        cluster.shared().members.push(other);
    }
    assert_holds(&goal, &founder).await;
}

#[tokio::test]
async fn nothing_that_was_offered_is_left_and_nothing_else_is_touched() {
    let founder = founded().await;
    let cluster = founder.state().cluster.clone();
    let path = |id: &str| format!("/api/v1/namespaces/kube-system/secrets/bootstrap-token-{id}");
    let foreign = json!({"metadata": {"name": "bootstrap-token-theirs"}, "data": {}});
    cluster.shared().objects.insert(path("theirs"), foreign);

    let goal = Goal::Cluster(ClusterGoal::JoinWithdrawn(sample::node(Entry::Founder)));
    assert!(!check(&goal, &founder).await.is_satisfied());
    apply(&goal, &founder, &sample::material()).await.unwrap();
    assert_holds(&goal, &founder).await;
    assert!(cluster.shared().objects.contains_key(&path("theirs")));
    assert!(!cluster.shared().objects.contains_key(&path("abcdef")));
}

#[tokio::test]
async fn a_new_offer_ends_the_older_one() {
    let founder = founded().await;
    let goal = Goal::Cluster(ClusterGoal::JoinOffered(Offer {
        on: sample::node(Entry::Founder),
        certificates: false,
    }));
    let newer = JoinMaterial {
        token: Secret::new("newone.0123456789abcdef".to_owned()),
        ..sample::material()
    };
    apply(&goal, &founder, &newer).await.unwrap();
    assert_holds(&goal, &founder).await;
    let cluster = founder.state().cluster.clone();
    let shared = cluster.shared();
    let tokens = shared.objects.keys().filter(|path| path.contains("bootstrap-token-"));
    let tokens: Vec<_> = tokens.filter_map(|path| path.rsplit('-').next()).collect();
    assert_eq!(tokens, ["newone"]);
}

#[tokio::test]
async fn an_order_without_material_is_refused_before_anything_changes() {
    let founder = founded().await;
    let host = machine_of(&founder.state().cluster.clone());
    let (events, _) = mpsc::unbounded_channel();
    let progress = Progress::new(events);
    let goal = Goal::Kubeadm(KubeadmGoal::KubeletStarted, sample::node(Entry::Worker));
    let work = Work { progress: &progress, material: None };
    let error = of(&goal).apply(&host, &work).await.unwrap_err();
    assert!(matches!(error, HostError::Refused(_)), "{error}");
    assert_eq!(host.history(), [""; 0]);
}

#[tokio::test]
async fn waiting_ends_with_what_it_waited_for() {
    let founder = founded().await;
    let goal = Goal::Cluster(ClusterGoal::NodesReady([sample::name("cp-1")].into()));
    let error = apply(&goal, &founder, &sample::material()).await.unwrap_err();
    let HostError::InVain(why) = error else { panic!("{error}") };
    assert!(
        why.contains("all nodes are Ready (node cp-1: not Ready: ") && why.contains("cni plugin"),
        "{why}"
    );
}

fn node_with(change: impl FnOnce(&mut KubeNode)) -> KubeNode {
    let mut node = sample::node(Entry::Founder);
    change(&mut node);
    node
}
