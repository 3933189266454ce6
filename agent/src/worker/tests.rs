//! Operations on machines that die, stay busy or panic.

mod fake;
mod terms;

use async_trait::async_trait;
use quorate_proto::goal::{ClusterGoal, Entry, HostGoal, Offer};
use quorate_proto::{Drift, RunId};

use self::fake::{TestHost, goals};
use super::*;

const LEDGER: &str = "/state/ledger.json";
const SWAP_OFF: Goal = Goal::Host(HostGoal::SwapOff);
const PODS_READY: Goal = Goal::Cluster(ClusterGoal::SystemPodsReady);

/// Is seen to hold by each wait, and by a look of the worker's only from the fourth on.
struct Flickering;

#[async_trait]
impl Ensure for Flickering {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        host.append("/looks", b".").await?;
        let looks = host.read("/looks").await?.unwrap_or_default().len();
        let settles = host.read("/never").await?.is_none();
        let drift = Drift::new("DNS", "no answer", "an answer");
        let holds = settles && looks > 3;
        Ok(if holds { Finding::Satisfied } else { Finding::Drifted(vec![drift]) })
    }

    async fn apply(&self, _host: &dyn Host, _work: &Work<'_>) -> Result<(), HostError> {
        Ok(())
    }
}

fn flickering(_goal: &Goal) -> &dyn Ensure {
    &Flickering
}

fn alice() -> Caller {
    let operator = "alice".try_into().unwrap();
    Caller { operator, address: "127.0.0.1:9".parse().unwrap() }
}

async fn open(host: &Arc<TestHost>) -> Arc<Worker> {
    Worker::open(host.clone(), goals, "/state").await.unwrap()
}

fn cp_1() -> NodeName {
    NodeName::try_from("cp-1").unwrap()
}

/// An agent's life, killed at its end: whatever it had spawned is gone.
fn killed_after(life: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(life);
}

fn term(number: u64, run: &str) -> Term {
    Term { number, run: RunId(run.to_owned()) }
}

fn order(id: &str, term: Term, goal: Goal) -> Order {
    Order { operation: OperationId(id.to_owned()), term, goal, material: None }
}

fn first() -> Order {
    order("1", term(1, "a"), SWAP_OFF)
}

fn refusal(taken: Result<impl Stream<Item = Event>, NotTaken>) -> Refusal {
    match taken {
        Err(NotTaken::Refused(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the order was taken"),
    }
}

fn ended(events: &[Event]) -> (&Finding, Option<&Failure>) {
    match events.last() {
        Some(Event::Ended { finding, failure }) => (finding, failure.as_ref()),
        other => panic!("the last event is {other:?}"),
    }
}

fn applying() -> Event {
    Event::Activity(Activity { kind: ActivityKind::Own, text: "applying".to_owned() })
}

#[tokio::test]
async fn the_work_goes_on_when_nobody_listens() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    drop(worker.ensure(&alice(), first()).await.unwrap());
    host.gate.open();
    let told: Vec<_> = worker.ensure(&alice(), first()).await.unwrap().collect().await;
    assert_eq!(ended(&told), (&Finding::Satisfied, None));
    assert!(host.has("/holds"));
    assert_eq!(worker.describe(&cp_1()).await.unwrap().under_way, None);
}

#[tokio::test]
async fn the_same_operation_is_attached_to_and_another_is_refused() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    let mut begun = pin!(worker.ensure(&alice(), first()).await.unwrap());
    assert_eq!(begun.next().await, Some(Event::Started { attached: false }));
    assert_eq!(begun.next().await, Some(applying()));

    let attached = worker.ensure(&alice(), first()).await.unwrap();
    let other = worker.ensure(&alice(), order("2", term(1, "a"), SWAP_OFF)).await;
    let busy = Refusal::Busy { operation: OperationId("1".to_owned()), goal: "swap-off".into() };
    assert_eq!(refusal(other), busy);
    let strange = worker.ensure(&alice(), order("1", term(1, "a"), PODS_READY)).await;
    assert!(matches!(refusal(strange), Refusal::Invalid(_)));
    let under_way = worker.describe(&cp_1()).await.unwrap().under_way.unwrap();
    assert_eq!((under_way.goal, under_way.since_ms), ("swap-off".into(), 1_000));

    host.gate.open();
    let told: Vec<_> = attached.collect().await;
    assert_eq!(told[..2], [Event::Started { attached: true }, applying()]);
    assert_eq!(ended(&told), (&Finding::Satisfied, None));
    assert!(begun.any(|event| async move { matches!(event, Event::Ended { .. }) }).await);
}

