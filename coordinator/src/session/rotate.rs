//! A change of the site's roots as a run: alone in its state folder, recorded and shown like any other.

use std::time::SystemTime;

use tokio::time::Instant;

use super::{SessionError, lock};
use crate::driver::{DriveError, Record, now_ms};
use crate::procedure::Title;
use crate::run::{Began, Outcome, RunEvent, View};
use crate::site::{Rotated, Rotation, SiteError};
use crate::spec::Loaded;
use crate::store::{Store, StoredRun};

/// Goes as far as the nodes let it.
pub(crate) async fn rotate(
    rotation: &Rotation<'_>,
    loaded: &Loaded,
    began: Instant,
    view: Box<dyn View>,
) -> Result<Outcome, SessionError> {
    let mut store = Store::open(rotation.state).map_err(SiteError::Store)?;
    // Runs hold credentials that the old roots may not outlive.
    let (run, _lock) = lock(rotation.state)?;
    // No node is claimed: the term gives the run its place among the recorded ones.
    let term = store.newest_term().map_err(SiteError::Store)?.saturating_add(1);
    let started_ms = now_ms();
    let stored = StoredRun {
        id: run.clone(),
        term,
        spec_sha256: loaded.sha256.to_string(),
        started_ms,
        ended_ms: None,
        outcome: None,
    };
    store.begin_run(&stored).map_err(DriveError::Store)?;
    let mut record = Record::new(run.clone(), began, &mut store, view);
    record.tell(RunEvent::Began(Began {
        run,
        term,
        cluster: loaded.spec.name.clone(),
        nodes: loaded.spec.nodes.iter().map(|node| node.name.clone()).collect(),
        title: Title::rotation(&loaded.spec.name),
        started_ms,
    }));
    let mut tell = |node, text| {
        record.tell(RunEvent::Noted { node, text });
        record.flush().map_err(SiteError::Store)
    };
    let rotated = rotation.go(SystemTime::now(), &mut tell).await;
    let rotated = rotated.inspect_err(|_| record.close())?;
    let outcome = match rotated {
        Rotated::Whole | Rotated::Overlaps => Outcome::Holds,
        Rotated::Waits(_, late) => Outcome::Blocked {
            reasons: late.into_iter().map(|(node, why)| format!("{node}: {why}")).collect(),
        },
    };
    record.finish(&outcome, now_ms()).map_err(DriveError::Store)?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, TcpListener};
    use std::path::Path;

    use quorate_proto::NodeName;

    use super::*;
    use crate::cli::SPEC;
    use crate::site::Site;
    use crate::spec;
    use crate::store::StoredEvent;
    use crate::ui::Output;

    fn note(node: Option<&NodeName>, begin: &str, event: &RunEvent) -> bool {
        matches!(event, RunEvent::Noted { node: at, text }
            if at.as_ref() == node && text.starts_with(begin))
    }

    #[tokio::test]
    async fn rotation_is_recorded_as_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        Site::create(&state, SystemTime::now()).unwrap();
        let mut loaded = spec::parse(SPEC, "cluster.yaml", Path::new("")).unwrap();
        let nowhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let node = &mut loaded.spec.nodes[0];
        (node.address, node.agent_port) = (nowhere.ip(), nowhere.port());
        let cp_1 = node.name.clone();
        let (all, without) = (BTreeSet::new(), BTreeSet::from([cp_1.clone()]));
        let run = async |without| {
            let rotation = Rotation {
                state: &state,
                spec: &loaded.spec,
                root_keys: None,
                without,
                retire: false,
            };
            let view = Output::Plain.view(false);
            let outcome = rotate(&rotation, &loaded, Instant::now(), view).await.unwrap();
            let store = Store::open(&state).unwrap();
            let stored = store.newest_run().unwrap().unwrap();
            assert_eq!(stored.outcome.as_ref(), Some(&outcome));
            let events = store.events(&stored.id).unwrap();
            let events = events.iter().filter_map(StoredEvent::read).map(|stamped| stamped.event);
            (stored.term, outcome, events.collect::<Vec<_>>())
        };

        let (term, outcome, events) = run(&all).await;
        let Outcome::Blocked { reasons } = outcome else { panic!("{outcome:?}") };
        assert!(term == 1 && reasons[0].starts_with("cp-1: "), "{reasons:?}");
        let [began, made, waits, RunEvent::Finished { .. }] = &events[..] else {
            panic!("{events:?}")
        };
        let RunEvent::Began(Began { title, .. }) = began else { panic!("{began:?}") };
        assert_eq!(title, &Title::rotation("lab"));
        assert!(note(None, "new roots are made", made), "{made:?}");
        assert!(note(Some(&cp_1), "is waited for: ", waits), "{waits:?}");

        let (term, outcome, events) = run(&without).await;
        assert_eq!((term, outcome), (2, Outcome::Holds));
        let [_, used, overlaps, RunEvent::Finished { .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(note(None, "every node knows the new roots", used), "{used:?}");
        assert!(note(None, "every node works with the new roots", overlaps), "{overlaps:?}");
    }
}
