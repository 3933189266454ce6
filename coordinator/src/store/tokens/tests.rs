//! Tokens and their states, in a store on disk.

use super::*;

const ONE: KeyDigest = KeyDigest([1; 32]);
const TWO: KeyDigest = KeyDigest([2; 32]);
const HOUR: i64 = 3_600;

fn record(state: TokenState) -> TokenRecord {
    TokenRecord {
        id: TokenId([7; 10]),
        node: NodeName::try_from("cp-1").unwrap(),
        verify_key: VerifyKey([9; 32]),
        role: Role::ControlPlane,
        approval: Approval::Auto,
        issued_at: 1_000,
        not_after: 4_600,
        state,
        claimant: None,
    }
}

fn claimant(at: i64) -> Claimant {
    Claimant { at, from: "10.0.0.11".to_owned(), facts_json: "{}".to_owned() }
}

fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap())
}

/// A store with a token that waits for a person, claimed by key one.
fn waiting(folder: &tempfile::TempDir) -> (Store, TokenRecord) {
    let mut store = Store::open(folder.path()).unwrap();
    let token = TokenRecord { approval: Approval::Code, ..record(TokenState::Issued) };
    store.add_token(&token).unwrap();
    assert_eq!(store.claim(&token.id, &ONE, &claimant(2_000)).unwrap(), Claimed::Waits);
    (store, token)
}

fn state(store: &Store, token: &TokenRecord) -> TokenState {
    store.token(&token.id).unwrap().unwrap().state
}

#[test]
fn a_token_serves_one_key_within_its_time() {
    use TokenState::{Burned, Issued, Rejected, Signed, Void};
    let claimed_one = TokenState::Claimed(ONE);
    let table = [
        (Issued, ONE, 4_600, Claimed::Granted, claimed_one),
        (Issued, ONE, 4_601, Claimed::Late, Issued),
        (claimed_one, ONE, 5_200, Claimed::Granted, claimed_one),
        (claimed_one, ONE, 5_201, Claimed::Late, claimed_one),
        (claimed_one, TWO, 2_000, Claimed::Burned, Burned),
        (Signed(ONE), ONE, 5_200, Claimed::Again, Signed(ONE)),
        (Signed(ONE), ONE, 5_201, Claimed::Late, Signed(ONE)),
        (Signed(ONE), TWO, 2_000, Claimed::Burned, Burned),
        (Signed(ONE), TWO, 9_000, Claimed::Burned, Burned),
        (Burned, ONE, 2_000, Claimed::Spent, Burned),
        (Rejected, ONE, 2_000, Claimed::Spent, Rejected),
        (Void, ONE, 2_000, Claimed::Spent, Void),
    ];
    for (state, key, now, claimed, after) in table {
        let found = record(state).claimed_by(&key, now);
        assert_eq!(found, (claimed, after), "{state:?} by {key:?} at {now}");
    }
}

#[test]
fn a_claim_that_a_person_has_to_approve_waits_for_a_day() {
    let awaiting = TokenState::Awaiting(ONE);
    let token = |state, claimed_at: Option<i64>| TokenRecord {
        approval: Approval::Code,
        claimant: claimed_at.map(claimant),
        ..record(state)
    };
    let fresh = token(TokenState::Issued, None);
    assert_eq!(fresh.claimed_by(&ONE, 4_600), (Claimed::Waits, awaiting));
    let waits = token(awaiting, Some(4_600));
    assert_eq!(waits.claimed_by(&ONE, 4_600 + 24 * HOUR), (Claimed::Waits, awaiting));
    assert_eq!(waits.claimed_by(&ONE, 4_601 + 24 * HOUR), (Claimed::Late, awaiting));
    assert_eq!(waits.claimed_by(&TWO, 4_601), (Claimed::Burned, TokenState::Burned));
}

#[test]
fn states_survive_the_store_and_a_new_token_voids_the_unused() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let token = record(TokenState::Issued);
    let node = token.node.clone();
    store.add_token(&token).unwrap();
    assert!(!store.enrolled(&node).unwrap());
    assert_eq!(store.claim(&token.id, &ONE, &claimant(600)).unwrap(), Claimed::Granted);
    drop(store);

    let mut store = Store::open(folder.path()).unwrap();
    let found = store.token(&token.id).unwrap().unwrap();
    let claimed = TokenState::Claimed(ONE);
    let claimant = claimant(600);
    assert_eq!(
        found,
        TokenRecord { state: claimed, claimant: Some(claimant.clone()), ..token.clone() }
    );
    let certificate = StoredCertificate { der: vec![1], issued_at: 600, not_after: 9 };
    assert!(!store.sign(&token, &TWO, &certificate, "{}").unwrap(), "another key");
    assert!(store.sign(&token, &ONE, &certificate, "{}").unwrap());
    assert!(store.enrolled(&node).unwrap());
    assert_eq!(store.certificate(&ONE).unwrap(), Some(certificate));
    assert_eq!(store.enrolment_facts(&node).unwrap().as_deref(), Some("{}"));

    let again = |id| TokenRecord { id: TokenId([id; 10]), ..token.clone() };
    store.add_token(&again(8)).unwrap();
    store.add_token(&again(9)).unwrap();
    assert!(!store.enrolled(&node).unwrap(), "it has to use the new one");
    let state = |id| store.token(&TokenId([id; 10])).unwrap().unwrap().state;
    assert_eq!(state(7), TokenState::Signed(ONE));
    assert_eq!((state(8), state(9)), (TokenState::Void, TokenState::Issued));
    assert_eq!(store.claim(&TokenId([9; 10]), &ONE, &claimant).unwrap(), Claimed::KnownKey);
    let newest: Vec<_> =
        store.newest_tokens().unwrap().into_iter().map(|token| token.id.0[0]).collect();
    assert_eq!(newest, [9]);
}