#[tokio::test]
async fn a_goal_that_holds_is_not_applied() {
    let host = Arc::new(TestHost::default());
    host.put("/holds", b"");
    host.gate.open();
    let told: Vec<_> = open(&host).await.ensure(&alice(), first()).await.unwrap().collect().await;
    assert_eq!(ended(&told), (&Finding::Satisfied, None));
    assert!(!host.has("/begun"));
}

#[tokio::test]
async fn an_offer_of_another_run_is_replaced_although_it_holds() {
    let host = Arc::new(TestHost::default());
    host.put("/holds", b"");
    host.gate.open();
    let on = crate::kubeadm::sample::node(Entry::Founder);
    let offer = Goal::Cluster(ClusterGoal::JoinOffered(Offer { on, certificates: false }));
    let order = order("1", term(1, "a"), offer);
    open(&host).await.ensure(&alice(), order).await.unwrap().collect::<Vec<_>>().await;
    assert!(host.has("/begun"), "it was not applied");
}

#[tokio::test]
async fn a_newer_run_that_meets_a_busy_node_ends_the_older_runs_say() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    drop(worker.ensure(&alice(), first()).await.unwrap());
    let newer = worker.ensure(&alice(), order("2", term(2, "b"), SWAP_OFF)).await;
    assert!(matches!(refusal(newer), Refusal::Busy { .. }));
    let superseded = Refusal::Superseded { term: term(2, "b") };
    assert_eq!(refusal(worker.ensure(&alice(), first()).await), superseded);
}

#[tokio::test]
async fn a_panic_is_a_failure_and_the_agent_works_on() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    let order_1 = order("1", term(1, "a"), PODS_READY);
    let told: Vec<_> = worker.ensure(&alice(), order_1).await.unwrap().collect().await;
    let (finding, failure) = ended(&told);
    assert!(matches!(finding, Finding::Drifted(_)));
    let causes = &failure.unwrap().causes;
    assert!(
        causes[0].contains("our bug") && causes[0].contains("an invariant broke"),
        "{causes:?}"
    );

    host.gate.open();
    let order_2 = order("2", term(1, "a"), SWAP_OFF);
    let told: Vec<_> = worker.ensure(&alice(), order_2).await.unwrap().collect().await;
    assert_eq!(ended(&told), (&Finding::Satisfied, None));
}

#[tokio::test]
async fn an_error_of_apply_is_told_and_the_check_has_the_last_word() {
    let host = Arc::new(TestHost::default());
    let locked = order(
        "1",
        term(1, "a"),
        Goal::Host(HostGoal::Packages(quorate_proto::goal::Packages { packages: Vec::new() })),
    );
    let told: Vec<_> = open(&host).await.ensure(&alice(), locked).await.unwrap().collect().await;
    let (finding, failure) = ended(&told);
    assert!(matches!(finding, Finding::Drifted(_)));
    let failure = failure.unwrap();
    assert_eq!(failure.causes, ["the package database is locked"]);
    assert!(failure.transient);
}

#[test]
fn units_that_outlived_the_agent_are_followed_to_their_end() {
    let host = Arc::new(TestHost::default());
    killed_after(async { drop(open(&host).await.ensure(&alice(), first()).await.unwrap()) });
    host.units.lock().unwrap().push_back("quorate-1".to_owned());

    killed_after(async {
        let restarted = open(&host).await;
        let facts = restarted.describe(&cp_1()).await.unwrap();
        assert_eq!(facts.under_way.unwrap().operation, OperationId("1".to_owned()));
        let other = restarted.ensure(&alice(), order("2", term(1, "a"), SWAP_OFF)).await;
        assert!(matches!(refusal(other), Refusal::Busy { .. }));

        let attached = restarted.ensure(&alice(), first()).await.unwrap();
        host.gate.open();
        let told: Vec<_> = attached.collect().await;
        assert_eq!(ended(&told), (&Finding::Satisfied, None));
        assert_eq!(host.ledger().under_way, None);
        let again: Vec<_> = restarted.ensure(&alice(), first()).await.unwrap().collect().await;
        assert_eq!(ended(&again), (&Finding::Satisfied, None));
    });
}

#[test]
fn what_a_restart_left_half_done_is_worth_another_try() {
    let host = Arc::new(TestHost::default());
    killed_after(async { drop(open(&host).await.ensure(&alice(), first()).await.unwrap()) });
    host.units.lock().unwrap().push_back("quorate-1".to_owned());
    host.put("/more-to-do", b"");

    killed_after(async {
        let attached = open(&host).await.ensure(&alice(), first()).await.unwrap();
        host.gate.open();
        let told: Vec<_> = attached.collect().await;
        let (finding, failure) = ended(&told);
        assert!(matches!(finding, Finding::Drifted(_)));
        let failure = failure.unwrap();
        assert_eq!(failure.causes, ["the agent was restarted in the middle of it"]);
        assert!(failure.transient);
    });
}

