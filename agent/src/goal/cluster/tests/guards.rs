//! What the agent refuses to do, whatever the plan says.

use super::*;

/// The text of a refusal; nothing may have changed.
async fn refused(goal: &Goal, host: &FakeHost) -> String {
    let history = host.history();
    let error = apply(goal, host, &material(host)).await.unwrap_err();
    let HostError::Refused(why) = error else { panic!("{}: {error}", goal.id()) };
    assert_eq!(host.history(), history, "{}", goal.id());
    why
}

#[tokio::test]
async fn a_node_that_holds_another_clusters_data_is_left_alone() {
    let host = founded().await;
    let ours = Sha256::of(b"another key");
    let node = || node_with(|node| node.cluster.ca = Some(ours.clone()));
    let goal = Goal::Kubeadm(KubeadmGoal::Certificates, node());
    let finding = check(&goal, &host).await;
    assert!(
        matches!(&finding, Finding::Refused { why } if why.contains("another cluster's data")),
        "{finding:?}: a plan must be blocked, not repaired"
    );
    for goal in [
        goal,
        Goal::Kubeadm(KubeadmGoal::Kubeconfigs, node()),
        Goal::Kubeadm(KubeadmGoal::KubeletStarted, node()),
        Goal::Kubeadm(KubeadmGoal::StaticPods, node()),
        Goal::Kubeadm(KubeadmGoal::KubeletCertificate, node()),
    ] {
        assert!(refused(&goal, &host).await.contains("kubeadm reset"), "{}", goal.id());
    }
}

#[tokio::test]
async fn a_node_of_a_cluster_at_another_endpoint_is_left_alone() {
    let host = founded().await;
    let node = node_with(|node| node.cluster.endpoint.host = "10.77.0.99".to_owned());
    let why = refused(&Goal::Kubeadm(KubeadmGoal::Certificates, node), &host).await;
    assert!(why.contains("whose endpoint is https://10.77.0.10:6443"), "{why}");
}

#[tokio::test]
async fn another_clusters_endpoint_is_found_before_the_founding_and_after() {
    let endpoint = sample::node(Entry::Founder).cluster.endpoint.to_string();
    let goal = Goal::Cluster(ClusterGoal::EndpointReady(sample::node(Entry::Founder)));
    for host in [machine(), founded().await] {
        let nobody = !matches!(check(&goal, &host).await, Finding::Refused { .. });
        assert!(nobody, "silence is no stranger");
        host.state().cluster.shared().strangers.insert(endpoint.clone());
        let before = host.state().uptime_ms;
        let finding = check(&goal, &host).await;
        assert!(
            matches!(&finding, Finding::Refused { why } if why.contains(&endpoint)),
            "{finding:?}"
        );
        assert!(refused(&goal, &host).await.contains("not this cluster"));
        assert_eq!(host.state().uptime_ms, before, "no waiting makes another cluster this one");
    }
}

#[tokio::test]
async fn data_of_no_known_cluster_is_left_alone() {
    let data = format!("{ETCD_DATA}/wal/0.wal");
    for file in [data.as_str(), "/etc/kubernetes/kubelet.conf"] {
        let host = machine();
        host.state().put(file, "x");
        let goal = Goal::Kubeadm(KubeadmGoal::Certificates, sample::node(Entry::Founder));
        assert!(refused(&goal, &host).await.contains("no /etc/kubernetes/pki/ca.crt"), "{file}");
    }
}

#[tokio::test]
async fn a_cluster_that_exists_is_not_founded_again() {
    let host = machine();
    let node = node_with(|node| node.cluster.ca = Some(Sha256::of(b"it")));
    let why = refused(&Goal::Kubeadm(KubeadmGoal::Certificates, node), &host).await;
    assert!(why.contains("exists already"), "{why}");
}

#[tokio::test]
async fn etcd_is_not_founded_where_it_answers_or_left_data() {
    let founder = founded().await;
    let goal = Goal::Etcd(EtcdGoal::EtcdMember(sample::node(Entry::Founder)));
    let manifest = "/etc/kubernetes/manifests/etcd.yaml";
    founder.state().files.remove(manifest);
    assert!(refused(&goal, &founder).await.contains("no static pod that serves it"));
    founder.state().files.retain(|path, _| !path.starts_with(ETCD_DATA));
    assert!(refused(&goal, &founder).await.contains("etcd answers already"));
}

