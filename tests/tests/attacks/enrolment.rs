//! Tokens and enrolment, B1 to B28: the coordinator's own listener and the agent's own code over TLS on
//! loopback, with a machine in memory behind the agent. Alarms are lines of the log; here is tested what
//! makes them. Which cases are shown elsewhere, or do not apply, stands in docs/SECURITY.md.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use quorate::store::{Approved, Claimant, TokenState};
use quorate::ui::nodes_text;
use quorate_agent::enrol::{EnrolError, Remedy, read_token};
use quorate_agent::host::fake::FakeHost;
use quorate_agent::host::linux::LinuxHost;
use quorate_agent::identity::NodeIdentity;
use quorate_proto::trust::enrol::ClaimReply;
use quorate_proto::trust::{
    Credentials, EnrolCode, GrantedIdentity, JoinToken, Who, enrol_channel, enrol_server_config,
    incoming, prove, unclaimed_channel,
};
use quorate_proto::wire::node::DescribeRequest;
use quorate_proto::wire::node::node_client::NodeClient;
use quorate_proto::{Machine, Secret};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Server;

use super::coordinator::{
    AUTO, BY_CODE, Coordinator, FOLDER, HOUR, facts, key, name, refused, send,
};

fn leaf_of(reply: &ClaimReply) -> &[u8] {
    &reply.chain[0]
}

#[tokio::test]
async fn b1_a_changed_character_is_found_before_anybody_is_asked() {
    let coordinator = Coordinator::start().await;
    let (token, disk) = (coordinator.token("cp-1", &AUTO), FakeHost::bare());
    let mut text = token.to_text().expose().to_owned();
    let last = if text.pop() == Some('0') { '8' } else { '0' };
    disk.state().put("/token", &format!("{text}{last}"));
    let error = read_token(&disk, "/token").await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Token, "{error}");
    assert_eq!(coordinator.state(&token), TokenState::Issued);
}

#[tokio::test]
async fn b2_what_copying_adds_round_a_token_is_taken_off_and_nothing_within() {
    let coordinator = Coordinator::start().await;
    let (token, disk) = (coordinator.token("cp-1", &AUTO), FakeHost::bare());
    let text = token.to_text().expose().to_owned();
    let (half, rest) = text.split_at(40);
    let table = [
        (format!("  {text}\n"), true),
        (format!("{text}\r\n\r\n"), true),
        (format!("\u{feff}{text}"), true),
        (format!("\t{}\t", text.to_uppercase()), true),
        (format!("\"{text}\""), false),
        (format!("{half} {rest}"), false),
        (format!("{half}\r\n{rest}"), false),
        (format!("{text} # cp-1"), false),
    ];
    for (content, good) in table {
        disk.state().put("/token", &content);
        assert_eq!(read_token(&disk, "/token").await.is_ok(), good, "{}", content.len());
    }
}

#[tokio::test]
async fn b3_a_newer_token_asks_for_a_newer_agent() {
    let token = Coordinator::start().await.token("cp-1", &AUTO);
    let newer = token.to_text().expose().replacen("qrt1_", "qrt2_", 1);
    let error = newer.parse::<JoinToken>().unwrap_err();
    assert!(error.to_string().contains("upgrade the agent"), "{error}");
}

#[tokio::test]
async fn b4_and_b5_a_token_comes_from_a_small_private_file_alone() {
    let token = Coordinator::start().await.token("cp-1", &AUTO);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let put = |name: &str, content: Vec<u8>, mode: u32| {
        std::fs::write(at(name), content).unwrap();
        std::fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    };
    let text = || token.to_text().expose().as_bytes().to_vec();
    put("good", text(), 0o600);
    put("readable", text(), 0o644);
    put("huge", vec![b'q'; 10 << 20], 0o600);
    symlink(at("good"), at("link")).unwrap();
    symlink("/dev/zero", at("zero")).unwrap();
    let host = LinuxHost::new();
    assert_eq!(read_token(&host, &at("good")).await.unwrap().id(), token.id());
    let table = [
        ("readable", "mode 0644"),
        ("huge", "more than 4096 bytes"),
        ("link", "symbolic link"),
        ("zero", "symbolic link"),
        ("", "no regular file"),
        ("missing", "does not exist"),
    ];
    for (file, why) in table {
        let error = read_token(&host, &at(file)).await.unwrap_err();
        assert_eq!(error.remedy(), Remedy::Token, "{file}");
        let told = quorate_proto::in_one_line(&error);
        assert!(told.contains(why), "{file}: {told}");
    }
    let error = read_token(&host, "/dev/zero").await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Token, "{error}");
}