#[test]
fn an_operation_that_left_no_unit_ended_with_the_agent() {
    let host = Arc::new(TestHost::default());
    killed_after(async { drop(open(&host).await.ensure(&alice(), first()).await.unwrap()) });
    assert!(host.ledger().under_way.is_some());
    killed_after(async {
        let restarted = open(&host).await;
        assert_eq!(restarted.describe(&cp_1()).await.unwrap().under_way, None);
        assert_eq!(host.ledger(), Content { term: term(1, "a"), under_way: None });
    });
}

#[tokio::test]
async fn an_operation_that_failed_is_not_over_while_a_unit_of_it_runs() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    let begun = worker.ensure(&alice(), order("1", term(1, "a"), PODS_READY)).await.unwrap();
    host.units.lock().unwrap().push_back("quorate-1".to_owned());
    let goes_on = Event::Output { line: "quorate-1 goes on".to_owned() };
    let mut begun = pin!(begun.skip_while(|event| {
        let before = *event != goes_on;
        async move { before }
    }));
    assert!(begun.next().await.is_some());
    let other = worker.ensure(&alice(), order("2", term(1, "a"), SWAP_OFF)).await;
    assert!(matches!(refusal(other), Refusal::Busy { .. }));
    host.gate.open();
    let told: Vec<_> = begun.collect().await;
    let (finding, failure) = ended(&told);
    assert_eq!(*finding, Finding::Satisfied);
    assert!(failure.unwrap().causes[0].contains("an invariant broke"));
}

#[tokio::test]
async fn units_of_an_unknown_operation_keep_the_agent_from_starting() {
    let host = Arc::new(TestHost::default());
    host.units.lock().unwrap().push_back("quorate-1".to_owned());
    let opened = Worker::open(host, goals, "/state").await;
    assert!(matches!(opened, Err(OpenError::Stray(units)) if units == ["quorate-1"]));
}

#[tokio::test]
async fn cancelling_stops_the_units_and_ends_the_operation() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    let begun = worker.ensure(&alice(), first()).await.unwrap();
    host.units.lock().unwrap().push_back("quorate-1".to_owned());
    let other = OperationId("2".to_owned());
    worker.cancel(&alice(), &other, &term(1, "a")).await.unwrap();
    assert!(worker.describe(&cp_1()).await.unwrap().under_way.is_some());

    worker.cancel(&alice(), &OperationId("1".to_owned()), &term(1, "a")).await.unwrap();
    let told: Vec<_> = begun.collect().await;
    let (finding, failure) = ended(&told);
    assert!(matches!(finding, Finding::Drifted(_)));
    assert_eq!(failure.unwrap().causes, ["the operation was cancelled"]);
    assert!(host.units.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_order_that_cannot_be_recorded_is_not_begun() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    host.put("/full", b"");
    assert!(matches!(worker.ensure(&alice(), first()).await, Err(NotTaken::Ledger(_))));
    assert_eq!(worker.describe(&cp_1()).await.unwrap().under_way, None);
    assert!(!host.has("/begun"));
}

#[tokio::test]
async fn a_damaged_ledger_is_refused_and_left_as_it_is() {
    let host = Arc::new(TestHost::default());
    host.put(LEDGER, b"{\"term\":");
    let opened = Worker::open(host.clone(), goals, "/state").await;
    let Err(OpenError::Ledger(error)) = opened else { panic!("it was opened") };
    assert!(matches!(error, LedgerError::Damaged { .. }));
    assert!(error.to_string().contains("move the file away"), "{error}");
    assert_eq!(host.files.lock().unwrap()[LEDGER], b"{\"term\":");
}

#[tokio::test]
async fn findings_keep_the_order_of_their_goals_and_a_check_has_a_deadline() {
    let host = Arc::new(TestHost::default());
    host.put("/holds", b"");
    let silent =
        Goal::Cluster(ClusterGoal::NodesReady([NodeName::try_from("cp-1").unwrap()].into()));
    let found = open(&host).await.check(&[SWAP_OFF, silent, PODS_READY]).await;
    let why = "the check did not end within 5 s".to_owned();
    assert_eq!(found, [Finding::Satisfied, Finding::Unknown { why }, Finding::Satisfied]);
}