#[tokio::test]
async fn a_member_joins_only_when_the_others_are_well() {
    let founder = founded().await;
    let goals = joining(Entry::ControlPlane);
    let (host, material) = prepared(&goals[..3], Some(&founder)).await;
    let cluster = founder.state().cluster.clone();
    let mut ill = cluster.shared().members[0].clone();
    (ill.id, ill.healthy, ill.name) = (3, false, "cp-3".to_owned());
    cluster.shared().members.push(ill);
    let history = host.history();
    let error = apply(&goals[3], &host, &material).await.unwrap_err();
    assert!(
        matches!(&error, HostError::NotYet(why) if why.contains("cp-3 is not healthy")),
        "{error}"
    );
    assert_eq!(host.history(), history);
}

#[tokio::test]
async fn another_version_is_an_upgrade_and_refused() {
    let host = founded().await;
    let node = || node_with(|node| node.cluster.version = "v1.36.1".parse().unwrap());
    let why = refused(&Goal::Kubeadm(KubeadmGoal::StaticPods, node()), &host).await;
    assert!(why.contains("does not upgrade"), "{why}");
    let why = refused(&Goal::Cluster(ClusterGoal::ClusterConfig(node())), &host).await;
    assert!(why.contains("kubernetesVersion"), "{why}");
}

#[tokio::test]
async fn a_certificate_without_a_wanted_name_is_made_anew() {
    let host = founded().await;
    let node = node_with(|node| node.cluster.cert_sans.push("new.example.org".to_owned()));
    let goal = Goal::Kubeadm(KubeadmGoal::Certificates, node);
    let Finding::Drifted(drifts) = check(&goal, &host).await else { panic!("no drift") };
    assert_eq!(drifts.len(), 1, "{drifts:?}");
    assert_eq!(drifts[0].found, "without new.example.org");
    let ca = host.state().text(CA);
    apply(&goal, &host, &material(&host)).await.unwrap();
    assert_holds(&goal, &host).await;
    assert_eq!(host.state().text(CA), ca, "the authority stays");
}

#[tokio::test]
async fn certificates_are_judged_by_the_nodes_clock() {
    let host = founded().await;
    let goal = Goal::Kubeadm(KubeadmGoal::Certificates, sample::node(Entry::Founder));
    host.state().machine.clock_ms = 70_000_000_000_000; // in the year 4188
    let Finding::Drifted(drifts) = check(&goal, &host).await else { panic!("no drift") };
    assert!(drifts.iter().all(|drift| drift.found.starts_with("expired")), "{drifts:?}");
    assert_eq!(drifts.len(), 7);
}

#[tokio::test]
async fn a_void_token_is_replaced_before_the_kubelet_asks_by_it() {
    let founder = founded().await;
    let goals = joining(Entry::Worker);
    let (host, material) = prepared(&goals[..1], Some(&founder)).await;
    let starts = || host.history().iter().filter(|it| it.contains(BOOTSTRAP_CONF)).count();
    // As an earlier run leaves it, whose token was withdrawn.
    host.state().put(BOOTSTRAP_CONF, "token: zzzzzz.0123456789zzzzzz");
    bring_up(&goals[1..], &host, &material).await;
    assert_eq!(starts(), 3, "written, written again, and removed");
}

#[tokio::test]
async fn a_token_that_is_not_known_everywhere_yet_is_tried_again() {
    let founder = founded().await;
    let goals = joining(Entry::Worker);
    let (host, material) = prepared(&[], Some(&founder)).await;
    host.state().cluster.shared().tokens_known_ms = 3_000;
    bring_up(&goals[..1], &host, &material).await;
    assert!(host.state().uptime_ms >= 3_000);

    let (host, material) = prepared(&[], Some(&founder)).await;
    host.state().cluster.shared().tokens_known_ms = u64::MAX;
    let error = apply(&goals[0], &host, &material).await.unwrap_err();
    assert!(matches!(error, HostError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn a_persons_kubeconfig_is_kept() {
    let host = founded().await;
    host.state().put("/root/.kube/config", "mine");
    let goal = Goal::Kubeadm(KubeadmGoal::AdminKubeconfig, sample::node(Entry::Founder));
    apply(&goal, &host, &material(&host)).await.unwrap();
    assert_holds(&goal, &host).await;
    let state = host.state();
    let kept = state.files.iter().find(|(path, _)| path.contains("before-quorate"));
    assert_eq!(kept.map(|(_, content)| content.as_slice()), Some(b"mine".as_slice()));
}
