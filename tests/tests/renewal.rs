//! Nodes get new certificates: the coordinator's own code against the agent's, over TLS, with either of
//! them killed at any moment; and what a clone meets afterwards.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quorate::fleet::{Fleet as _, FleetError};
use quorate::site::{NodeCall, RenewError, Renewed, renew_all};
use quorate_agent::host::fake::FakeHost;

use super::node_and_site::{Cluster, DAY, cp_1, killed_after, start};

#[tokio::test]
async fn a_third_of_its_life_over_a_node_gets_a_new_certificate_and_no_sooner() {
    let cluster = Cluster::enrolled(29).await;
    let address = cluster.start().await;
    let old = cluster.keys();
    assert!(matches!(cluster.renew(address, NodeCall::WhenDue).await, Ok(Renewed::NotDue(_))));
    assert_eq!(cluster.keys(), old);

    let cluster = Cluster::enrolled(31).await;
    let address = cluster.start().await;
    let old = cluster.keys();
    let calls = cluster.calls(address);
    let renewed =
        renew_all(&cluster.site, &calls, [cp_1()].into(), NodeCall::WhenDue, SystemTime::now());
    let [(_, Ok(Renewed::Until(ends)))] = renewed.await[..] else { panic!("not renewed") };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let left = Duration::from_secs(u64::try_from(ends).unwrap()) - now;
    assert!(left > 89 * DAY, "{left:?}");
    let new = cluster.keys();
    assert!(new.len() == 1 && new != old, "{new:?}");
    assert_eq!(cluster.shown(address).await, new[0]);
    let again = cluster.renew(address, NodeCall::WhenDue).await;
    assert!(matches!(again, Ok(Renewed::NotDue(_))), "{again:?}");
}

#[tokio::test]
async fn an_agent_that_is_killed_anywhere_in_a_renewal_is_renewed_by_the_next() {
    for changes in 0..=4 {
        let cluster = Cluster::enrolled(1).await;
        let old = cluster.keys();
        let address = cluster.start().await;
        cluster.host.interrupt_after(changes);
        let first = cluster.renew(address, NodeCall::Now).await;
        assert!(cluster.host.revive(), "{changes}: there were fewer changes");
        assert_eq!(first.is_ok(), changes >= 2, "{changes}: {first:?}");
        let address = cluster.start().await;
        // Whatever it shows now, it is taken.
        let key = cluster.shown(address).await;
        assert!(cluster.keys().contains(&key), "{changes}");
        cluster.renew(address, NodeCall::WhenDue).await.unwrap();
        cluster.renew(address, NodeCall::Now).await.unwrap();
        let new = cluster.keys();
        assert!(new.len() == 1 && new != old, "{changes}: {new:?}");
        assert_eq!(cluster.shown(address).await, new[0], "{changes}");
    }
}

#[tokio::test]
async fn a_coordinator_that_is_killed_anywhere_in_a_renewal_goes_on_when_run_again() {
    let cluster = Cluster::enrolled(1).await;
    let address = cluster.start().await;
    let mut cut_between = 0;
    for wakes in 0.. {
        let before = cluster.keys();
        let first = killed_after(wakes, cluster.renew(address, NodeCall::Now)).await;
        cut_between += usize::from(cluster.keys().len() > 1);
        let key = cluster.shown(address).await;
        assert!(cluster.keys().contains(&key), "{wakes}");
        // One that was begun is finished, whether it is due or not.
        cluster.renew(address, NodeCall::WhenDue).await.unwrap();
        let after = cluster.keys();
        assert_eq!(after.len(), 1, "{wakes}");
        assert_eq!(cluster.shown(address).await, after[0], "{wakes}");
        if let Some(first) = first {
            first.unwrap();
            assert_ne!(after, before);
            break;
        }
    }
    assert!(cut_between > 0, "never between the record and the end");
}