#[tokio::test]
async fn the_ledger_holds_no_material() {
    let host = Arc::new(TestHost::default());
    let secret = |text: &str| Secret::new(text.to_owned());
    let (token, certificate_key) = (secret("abcdef.0123456789abcdef"), secret("ffff"));
    let material = Some(JoinMaterial { token, certificate_key, ca_pem: None });
    drop(open(&host).await.ensure(&alice(), Order { material, ..first() }).await.unwrap());
    let ledger = String::from_utf8(host.files.lock().unwrap()[LEDGER].clone()).unwrap();
    assert!(ledger.contains("swap-off") && !ledger.contains("abcdef"), "{ledger}");
}

/// What the log says, without numbers and digests.
fn audited(host: &TestHost) -> Vec<Deed> {
    let files = host.files.lock().unwrap();
    let log = files.iter().filter(|(path, _)| path.starts_with("/state/audit/"));
    let text: Vec<u8> = log.flat_map(|(_, content)| content.clone()).collect();
    let entry = |line: &str| serde_json::from_str::<quorate_proto::audit::Entry>(line).unwrap();
    String::from_utf8(text).unwrap().lines().map(|line| entry(line).deed).collect()
}

#[tokio::test]
async fn what_is_asked_and_done_is_written_down() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    worker.claim(&alice(), &term(1, "a")).await.unwrap();
    worker.claim(&alice(), &term(1, "a")).await.unwrap();
    let begun = worker.ensure(&alice(), first()).await.unwrap();
    drop(worker.ensure(&alice(), first()).await.unwrap());
    let other = worker.ensure(&alice(), order("2", term(1, "a"), SWAP_OFF)).await;
    refusal(other);
    worker.cancel(&alice(), &OperationId("1".to_owned()), &term(1, "a")).await.unwrap();
    begun.collect::<Vec<_>>().await;
    host.put(ADMIN_CONF, b"kind: Config");
    assert!(worker.kubeconfig(&alice()).await.unwrap().is_some());
    worker.claim(&alice(), &term(0, "z")).await.unwrap_err();

    let said = audited(&host);
    let kinds: Vec<String> = said
        .iter()
        .map(|deed| serde_json::to_value(deed).unwrap()["what"].as_str().unwrap().to_owned())
        .collect();
    let wanted = [
        "agent-started",
        "claimed",
        "attempt",
        "begun",
        "refused",
        "cancelled",
        "ended",
        "kubeconfig",
        "refused",
    ];
    assert_eq!(kinds, wanted);
    let Deed::Attempt { by, goal, order, .. } = &said[2] else { panic!("{said:?}") };
    assert_eq!((by.operator.as_str(), by.address.as_str()), ("alice", "127.0.0.1:9"));
    let Order { operation, term, goal: whole, .. } = first();
    let digest = Sha256::of(&serde_json::to_vec(&(operation, term, whole)).unwrap());
    assert_eq!((goal, order), (&"swap-off".into(), &digest));
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let host = Arc::new(TestHost::default());
    let worker = open(&host).await;
    host.put(ADMIN_CONF, b"kind: Config");
    host.put("/audit-full", b"");
    let denied = |error: &NotTaken| {
        let told = error.to_string();
        assert!(matches!(error, NotTaken::Audit(_)) && told.contains("nothing is done"), "{told}");
    };
    denied(&worker.ensure(&alice(), first()).await.map(drop).unwrap_err());
    denied(&worker.claim(&alice(), &term(1, "a")).await.unwrap_err());
    denied(&worker.kubeconfig(&alice()).await.map(drop).unwrap_err());
    assert!(!host.has("/begun") && !host.has(LEDGER));
    assert!(matches!(worker.check(&[SWAP_OFF]).await[..], [Finding::Drifted(_)]));
    let head = worker.describe(&cp_1()).await.unwrap().audit.unwrap();
    assert_eq!(head.seq, 1);

    // Room again: it goes on by itself.
    host.files.lock().unwrap().remove("/audit-full");
    host.gate.open();
    let told: Vec<_> = worker.ensure(&alice(), first()).await.unwrap().collect().await;
    assert_eq!(ended(&told).1, None);
    assert_eq!(worker.describe(&cp_1()).await.unwrap().audit.unwrap().seq, 4);
}

#[tokio::test]
async fn what_was_seen_to_hold_and_is_gone_again_is_waited_for_once_more() {
    for (never, looks) in [(false, 4), (true, 1 + WAITS)] {
        let host = Arc::new(TestHost::default());
        if never {
            host.put("/never", b"");
        }
        let worker = Worker::open(host.clone(), flickering, "/state").await.unwrap();
        let waited = order("1", term(1, "a"), PODS_READY);
        let told: Vec<_> = worker.ensure(&alice(), waited).await.unwrap().collect().await;
        assert_eq!(ended(&told).0.is_satisfied(), !never);
        let looked = host.files.lock().unwrap()["/looks"].len();
        assert_eq!(looked, usize::try_from(looks).unwrap());
    }
}
