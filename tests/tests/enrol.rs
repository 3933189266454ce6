//! A node enrols at a coordinator: the agent's own code against the coordinator's, over TLS.

use std::collections::BTreeSet;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quorate::site::{Clock, Site, TokenTerms, serve_enrolment};
use quorate::spec::Role;
use quorate::store::Approval;
use quorate_agent::enrol::{Answer, EnrolError, claim};
use quorate_proto::trust::{NodeKey, client_config, server_config};
use quorate_proto::{AuditHead, Machine, NodeName};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_token_of_the_coordinator_gives_the_agent_its_identity() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let site = Arc::new(Site::create(&folder.path().join("state"), now).unwrap());
    let node = NodeName::try_from("cp-1").unwrap();
    let (role, approval) = (Role::ControlPlane, Approval::Auto);
    let terms = TokenTerms { role, approval, ttl: Duration::from_hours(1) };
    let token = site.issue_token(&node, &terms, now).unwrap();
    let token = token.text.expose().parse().unwrap();

    // Seen of the machine that had this name before.
    let head = AuditHead { seq: 9, ..AuditHead::default() };
    site.store().unwrap().keep_audit_head(&node, &head).unwrap();

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let clock: Clock = Arc::new(move || now);
    let awaited = BTreeSet::from([node.clone()]);
    let serving = tokio::spawn(serve_enrolment(
        Arc::clone(&site),
        listener,
        clock,
        awaited,
        pending(),
        |_| {},
    ));

    let key = NodeKey::generate().unwrap();
    let answer = claim(&address, &token, &key, &Machine::default()).await.unwrap();
    let Answer::Granted(identity) = answer else { panic!("{answer:?}") };
    assert_eq!((identity.node, identity.site), (node.clone(), site.id()));
    server_config(&identity.credentials).unwrap();
    client_config(&site.run_credentials(now).unwrap().credentials, site.id(), &node).unwrap();

    assert_eq!(site.store().unwrap().audit_head(&node).unwrap(), None, "its log is another one");

    serving.await.unwrap().unwrap();
    let error = claim(&address, &token, &key, &Machine::default()).await.unwrap_err();
    assert!(matches!(error, EnrolError::Reach(_)), "the listener is closed: {error}");
}
