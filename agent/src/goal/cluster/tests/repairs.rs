//! What a node that is part of the cluster lost comes back, and what it runs by is told from what
//! cluster.yaml asks for.

use super::*;
use crate::kubeadm::{KUBELET_CONF, KUBELET_PEM, MANIFESTS};
use quorate_proto::Drift;

/// A node of this entry that has joined whole, and the material of the run.
async fn joined(entry: Entry) -> (FakeHost, JoinMaterial) {
    let founder = founded().await;
    prepared(&joining(entry), Some(&founder)).await
}

async fn drifts(goal: &Goal, host: &FakeHost) -> Vec<Drift> {
    match check(goal, host).await {
        Finding::Satisfied => Vec::new(),
        Finding::Drifted(drifts) => drifts,
        other @ (Finding::Unknown { .. } | Finding::Refused { .. }) => panic!("{other:?}"),
    }
}

/// Applies without join material, as where no token is in the cluster.
async fn apply_alone(goal: &Goal, host: &FakeHost) -> Result<(), HostError> {
    let (events, _) = mpsc::unbounded_channel();
    let progress = Progress::new(events);
    of(goal).apply(host, &Work { progress: &progress, material: None }).await
}

#[tokio::test]
async fn missing_manifest_comes_back_without_a_token() {
    let (host, _) = joined(Entry::ControlPlane).await;
    let goal = Goal::Kubeadm(KubeadmGoal::StaticPods, sample::node(Entry::ControlPlane));
    host.state().files.remove(&format!("{MANIFESTS}/kube-scheduler.yaml"));
    let found = drifts(&goal, &host).await;
    assert_eq!((found.len(), found[0].in_use), (1, false));
    apply_alone(&goal, &host).await.unwrap();
    assert_holds(&goal, &host).await;
}

#[tokio::test]
async fn lost_kubelet_certificate_of_a_control_plane_is_signed_there() {
    for entry in [Entry::Founder, Entry::ControlPlane] {
        let host = match entry {
            Entry::Founder => founded().await,
            Entry::ControlPlane | Entry::Worker => joined(entry).await.0,
        };
        let goal = Goal::Kubeadm(KubeadmGoal::KubeletCertificate, sample::node(entry));
        host.state().files.remove(KUBELET_PEM);
        assert!(!check(&goal, &host).await.is_satisfied());
        apply_alone(&goal, &host).await.unwrap();
        assert_holds(&goal, &host).await;
    }
}

#[tokio::test]
async fn lost_kubelet_certificate_of_a_worker_is_asked_for_by_token() {
    let (host, material) = joined(Entry::Worker).await;
    let goal = Goal::Kubeadm(KubeadmGoal::KubeletCertificate, sample::node(Entry::Worker));
    host.state().files.remove(KUBELET_PEM);
    apply(&goal, &host, &material).await.unwrap();
    assert_holds(&goal, &host).await;
    let state = host.state();
    assert!(!state.files.contains_key(BOOTSTRAP_CONF), "the token is left on the disk");
    assert!(state.text(KUBELET_CONF).contains(KUBELET_PEM));
}

#[tokio::test]
async fn lost_kubelet_certificate_survives_any_interruption() {
    for changes in 0.. {
        let (host, material) = joined(Entry::Worker).await;
        let goal = Goal::Kubeadm(KubeadmGoal::KubeletCertificate, sample::node(Entry::Worker));
        host.state().files.remove(KUBELET_PEM);
        host.interrupt_after(changes);
        if apply(&goal, &host, &material).await.is_ok() {
            assert!(changes > 3);
            return;
        }
        host.revive();
        // The goals before it hold first, as in a plan.
        for goal in joining(Entry::Worker) {
            apply(&goal, &host, &material).await.unwrap();
            assert_holds(&goal, &host).await;
        }
    }
}

#[tokio::test]
async fn edited_argument_of_a_static_pod_is_in_use() {
    let host = founded().await;
    let goal = Goal::Kubeadm(KubeadmGoal::StaticPods, sample::node(Entry::Founder));
    let path = format!("{MANIFESTS}/kube-apiserver.yaml");
    let edited = host.state().text(&path).replace("--secure-port", "--v=6\",\"--secure-port");
    host.state().put(&path, &edited);
    let found = drifts(&goal, &host).await;
    let added = Drift::new(format!("--v in {path}"), "6", "not set").in_use();
    assert_eq!(found, [added]);
}

#[tokio::test]
async fn argument_taken_out_of_the_specification_is_in_use() {
    let host = founded().await;
    let node = node_with(|node| node.cluster.extra_args.api_server.clear());
    let found = drifts(&Goal::Kubeadm(KubeadmGoal::StaticPods, node), &host).await;
    let (what, values) = (&found[0].what, (&*found[0].found, &*found[0].wanted));
    assert!(what.starts_with("--profiling in ") && found[0].in_use, "{what}");
    assert_eq!(values, ("false", "not set"));
}

#[tokio::test]
async fn changed_kubelet_setting_is_in_use() {
    let host = founded().await;
    let node = node_with(|node| {
        node.cluster.kubelet.insert("maxPods".to_owned(), 50.into());
        node.cluster.extra_args.kubelet.insert("v".to_owned(), "4".to_owned());
    });
    let found = drifts(&Goal::Kubeadm(KubeadmGoal::KubeletStarted, node), &host).await;
    let found: Vec<_> = found.iter().map(|it| (&*it.found, &*it.wanted, it.in_use)).collect();
    assert_eq!(found, [("not set", "50", true), ("not set", "4", true)]);
}

#[tokio::test]
async fn changed_etcd_argument_is_in_use() {
    let host = founded().await;
    let node = node_with(|node| {
        let args = &mut node.cluster.extra_args.etcd;
        args.insert("snapshot-count".to_owned(), "5000".to_owned());
    });
    let found = drifts(&Goal::Etcd(EtcdGoal::EtcdMember(node)), &host).await;
    assert_eq!((found.len(), &*found[0].wanted, found[0].in_use), (1, "5000", true));
}

#[tokio::test]
async fn kubelet_of_a_worker_is_configured_without_a_token() {
    let (host, _) = joined(Entry::Worker).await;
    let mut node = sample::node(Entry::Worker);
    node.cluster.kubelet.insert("maxPods".to_owned(), 50.into());
    let goal = Goal::Kubeadm(KubeadmGoal::KubeletStarted, node);
    for changes in 0.. {
        host.interrupt_after(changes);
        let done = apply_alone(&goal, &host).await.is_ok();
        host.revive();
        if done {
            break;
        }
        assert!(!check(&goal, &host).await.is_satisfied(), "cut off after {changes} changes");
    }
    assert_holds(&goal, &host).await;
    assert!(host.state().systemd.active("kubelet"));
}

#[tokio::test]
async fn member_removed_from_etcd_blocks_at_the_check() {
    let (host, _) = joined(Entry::ControlPlane).await;
    let cluster = host.state().cluster.clone();
    cluster.shared().members.retain(|member| member.name != "cp-2");
    let finding =
        check(&Goal::Etcd(EtcdGoal::EtcdMember(sample::node(Entry::ControlPlane))), &host).await;
    assert!(
        matches!(&finding, Finding::Refused { why } if why.contains("kubeadm reset -f")),
        "{finding:?}"
    );
}
