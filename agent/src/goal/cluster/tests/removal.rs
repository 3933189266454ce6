//! A node that is gone for ever is taken out of the cluster.

use quorate_proto::EtcdMember;

use super::*;

const NODE: &str = "/api/v1/nodes/cp-3";
const POD: &str = "/api/v1/namespaces/kube-system/pods/etcd-cp-3";

/// A founder whose cluster has cp-2 as a sound voter and had cp-3 as another, whose machine is gone.
async fn bereft() -> FakeHost {
    let host = founded().await;
    let network = Goal::Cluster(ClusterGoal::Network(flannel()));
    bring_up(&[network], &host, &sample::material()).await;
    let cluster = host.state().cluster.clone();
    let mut shared = cluster.shared();
    for (id, (name, address)) in (1..).zip(sample::CONTROL_PLANES).skip(1) {
        shared.members.push(EtcdMember {
            id,
            name: name.to_owned(),
            peer_urls: vec![format!("https://{address}:2380")],
            learner: false,
            healthy: id == 2,
        });
    }
    shared.lost.insert("cp-3".to_owned());
    shared.objects.insert(NODE.to_owned(), json!({"metadata": {"name": "cp-3"}}));
    let pod = json!({"metadata": {"name": "etcd-cp-3"}, "spec": {"nodeName": "cp-3"}});
    shared.objects.insert(POD.to_owned(), pod);
    drop(shared);
    host
}

fn members(host: &FakeHost) -> Vec<String> {
    let cluster = host.state().cluster.clone();
    cluster.shared().members.iter().map(|member| member.name.clone()).collect()
}

fn has(host: &FakeHost, path: &str) -> bool {
    let cluster = host.state().cluster.clone();
    cluster.shared().objects.contains_key(path)
}

async fn refused(goal: &Goal, host: &FakeHost) -> String {
    let history = host.history();
    let finding = check(goal, host).await;
    let error = apply(goal, host, &sample::material()).await.unwrap_err();
    assert_eq!(host.history(), history, "{}", goal.id());
    let HostError::Refused(why) = error else { panic!("{}: {error}", goal.id()) };
    assert_eq!(finding, Finding::Refused { why: why.clone() });
    why
}

#[tokio::test]
async fn its_member_its_node_and_its_pods_go_and_nothing_else() {
    let host = bereft().await;
    let before = host.changes();
    bring_up(&removing(), &host, &sample::material()).await;
    assert_eq!(
        host.history()[before..],
        [
            "removing the etcd member 3".to_owned(),
            format!("deleting {NODE}"),
            format!("deleting {POD}")
        ]
    );
    bring_up(&removing(), &host, &sample::material()).await;
    assert_eq!(host.changes(), before + 3, "what is gone is removed no second time");
}

#[tokio::test]
async fn a_removal_that_dies_after_any_change_goes_on() {
    for changes in 0..3 {
        let host = bereft().await;
        host.interrupt_after(changes);
        let (goals, material) = (removing(), sample::material());
        let died = apply(&goals[0], &host, &material).await.is_err()
            || apply(&goals[1], &host, &material).await.is_err();
        assert!(died && host.revive());
        bring_up(&goals, &host, &material).await;
        assert_eq!(members(&host), ["cp-1", "cp-2"]);
        assert!(!has(&host, NODE) && !has(&host, POD));
    }
}

#[tokio::test]
async fn a_node_that_has_come_back_stays() {
    let host = bereft().await;
    let cluster = host.state().cluster.clone();
    cluster.shared().lost.clear();
    cluster.shared().members[2].healthy = true;
    let [member, node] = removing().try_into().unwrap();
    assert!(refused(&member, &host).await.contains("is healthy: its machine runs"));
    assert!(refused(&node, &host).await.contains("node cp-3 is Ready"));
    assert_eq!(members(&host), ["cp-1", "cp-2", "cp-3"]);
}

#[tokio::test]
async fn a_member_that_etcds_quorum_needs_stays() {
    let host = bereft().await;
    let cluster = host.state().cluster.clone();
    cluster.shared().members[1].healthy = false;
    let why = refused(&removing()[0], &host).await;
    assert!(why.contains("2 must agree"), "{why}");
}