#[tokio::test]
async fn b6_another_coordinator_never_sees_the_claim() {
    let (ours, other) = (Coordinator::start().await, Coordinator::start().await);
    let token = ours.token("cp-1", &AUTO);
    let error = other.enrol(&FakeHost::bare(), &token).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Stranger, "{error}");
    assert_eq!(ours.state(&token), TokenState::Issued);
}

#[tokio::test]
async fn b7_a_certificate_for_the_right_name_from_any_authority_does_not_serve() {
    let token = Coordinator::start().await.token("cp-1", &AUTO);
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let names = vec!["coordinator.quorate.internal".to_owned(), "localhost".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let credentials = Credentials {
        chain_pem: leaf.pem() + &root.pem(),
        key_pem: Secret::new(key.serialize_pem()),
        peer_roots_pem: String::new(),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let config = enrol_server_config(&credentials).unwrap();
    let incoming = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
    let routes = tonic::service::Routes::default();
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(incoming));
    let error = enrol_channel(&address, token.pin()).await.unwrap_err();
    assert!(error.to_string().contains("not the one that made the token"), "{error}");
}

#[tokio::test]
async fn b8_b9_and_b27_expired_unknown_guessed_and_replaced_tokens_read_the_same() {
    let coordinator = Coordinator::start().await;
    let (late, replaced) = (coordinator.token("cp-1", &AUTO), coordinator.token("cp-2", &AUTO));
    let newer = coordinator.token("cp-2", &AUTO);
    let mut texts = BTreeSet::new();
    texts.insert(refused(coordinator.claim_with(&replaced, &key()).await));
    let unknown = JoinToken::mint(late.pin()).unwrap();
    texts.insert(refused(coordinator.claim_with(&unknown, &key()).await));
    // The right id, signed with another token's key.
    let (channel, binding) = coordinator.connect(&late).await;
    let mut forged = prove(&unknown, &binding, key().request().unwrap(), facts()).unwrap();
    forged.token_id = late.id().0.to_vec();
    texts.insert(refused(send(channel, forged).await));
    coordinator.pass(HOUR + Duration::from_secs(1));
    texts.insert(refused(coordinator.claim_with(&late, &key()).await));
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(coordinator.state(&late), TokenState::Issued);
    assert_eq!(coordinator.state(&newer), TokenState::Issued);
}

#[tokio::test]
async fn b10_the_same_key_gets_the_same_certificate_again() {
    let coordinator = Coordinator::start().await;
    let (token, key) = (coordinator.token("cp-1", &AUTO), key());
    let first = coordinator.claim_with(&token, &key).await.unwrap();
    coordinator.pass(Duration::from_mins(5));
    assert_eq!(coordinator.claim_with(&token, &key).await.unwrap(), first);
    assert_eq!(coordinator.site.store().unwrap().newest_tokens().unwrap().len(), 1);
}

#[tokio::test]
async fn b11_a_second_key_burns_the_token() {
    let coordinator = Coordinator::start().await;
    for terms in [AUTO, BY_CODE] {
        let (token, first) = (coordinator.token("cp-1", &terms), key());
        coordinator.claim_with(&token, &first).await.unwrap();
        refused(coordinator.claim_with(&token, &key()).await);
        assert_eq!(coordinator.state(&token), TokenState::Burned);
        refused(coordinator.claim_with(&token, &first).await);
        let code = EnrolCode::of(&first.key_digest()).to_string();
        assert_eq!(coordinator.approve("cp-1", &code), Approved::NobodyWaits);
    }
}

#[tokio::test]
async fn b12_of_two_at_once_one_at_most_is_let_in() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("cp-1", &AUTO);
    let (one, two) = (key(), key());
    let (one, two) =
        tokio::join!(coordinator.claim_with(&token, &one), coordinator.claim_with(&token, &two));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(coordinator.state(&token), TokenState::Burned);
}

#[tokio::test]
async fn b13_a_claim_made_on_one_connection_is_refused_on_another() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("cp-1", &AUTO);
    let (_, elsewhere) = coordinator.connect(&token).await;
    let (channel, _) = coordinator.connect(&token).await;
    let recorded = prove(&token, &elsewhere, key().request().unwrap(), facts()).unwrap();
    refused(send(channel, recorded).await);
    assert_eq!(coordinator.state(&token), TokenState::Issued);
}

#[tokio::test]
async fn b15_a_request_gives_its_key_and_no_names_or_powers() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("worker-1", &AUTO);
    let pair = KeyPair::generate().unwrap();
    let mut greedy = CertificateParams::new(vec!["cp-1".to_owned()]).unwrap();
    let admin = format!("urn:quorate:site:{}:operator:admin", coordinator.site.id());
    greedy.subject_alt_names.push(rcgen::SanType::URI(admin.try_into().unwrap()));
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let csr = greedy.serialize_request(&pair).unwrap().der().to_vec();
    let reply = coordinator.claim(&token, csr, &facts()).await.unwrap();
    let leaf = leaf_of(&reply).to_vec();
    let granted = GrantedIdentity::from(reply);
    let credentials = granted.credentials(Secret::new(pair.serialize_pem()));
    assert_eq!(credentials.identity().unwrap().who, Who::Node(name("worker-1")));
    let holds = |text: &str| leaf.windows(text.len()).any(|found| found == text.as_bytes());
    assert!(holds("node:worker-1") && !holds("operator:admin") && !holds("cp-1"));
}

