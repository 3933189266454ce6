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
