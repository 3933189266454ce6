//! A site changes its roots while its node works: real agents behind real TLS, a coordinator that is killed,
//! and what becomes of those who were not there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use quorate::fleet::{Fleet as _, FleetError, GrpcFleet};
use quorate::site::{OperatorCredentials, Phase, Rotated, Rotation, Site};
use quorate::spec::ClusterSpec;
use quorate_agent::enrol::EnrolError;
use quorate_agent::host::fake::FakeHost;
use quorate_proto::NodeName;
use quorate_proto::trust::TrustError;

use super::node_and_site::{Cluster, cp_1, enrol_at, killed_after, spec_at, start, token};

/// One run of `quorate trust rotate`.
struct Run {
    spec: ClusterSpec,
    without: BTreeSet<NodeName>,
    retire: bool,
}

impl Run {
    fn at(address: SocketAddr) -> Self {
        Self { spec: spec_at(address), without: BTreeSet::new(), retire: false }
    }

    fn retiring(address: SocketAddr) -> Self {
        Self { retire: true, ..Self::at(address) }
    }

    fn rotation<'a>(&'a self, state: &'a Path) -> Rotation<'a> {
        let Self { spec, without, retire } = self;
        Rotation { state, spec, root_keys: None, without, retire: *retire }
    }

    async fn go(&self, cluster: &Cluster) -> Rotated {
        let state = cluster.folder.path().join("state");
        self.rotation(&state).go(SystemTime::now(), &mut |_, _| Ok(())).await.unwrap()
    }
}

fn reopened(cluster: &Cluster) -> Arc<Site> {
    Arc::new(Site::open(&cluster.folder.path().join("state")).unwrap())
}

fn admin(site: &Site) -> OperatorCredentials {
    site.run_credentials(SystemTime::now()).unwrap()
}

async fn asked(operator: &OperatorCredentials, address: SocketAddr) -> Result<(), FleetError> {
    let credentials = Arc::new(ArcSwap::from_pointee(operator.credentials.clone()));
    let fleet = GrpcFleet::new(&spec_at(address), &operator.identity.site, &credentials).unwrap();
    fleet.describe(&cp_1(), None).await.map(drop)
}

/// An address at which nobody is.
async fn nowhere() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn the_old_roots_serve_until_they_are_let_go_and_no_longer() {
    let cluster = Cluster::enrolled(1).await;
    let address = cluster.start().await;
    let before = admin(&cluster.site);
    let old = cluster.site.bundle().unwrap().0;
    assert_eq!(Run::at(address).go(&cluster).await, Rotated::Overlaps);
    let site = reopened(&cluster);
    assert_eq!(site.phase().unwrap(), Phase::InUse);
    let between = site.bundle().unwrap().0;
    assert_eq!(between.operator_roots.len(), 2);
    assert_ne!(between.operator_roots[0], old.operator_roots[0]);
    let after = admin(&site);
    asked(&after, address).await.unwrap();
    // Who trusts the old nodes' root alone does not know the node's new certificate.
    let mut old_operator = before.clone();
    assert!(matches!(asked(&before, address).await, Err(FleetError::Stranger { .. })));
    old_operator.credentials.peer_roots_pem = between.node_roots_pem();
    asked(&old_operator, address).await.unwrap();
    // Again: nothing is left to do.
    assert_eq!(Run::at(address).go(&cluster).await, Rotated::Overlaps);
    assert_eq!(site.bundle().unwrap().0, between);

    assert_eq!(Run::retiring(address).go(&cluster).await, Rotated::Whole);
    let whole = reopened(&cluster).bundle().unwrap().0;
    assert_eq!(whole.operator_roots, [between.operator_roots[0].clone()]);
    assert_eq!(whole.node_roots, [between.node_roots[0].clone()]);
    assert!(matches!(asked(&old_operator, address).await, Err(FleetError::Stranger { .. })));
    asked(&admin(&reopened(&cluster)), address).await.unwrap();
    // To retire again begins nothing.
    assert_eq!(Run::retiring(address).go(&cluster).await, Rotated::Whole);
    assert_eq!(reopened(&cluster).bundle().unwrap().0, whole);
    // The agent has it all on its disk.
    asked(&admin(&reopened(&cluster)), cluster.start().await).await.unwrap();
}

#[tokio::test]
async fn a_change_that_is_killed_anywhere_goes_on() {
    let cluster = Cluster::enrolled(1).await;
    let address = cluster.start().await;
    for wakes in (0..).step_by(7) {
        let run = Run::at(address);
        let done = killed_after(wakes, run.go(&cluster)).await.is_some();
        asked(&admin(&reopened(&cluster)), address).await.unwrap();
        let run = Run::retiring(address);
        killed_after(wakes, run.go(&cluster)).await;
        asked(&admin(&reopened(&cluster)), address).await.unwrap();
        assert_eq!(run.go(&cluster).await, Rotated::Whole, "{wakes}");
        asked(&admin(&reopened(&cluster)), address).await.unwrap();
        if done {
            break;
        }
    }
}