#[test]
fn the_right_code_lets_the_key_through_that_waits_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, token) = waiting(&folder);
    let code = EnrolCode::of(&ONE).to_string();
    let other = NodeName::try_from("cp-2").unwrap();
    assert_eq!(store.approve(&other, &code, at(2_001)).unwrap(), Approved::NobodyWaits);
    // Long after the token's own time.
    assert_eq!(store.approve(&token.node, &code, at(20_000)).unwrap(), Approved::Yes);
    drop(store);
    let mut store = Store::open(folder.path()).unwrap();
    assert_eq!(state(&store, &token), TokenState::Claimed(ONE));
    assert_eq!(store.approve(&token.node, &code, at(20_000)).unwrap(), Approved::NobodyWaits);
    assert_eq!(store.claim(&token.id, &ONE, &claimant(20_600)).unwrap(), Claimed::Granted);
    assert_eq!(store.claim(&token.id, &ONE, &claimant(20_601)).unwrap(), Claimed::Late);
    assert_eq!(store.claim(&token.id, &TWO, &claimant(20_600)).unwrap(), Claimed::Burned);
}

#[test]
fn five_wrong_codes_reject_a_claim_and_late_ones_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, token) = waiting(&folder);
    let (right, wrong) = (EnrolCode::of(&ONE).to_string(), EnrolCode::of(&TWO).to_string());
    let late = at(2_001 + 24 * HOUR);
    assert_eq!(store.approve(&token.node, &right, late).unwrap(), Approved::Late);
    for left in (1..WRONG_CODES).rev() {
        assert_eq!(
            store.approve(&token.node, &wrong, at(2_001)).unwrap(),
            Approved::Wrong { left }
        );
    }
    assert_eq!(store.approve(&token.node, &wrong, at(2_001)).unwrap(), Approved::Rejected);
    assert_eq!(store.approve(&token.node, &right, at(2_001)).unwrap(), Approved::NobodyWaits);
    assert_eq!(state(&store, &token), TokenState::Rejected);
    assert_eq!(store.claim(&token.id, &ONE, &claimant(2_002)).unwrap(), Claimed::Spent);
}

#[test]
fn a_second_key_burns_a_claim_that_waits_and_a_new_token_voids_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, token) = waiting(&folder);
    let newer = TokenRecord { id: TokenId([8; 10]), ..token.clone() };
    assert_eq!(store.claim(&token.id, &TWO, &claimant(2_001)).unwrap(), Claimed::Burned);
    let code = EnrolCode::of(&ONE).to_string();
    assert_eq!(store.approve(&token.node, &code, at(2_002)).unwrap(), Approved::NobodyWaits);
    assert_eq!(state(&store, &token), TokenState::Burned);

    store.add_token(&newer).unwrap();
    assert_eq!(store.claim(&newer.id, &ONE, &claimant(2_003)).unwrap(), Claimed::Waits);
    let newest = TokenRecord { id: TokenId([9; 10]), ..token.clone() };
    store.add_token(&newest).unwrap();
    assert_eq!(state(&store, &newer), TokenState::Void);
}

#[test]
fn a_node_came_in_by_its_newest_token_that_was_used_or_by_one_that_two_keys_claimed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let mut number = 0;
    let mut add = |store: &mut Store, role| {
        number += 1;
        let token = TokenRecord { id: TokenId([number; 10]), role, ..record(TokenState::Issued) };
        store.add_token(&token).unwrap();
        token
    };
    let claim = |store: &mut Store, token: &TokenRecord, key: &KeyDigest| {
        store.claim(&token.id, key, &claimant(2_000)).unwrap()
    };
    let certificate = StoredCertificate { der: Vec::new(), issued_at: 0, not_after: i64::MAX };
    let roles = |store: &Store| {
        store.spent_tokens().unwrap().into_iter().map(|token| token.role).collect::<Vec<_>>()
    };
    let worker = add(&mut store, Role::Worker);
    assert_eq!(roles(&store), []);
    claim(&mut store, &worker, &ONE);
    assert!(store.sign(&worker, &ONE, &certificate, "{}").unwrap());
    add(&mut store, Role::ControlPlane);
    assert_eq!(roles(&store), [Role::Worker], "the newer one was not used");
    assert_eq!(claim(&mut store, &worker, &TWO), Claimed::Burned);
    assert_eq!(roles(&store), [Role::Worker], "the first key has its certificate all the same");
    let burned = add(&mut store, Role::ControlPlane);
    claim(&mut store, &burned, &KeyDigest([3; 32]));
    claim(&mut store, &burned, &KeyDigest([4; 32]));
    assert_eq!(roles(&store), [Role::Worker, Role::ControlPlane]);
    let newest = add(&mut store, Role::ControlPlane);
    claim(&mut store, &newest, &TWO);
    assert!(store.sign(&newest, &TWO, &certificate, "{}").unwrap());
    assert_eq!(roles(&store), [Role::ControlPlane]);
}