#[tokio::test]
async fn b16_and_b19_requests_that_are_none_are_refused_and_spend_nothing() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("cp-1", &AUTO);
    let mut forged = key().request().unwrap();
    *forged.last_mut().unwrap() ^= 1;
    let names = (0..5_000).map(|number| format!("n{number}.example.org")).collect::<Vec<_>>();
    let crowded = CertificateParams::new(names).unwrap();
    let crowded = crowded.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let nested = [0x30, 0x82, 0x0f, 0xfc].repeat(1_000);
    let indefinite = [0x30, 0x80].repeat(2_000);
    let requests = [
        forged,
        nested,
        indefinite,
        Vec::new(),
        vec![0; 4_097],
        crowded.der().to_vec(),
        vec![0x30; 1 << 20],
    ];
    for request in requests {
        let size = request.len();
        let status = coordinator.claim(&token, request, &facts()).await.unwrap_err();
        // Above the limit of messages nobody looks at what it is.
        let code = if size > 60_000 { Code::OutOfRange } else { Code::PermissionDenied };
        assert_eq!(status.code(), code, "{size}: {status:?}");
        assert_eq!(coordinator.state(&token), TokenState::Issued, "{size}");
    }
    coordinator.claim_with(&token, &key()).await.unwrap();
}

#[tokio::test]
async fn b17_other_kinds_of_keys_are_refused() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("cp-1", &AUTO);
    let kinds = [
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_RSA_SHA256,
    ];
    for kind in kinds {
        let pair = KeyPair::generate_for(kind).unwrap();
        let request = CertificateParams::default().serialize_request(&pair).unwrap();
        refused(coordinator.claim(&token, request.der().to_vec(), &facts()).await);
        assert_eq!(coordinator.state(&token), TokenState::Issued, "{kind:?}");
    }
}

#[tokio::test]
async fn b18_the_key_of_another_node_is_refused() {
    let coordinator = Coordinator::start().await;
    let copied = key();
    coordinator.claim_with(&coordinator.token("cp-1", &AUTO), &copied).await.unwrap();
    let token = coordinator.token("cp-2", &AUTO);
    refused(coordinator.claim_with(&token, &copied).await);
    assert_eq!(coordinator.state(&token), TokenState::Issued);
}

#[tokio::test]
async fn b21_what_a_machine_says_of_itself_cannot_write_to_a_terminal() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("cp-1", &BY_CODE);
    let machine =
        Machine { os: "\u{1b}]0;owned\u{7}\u{1b}[2JDebian".to_owned(), ..Machine::default() };
    let facts = serde_json::to_string(&machine).unwrap();
    let reply = coordinator.claim(&token, key().request().unwrap(), &facts).await.unwrap();
    assert!(reply.waits().is_some());
    let shown = nodes_text::table(&coordinator.site.store().unwrap().newest_tokens().unwrap(), 0);
    assert!(shown.contains("Debian") && !shown.contains('\u{1b}'), "{shown:?}");

    let token = coordinator.token("cp-2", &BY_CODE);
    let machine = Machine { os: "x".repeat(20_000), ..Machine::default() };
    for bad in [serde_json::to_string(&machine).unwrap(), "{".to_owned(), String::new()] {
        refused(coordinator.claim(&token, key().request().unwrap(), &bad).await);
    }
    assert_eq!(coordinator.state(&token), TokenState::Issued);
}

#[tokio::test]
async fn b22_a_coordinator_that_dies_between_any_two_states_goes_on() {
    let coordinator = Coordinator::start().await;
    // It died after it wrote down the claim, before the certificate was made.
    let (token, own) = (coordinator.token("worker-1", &AUTO), key());
    let claimant = Claimant { at: 0, from: "127.0.0.1".to_owned(), facts_json: facts() };
    let mut store = coordinator.site.store().unwrap();
    store.claim(&token.id(), &own.key_digest(), &claimant).unwrap();
    let again = coordinator.again().await;
    let reply = again.claim_with(&token, &own).await.unwrap();
    assert!(reply.waits().is_none());
    // After it was made, before the answer.
    assert_eq!(coordinator.again().await.claim_with(&token, &own).await.unwrap(), reply);
    refused(coordinator.again().await.claim_with(&token, &key()).await);

    // While a claim waits, and after it was approved.
    let (token, own) = (coordinator.token("cp-1", &BY_CODE), key());
    assert!(coordinator.claim_with(&token, &own).await.unwrap().waits().is_some());
    let again = coordinator.again().await;
    assert!(again.claim_with(&token, &own).await.unwrap().waits().is_some());
    let code = EnrolCode::of(&own.key_digest()).to_string();
    assert_eq!(again.approve("cp-1", &code), Approved::Yes);
    let again = coordinator.again().await;
    assert!(again.claim_with(&token, &own).await.unwrap().waits().is_none());
}

