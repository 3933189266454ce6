//! Which run the agent obeys.

use super::*;

#[tokio::test]
async fn an_older_term_is_refused_after_a_restart_too() {
    let host = Arc::new(TestHost::default());
    host.put("/holds", b"");
    let newer = order("1", term(2, "b"), Goal::Host(HostGoal::SwapOff));
    let told: Vec<_> = open(&host).await.ensure(&alice(), newer).await.unwrap().collect().await;
    assert_eq!(ended(&told), (&Finding::Satisfied, None));
    let restarted = open(&host).await;
    for older in [term(1, "a"), term(2, "a")] {
        let refused = refusal(
            restarted
                .ensure(&alice(), order("2", older.clone(), Goal::Host(HostGoal::SwapOff)))
                .await,
        );
        assert_eq!(refused, Refusal::Superseded { term: term(2, "b") });
        let id = OperationId("1".to_owned());
        assert!(restarted.cancel(&alice(), &id, &older).await.is_err());
    }
    assert_eq!(restarted.describe(&cp_1()).await.unwrap().term, term(2, "b"));
}

#[tokio::test]
async fn a_term_out_of_reach_is_refused_and_shuts_nobody_out() {
    let host = Arc::new(TestHost::default());
    host.put("/holds", b"");
    let worker = open(&host).await;
    for number in [u64::MAX, Term::REACH + 1] {
        let far = term(number, "z");
        let told = refusal(
            worker.ensure(&alice(), order("1", far.clone(), Goal::Host(HostGoal::SwapOff))).await,
        );
        let Refusal::Invalid(why) = told else { panic!("{told:?}") };
        assert!(why.contains(&number.to_string()) && why.contains(LEDGER), "{why}");
        assert!(worker.claim(&alice(), &far).await.is_err());
        assert!(worker.cancel(&alice(), &OperationId("1".to_owned()), &far).await.is_err());
    }
    assert_eq!(worker.describe(&cp_1()).await.unwrap().term, Term::default());
    worker.claim(&alice(), &term(1, "a")).await.unwrap();
    worker.claim(&alice(), &term(1 + Term::REACH, "b")).await.unwrap();
}

#[tokio::test]
async fn what_a_person_sets_in_the_ledger_is_the_newest_term() {
    let host = Arc::new(TestHost::default());
    host.put(LEDGER, br#"{"term": {"number": 5000000, "run": ""}, "under_way": null}"#);
    open(&host).await.claim(&alice(), &term(5_000_001, "a")).await.unwrap();
}

/// Never holds, and waits for ever.
struct Waiting;

#[async_trait]
impl Ensure for Waiting {
    async fn check(&self, _host: &dyn Host) -> Result<Finding, HostError> {
        Ok(Finding::Drifted(vec![Drift::new("node cp-3", "not Ready", "Ready")]))
    }

    async fn apply(&self, host: &dyn Host, _work: &Work<'_>) -> Result<(), HostError> {
        host.write("/begun", b"", 0o600).await?;
        std::future::pending().await
    }
}

fn waiting(_goal: &Goal) -> &dyn Ensure {
    &Waiting
}

async fn waits_for(host: &Arc<TestHost>, goal: Goal) -> (Arc<Worker>, impl Stream<Item = Event>) {
    let worker = Worker::open(host.clone(), waiting, "/state").await.unwrap();
    let events = worker.ensure(&alice(), order("1", term(1, "a"), goal)).await.unwrap();
    while !host.has("/begun") {
        tokio::task::yield_now().await;
    }
    (worker, events)
}

#[tokio::test]
async fn claim_of_a_newer_run_ends_an_abandoned_wait() {
    let host = Arc::new(TestHost::default());
    let (worker, events) =
        waits_for(&host, Goal::Cluster(ClusterGoal::NodesReady([cp_1()].into()))).await;
    worker.claim(&alice(), &term(1, "a")).await.unwrap();
    assert!(worker.describe(&cp_1()).await.unwrap().under_way.is_some(), "its own run waits on");
    worker.claim(&alice(), &term(2, "b")).await.unwrap();
    assert_eq!(worker.describe(&cp_1()).await.unwrap().under_way, None);
    let told: Vec<_> = events.collect().await;
    assert!(matches!(ended(&told), (Finding::Unknown { .. }, Some(_))), "{told:?}");
}

#[tokio::test]
async fn claim_of_a_newer_run_leaves_a_change_alone() {
    let host = Arc::new(TestHost::default());
    let (worker, _events) = waits_for(&host, Goal::Host(HostGoal::SwapOff)).await;
    worker.claim(&alice(), &term(2, "b")).await.unwrap();
    assert!(worker.describe(&cp_1()).await.unwrap().under_way.is_some());
}
