//! A node that cannot reach the coordinator and listens to be claimed: by whom, and with what.

use std::net::{Ipv4Addr, SocketAddr};

use quorate::site::{ClaimNodeError, ClaimedNode, Target, claim_node};
use quorate::store::{Approved, TokenState};
use quorate_agent::enrol::{EnrolError, unclaimed};
use quorate_agent::host::fake::FakeHost;
use quorate_agent::identity::NodeIdentity;
use quorate_proto::trust::{EnrolCode, JoinToken, unclaimed_channel};

use super::coordinator::{AUTO, BY_CODE, Coordinator, FOLDER, name};

/// A node that listens to be claimed.
async fn listening(
    token: JoinToken,
) -> (SocketAddr, tokio::task::JoinHandle<Result<NodeIdentity, EnrolError>>) {
    let listener = unclaimed::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let waits = tokio::spawn(async move {
        let disk = FakeHost::bare();
        unclaimed::wait(&disk, listener, &token, FOLDER, &|_| {}).await
    });
    (address, waits)
}

async fn claim_at(
    coordinator: &Coordinator,
    node: &str,
    address: SocketAddr,
    code: Option<&str>,
) -> Result<ClaimedNode, ClaimNodeError> {
    let target = Target { node: &name(node), address, code };
    claim_node(&coordinator.site, target, coordinator.now()).await
}

#[tokio::test]
async fn a_node_that_listens_is_claimed_by_the_coordinator_of_its_token_and_nobody_else() {
    let (ours, other) = (Coordinator::start().await, Coordinator::start().await);
    let (token, _) = (ours.token("cp-1", &AUTO), ours.token("cp-2", &AUTO));
    let (address, waits) = listening(token.clone()).await;

    let error = claim_at(&other, "cp-1", address, None).await.unwrap_err();
    assert!(matches!(error, ClaimNodeError::Reach(_)), "{error:?}");
    // An operator of the site is no coordinator, and a claimed node's listener serves nothing else.
    let operator = ours.site.run_credentials(ours.now()).unwrap();
    unclaimed_channel(&address.to_string(), &operator.credentials).await.unwrap_err();
    let error = claim_at(&ours, "cp-2", address, None).await.unwrap_err();
    assert!(matches!(error, ClaimNodeError::OtherNode { .. }), "{error:?}");
    assert_eq!(ours.state(&token), TokenState::Issued);
    assert!(!waits.is_finished());

    assert_eq!(claim_at(&ours, "cp-1", address, None).await.unwrap(), ClaimedNode::Enrolled);
    let identity = waits.await.unwrap().unwrap();
    assert_eq!((identity.node, identity.site), (name("cp-1"), ours.site.id()));
    let error = claim_at(&ours, "cp-1", address, None).await.unwrap_err();
    assert!(matches!(error, ClaimNodeError::Reach(_)), "it listens no more: {error:?}");
}

#[tokio::test]
async fn a_control_plane_that_listens_needs_its_code() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("cp-1", &BY_CODE);
    let (address, waits) = listening(token.clone()).await;
    assert_eq!(claim_at(&coordinator, "cp-1", address, None).await.unwrap(), ClaimedNode::Waits);
    let wrong = claim_at(&coordinator, "cp-1", address, Some("acid")).await.unwrap_err();
    let approved = Approved::Wrong { left: 4 };
    assert!(matches!(wrong, ClaimNodeError::Code { approved: found, .. } if found == approved));
    let TokenState::Awaiting(key) = coordinator.state(&token) else { panic!("it does not wait") };
    let code = EnrolCode::of(&key).to_string();
    let claimed = claim_at(&coordinator, "cp-1", address, Some(&code)).await.unwrap();
    assert_eq!(claimed, ClaimedNode::Enrolled);
    waits.await.unwrap().unwrap();
}