#[tokio::test]
async fn a_copy_of_a_renewed_node_is_in_quarantine_and_says_so() {
    let cluster = Cluster::enrolled(1).await;
    let copy = Arc::new(FakeHost::bare());
    for (path, content) in cluster.host.state().files.clone() {
        copy.state().files.insert(path, content);
    }
    let (address, copied) = (cluster.start().await, start(&copy).await);
    // Both are taken until one of them is renewed; a fleet from before learns of it.
    let (fleet, clones) = (cluster.fleet(address), cluster.fleet(copied));
    cluster.renew(address, NodeCall::Now).await.unwrap();
    fleet.describe(&cp_1(), None).await.unwrap();
    let error = clones.describe(&cp_1(), None).await.unwrap_err();
    let FleetError::Stranger { why, .. } = &error else { panic!("{error:?}") };
    for told in
        ["a clone", "in quarantine", "off the network", "reset --identity", "node token cp-1"]
    {
        assert!(why.contains(told), "{told}: {why}");
    }
    for call in [NodeCall::Now, NodeCall::Recover] {
        let error = cluster.renew(copied, call).await.unwrap_err();
        assert!(matches!(error, RenewError::Fleet(FleetError::Stranger { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn after_the_loss_of_the_store_a_renewal_makes_the_node_known_again() {
    let cluster = Cluster::enrolled(1).await;
    let address = cluster.start().await;
    let state = cluster.folder.path().join("state");
    for file in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
        std::fs::remove_file(state.join(file)).ok();
    }
    assert!(cluster.keys().is_empty());
    // The first one dies with the answer on its way: the certificate that the node has must do.
    cluster.host.interrupt_after(1);
    cluster.renew(address, NodeCall::Now).await.unwrap_err();
    assert!(cluster.host.revive());
    assert!(cluster.keys().contains(&cluster.shown(address).await));
    cluster.renew(address, NodeCall::Now).await.unwrap();
    assert_eq!(cluster.keys(), [cluster.shown(address).await]);
}

#[tokio::test]
async fn a_node_whose_certificate_has_ended_is_recovered_by_its_known_key_alone() {
    let cluster = Cluster::enrolled(85).await;
    cluster.end_certificate();
    let address = cluster.start().await;
    let error = cluster.renew(address, NodeCall::Now).await.unwrap_err();
    assert!(error.why().contains("trust renew --recover"), "{error:?}");
    assert!(matches!(cluster.renew(address, NodeCall::Recover).await, Ok(Renewed::Until(_))));
    assert_eq!(cluster.keys(), [cluster.shown(address).await]);

    cluster.site.store().unwrap().retire_node(&cp_1()).unwrap();
    let error = cluster.renew(address, NodeCall::Recover).await.unwrap_err();
    assert!(matches!(error, RenewError::NoKey(_)), "{error:?}");
}

#[tokio::test]
async fn a_store_that_was_set_back_takes_the_newer_key_when_told_so_and_an_older_one_never() {
    let cluster = Cluster::enrolled(1).await;
    let address = cluster.start().await;
    let first = Arc::new(FakeHost::bare());
    first.state().files.extend(cluster.host.state().files.clone());
    cluster.renew(address, NodeCall::Now).await.unwrap();
    // The backup of a moment at which nobody writes.
    let files = ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"];
    let state = cluster.folder.path().join("state");
    let backup = files.map(|file| std::fs::read(state.join(file)).ok());
    cluster.renew(address, NodeCall::Now).await.unwrap();
    let newest = cluster.keys();
    for (file, content) in files.iter().zip(backup) {
        std::fs::remove_file(state.join(file)).ok();
        if let Some(content) = content {
            std::fs::write(state.join(file), content).unwrap();
        }
    }
    assert_ne!(cluster.keys(), newest);
    let error = cluster.renew(address, NodeCall::Now).await.unwrap_err();
    assert!(error.why().contains("renew --restored cp-1"), "{error:?}");
    let error = cluster.renew(start(&first).await, NodeCall::Restored).await.unwrap_err();
    assert!(matches!(error, RenewError::Past), "{error:?}");
    cluster.renew(address, NodeCall::Restored).await.unwrap();
    assert_eq!(cluster.keys(), [cluster.shown(address).await]);

    cluster.site.store().unwrap().retire_node(&cp_1()).unwrap();
    let error = cluster.renew(address, NodeCall::Restored).await.unwrap_err();
    assert!(matches!(error, RenewError::NoKey(_)), "a node that was denied: {error:?}");
}