#[tokio::test]
async fn nothing_is_dropped_before_every_node_is_there() {
    let cluster = Cluster::enrolled(1).await;
    let (address, nowhere) = (cluster.start().await, nowhere().await);
    for retire in [false, true] {
        let run = Run { retire, ..Run::at(nowhere) };
        let waits = run.go(&cluster).await;
        if retire {
            // A change is under way: to retire is refused at the same place.
            let Rotated::Waits(Phase::Announced, late) = waits else { panic!("{waits:?}") };
            assert_eq!(late.keys().collect::<Vec<_>>(), [&cp_1()]);
        } else {
            assert!(matches!(waits, Rotated::Waits(Phase::Announced, _)), "{waits:?}");
        }
        asked(&admin(&reopened(&cluster)), address).await.unwrap();
    }
    let state = cluster.folder.path().join("state");
    let looked = Run::at(address).rotation(&state).look(SystemTime::now()).await.unwrap();
    assert_eq!(looked.0, Phase::Announced);
    assert!(looked.1[&cp_1()].contains("keeps generation 1"), "{looked:?}");

    // It is told twice, and its disk fails before it was renewed.
    cluster.host.interrupt_after(2);
    let waits = Run::retiring(address).go(&cluster).await;
    let Rotated::Waits(Phase::InUse, late) = waits else { panic!("{waits:?}") };
    assert!(late[&cp_1()].contains("did not sign its certificate"), "{late:?}");
    assert!(reopened(&cluster).bundle().unwrap().0.operator_roots.len() == 2);
    assert!(cluster.host.revive());
    let waits = Run::retiring(nowhere).go(&cluster).await;
    assert!(matches!(waits, Rotated::Waits(Phase::InUse, _)), "{waits:?}");
    assert_eq!(Run::retiring(address).go(&cluster).await, Rotated::Whole);
}

#[tokio::test]
async fn a_node_that_is_left_behind_is_a_stranger_until_it_enrols_anew() {
    let cluster = Cluster::enrolled(1).await;
    let (address, nowhere) = (cluster.start().await, nowhere().await);
    let without = BTreeSet::from([cp_1()]);
    let run = Run { without, ..Run::retiring(nowhere) };
    // The first begins nothing, as to retire is all that it asks.
    assert_eq!(run.go(&cluster).await, Rotated::Whole);
    let begin = Run { retire: false, ..run };
    assert_eq!(begin.go(&cluster).await, Rotated::Overlaps);
    let run = Run { retire: true, ..begin };
    assert_eq!(run.go(&cluster).await, Rotated::Whole);
    let error = asked(&admin(&reopened(&cluster)), address).await.unwrap_err();
    assert!(matches!(error, FleetError::Stranger { .. }), "{error:?}");
}

#[tokio::test]
async fn a_node_of_another_specification_is_waited_for_too() {
    let cluster = Cluster::enrolled(1).await;
    let mut run = Run::at(cluster.start().await);
    run.spec.nodes[0].name = NodeName::try_from("cp-2").unwrap();
    let Rotated::Waits(Phase::Announced, late) = run.go(&cluster).await else {
        panic!("nobody is waited for")
    };
    assert!(late[&cp_1()].contains("does not name it"), "{late:?}");
}

#[tokio::test]
async fn a_token_of_before_is_void_and_a_new_one_serves_in_the_midst_of_it() {
    let cluster = Cluster::enrolled(1).await;
    let address = cluster.start().await;
    let now = SystemTime::now();
    let old = token(&cluster.site, now);
    assert_eq!(Run::at(address).go(&cluster).await, Rotated::Overlaps);
    let site = reopened(&cluster);
    let fresh = Arc::new(FakeHost::bare());
    let error = enrol_at(&site, now, &old, &fresh).await.unwrap_err();
    assert!(matches!(error, EnrolError::Reach(TrustError::OtherCoordinator)), "{error:?}");
    // A coordinator that serves since before would grant what no node believes.
    let error = enrol_at(&cluster.site, now, &old, &fresh).await.unwrap_err();
    assert!(matches!(error, EnrolError::Refused(_)), "{error:?}");

    let fresh = Arc::new(FakeHost::bare());
    enrol_at(&site, now, &token(&site, now), &fresh).await.unwrap();
    let address = start(&fresh).await;
    asked(&admin(&site), address).await.unwrap();
    assert_eq!(Run::retiring(address).go(&cluster).await, Rotated::Whole);
    asked(&admin(&reopened(&cluster)), address).await.unwrap();
}

#[tokio::test]
async fn where_the_new_roots_sign_without_their_bundle_no_node_enrols_in_vain() {
    let cluster = Cluster::enrolled(1).await;
    let (address, now) = (cluster.start().await, SystemTime::now());
    let bundle = cluster.folder.path().join("state/trust.json");
    let waits = Run::at(nowhere().await).go(&cluster).await;
    assert!(matches!(waits, Rotated::Waits(Phase::Announced, _)), "{waits:?}");
    let announced = std::fs::read(&bundle).unwrap();
    assert_eq!(Run::at(address).go(&cluster).await, Rotated::Overlaps);
    // As a crash between the two leaves it.
    std::fs::write(&bundle, announced).unwrap();
    let (site, fresh) = (reopened(&cluster), FakeHost::bare());
    let error = enrol_at(&site, now, &token(&site, now), &fresh).await.unwrap_err();
    assert!(matches!(error, EnrolError::Refused(_)), "{error:?}");
}
