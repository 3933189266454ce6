//! All nodes of a cluster are awaited together.

use super::*;

fn ready(names: &[&str]) -> Goal {
    Goal::Cluster(ClusterGoal::NodesReady(names.iter().map(|name| sample::name(name)).collect()))
}

#[tokio::test]
async fn each_node_that_is_not_ready_is_a_drift() {
    let host = founded().await;
    bring_up(&[Goal::Cluster(ClusterGoal::Network(flannel()))], &host, &sample::material()).await;
    let cluster = host.state().cluster.clone();
    for name in ["cp-2", "cp-3", "worker-1", "worker-2", "worker-3"] {
        let node = json!({"metadata": {"name": name}});
        cluster.shared().objects.insert(format!("/api/v1/nodes/{name}"), node);
    }
    cluster.shared().lost.extend(["cp-2", "cp-3", "worker-1", "worker-2"].map(str::to_owned));
    let nodes = ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2", "worker-3", "worker-4"];
    let Finding::Drifted(drifts) = check(&ready(&nodes), &host).await else { panic!("all Ready") };
    let told: Vec<_> =
        drifts.iter().map(|drift| format!("{}: {}", drift.what, drift.found)).collect();
    assert_eq!(
        told,
        [
            "node cp-2: not Ready: cni plugin",
            "node cp-3: not Ready: cni plugin",
            "node worker-1: not Ready: cni plugin",
            "node worker-2: not Ready",
            "node worker-4: not registered",
        ]
    );
    assert_eq!(check(&ready(&["cp-1", "worker-3"]), &host).await, Finding::Satisfied);
}

#[tokio::test]
async fn waiting_for_many_nodes_counts_those_to_go() {
    let host = founded().await;
    let (events, mut told) = mpsc::unbounded_channel();
    let progress = Progress::new(events);
    let work = Work { progress: &progress, material: None };
    let names: Vec<String> = (1..=12).map(|number| format!("worker-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = of(&ready(&names)).apply(&host, &work).await.unwrap_err();
    drop(progress);
    let mut texts = Vec::new();
    while let Some(event) = told.recv().await {
        if let Event::Activity(activity) = event {
            texts.push(activity.text);
        }
    }
    let wait = "waiting until all nodes are Ready";
    assert_eq!(texts, [wait.to_owned(), format!("{wait}, 12 to go")]);
    let HostError::InVain(why) = error else { panic!("{error}") };
    assert!(why.contains("not registered; and 2 more)"), "{why}");
}