#[tokio::test]
async fn b23_a_disk_that_is_full_leaves_no_half_identity_and_the_token_serves_again() {
    let coordinator = Coordinator::start().await;
    for writes in 0..5 {
        let (token, disk) = (coordinator.token("cp-1", &AUTO), FakeHost::bare());
        disk.interrupt_after(writes);
        let error = coordinator.enrol(&disk, &token).await.unwrap_err();
        assert!(matches!(error, EnrolError::Identity(_)), "after {writes}: {error}");
        assert!(disk.revive());
        assert_eq!(NodeIdentity::load(&disk, FOLDER).await.unwrap(), None, "after {writes}");
        coordinator.enrol(&disk, &token).await.unwrap();
        coordinator.pass(Duration::from_mins(1));
    }
}

#[tokio::test]
async fn b24_an_enrolled_node_refuses_new_first_boot_data() {
    let coordinator = Coordinator::start().await;
    let disk = FakeHost::bare();
    let first = coordinator.token("cp-1", &AUTO);
    let identity = coordinator.enrol(&disk, &first).await.unwrap();
    let second = coordinator.token("cp-2", &AUTO);
    let error = coordinator.enrol(&disk, &second).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Reset, "{error}");
    assert_eq!(coordinator.state(&second), TokenState::Issued, "nobody was asked");
    assert_eq!(NodeIdentity::load(&disk, FOLDER).await.unwrap(), Some(identity));
}

#[tokio::test]
async fn b25_five_wrong_codes_reject_a_claim() {
    let coordinator = Coordinator::start().await;
    let (token, disk) = (coordinator.token("cp-1", &BY_CODE), FakeHost::bare());
    let error = coordinator.enrol(&disk, &token).await.unwrap_err();
    let EnrolError::Unapproved { code } = error else { panic!("{error}") };
    for left in [4, 3, 2, 1] {
        let wrong = coordinator.approve("cp-1", "acid acid acid acid acid acid");
        assert_eq!(wrong, Approved::Wrong { left });
    }
    assert_eq!(coordinator.approve("cp-1", ""), Approved::Rejected);
    assert_eq!(coordinator.approve("cp-1", &code.to_string()), Approved::NobodyWaits);
    let error = coordinator.enrol(&disk, &token).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::NewToken, "{error}");

    // The right one, on the agent's console and typed by a person, lets in that key.
    let token = coordinator.token("cp-1", &BY_CODE);
    let error = coordinator.enrol(&disk, &token).await.unwrap_err();
    let EnrolError::Unapproved { code } = error else { panic!("{error}") };
    assert_eq!(coordinator.approve("cp-1", &code.to_string()), Approved::Yes);
    coordinator.enrol(&disk, &token).await.unwrap();
}

#[tokio::test]
async fn b26_a_flood_of_claims_is_cut_off_for_the_minute() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("cp-1", &AUTO);
    let stranger = JoinToken::mint(token.pin()).unwrap();
    let (channel, binding) = coordinator.connect(&token).await;
    let claim = prove(&stranger, &binding, key().request().unwrap(), facts()).unwrap();
    let mut codes = Vec::new();
    for _ in 0..200 {
        codes.push(send(channel.clone(), claim.clone()).await.unwrap_err().code());
    }
    let (looked_at, rest) = codes.split_at(10);
    assert!(looked_at.iter().all(|code| *code == Code::PermissionDenied), "{looked_at:?}");
    assert!(rest.iter().all(|code| *code == Code::ResourceExhausted), "{rest:?}");
    coordinator.pass(Duration::from_mins(1));
    coordinator.claim_with(&token, &key()).await.unwrap();
}

#[tokio::test]
async fn b28_a_clients_certificate_gains_nothing_where_nodes_enrol() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("cp-1", &AUTO);
    let operator = coordinator.site.run_credentials(coordinator.now()).unwrap();
    let (channel, binding) =
        unclaimed_channel(&coordinator.address.to_string(), &operator.credentials).await.unwrap();
    let stranger = JoinToken::mint(token.pin()).unwrap();
    let claim = prove(&stranger, &binding, key().request().unwrap(), facts()).unwrap();
    refused(send(channel.clone(), claim).await);
    let status = NodeClient::new(channel).describe(DescribeRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
}
