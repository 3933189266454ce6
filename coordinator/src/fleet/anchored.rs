//! A fleet that keeps where each node's audit log stood, and trusts no node whose log went back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use quorate_proto::wire::Order;
use quorate_proto::{AuditHead, Event, Facts, Finding, Goal, NodeName, Secret, Term, in_one_line};
use tokio::sync::mpsc::{Sender, UnboundedSender};

use super::{Fleet, FleetError};
use crate::store::{Store, StoreError};

/// Passes every call on. What a node tells of its log is compared and kept on the way.
#[derive(Debug)]
pub struct Anchored<F> {
    fleet: F,
    store: Mutex<Store>,
}

impl<F: Fleet> Anchored<F> {
    /// With a store of its own: the run's is at work meanwhile.
    pub fn new(fleet: F, store: Store) -> Self {
        Self { fleet, store: Mutex::new(store) }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // SQLite keeps what it holds whole.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `known` was kept before the node was asked: whoever asks beside us may have a newer one by now.
    fn judge(
        &self,
        node: &NodeName,
        known: Option<AuditHead>,
        told: Option<&AuditHead>,
    ) -> Result<(), FleetError> {
        let Some(told) = told else {
            return match known {
                None => Ok(()),
                Some(known) => Err(distrusted(node, known.seq, "tells no longer where it ends")),
            };
        };
        if known == Some(told.clone()) {
            return Ok(());
        }
        if let Some(known) = known.filter(|known| known.seq > told.seq) {
            return Err(distrusted(node, known.seq, &format!("ends at line {} now", told.seq)));
        }
        let kept = self.store().keep_audit_head(node, told);
        let kept = kept.map_err(|error| unkept(node, &error))?;
        if kept == *told {
            return Ok(());
        }
        Err(distrusted(node, kept.seq, "has another line of that number now"))
    }
}

fn distrusted(node: &NodeName, seq: u64, now: &str) -> FleetError {
    let why = format!(
        "the audit log of {node} went back or was rewritten: it had {seq} lines when it was last \
         seen, and {now}. Find out who did that: `quorate audit verify {node}` and \
         `quorate audit show {node}` tell what is left. If you know why, as after the machine was \
         set up anew, run `quorate audit accept {node}`"
    );
    FleetError::Distrusted { node: node.clone(), why }
}

fn unkept(node: &NodeName, error: &StoreError) -> FleetError {
    let why = format!("where its audit log stands cannot be kept: {}", in_one_line(error));
    FleetError::Refused { node: node.clone(), why }
}

#[async_trait]
impl<F: Fleet> Fleet for Anchored<F> {
    async fn describe(&self, node: &NodeName, claim: Option<&Term>) -> Result<Facts, FleetError> {
        let known = self.store().audit_head(node).map_err(|error| unkept(node, &error))?;
        let facts = self.fleet.describe(node, claim).await?;
        self.judge(node, known, facts.audit.as_ref())?;
        Ok(facts)
    }

    async fn check(&self, node: &NodeName, goals: &[Goal]) -> Result<Vec<Finding>, FleetError> {
        self.fleet.check(node, goals).await
    }

    async fn ensure(
        &self,
        node: &NodeName,
        order: Order,
        events: UnboundedSender<Event>,
    ) -> Result<(), FleetError> {
        self.fleet.ensure(node, order, events).await
    }

    async fn kubeconfig(&self, node: &NodeName) -> Result<Secret, FleetError> {
        self.fleet.kubeconfig(node).await
    }

    async fn audit(&self, node: &NodeName, lines: Sender<String>) -> Result<(), FleetError> {
        self.fleet.audit(node, lines).await
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::Sha256;

    use super::*;

    struct Nobody;

    #[async_trait]
    impl Fleet for Nobody {
        async fn describe(&self, node: &NodeName, _: Option<&Term>) -> Result<Facts, FleetError> {
            Err(FleetError::Silent { node: node.clone(), why: String::new() })
        }
        async fn check(&self, _: &NodeName, _: &[Goal]) -> Result<Vec<Finding>, FleetError> {
            Ok(Vec::new())
        }
        async fn ensure(
            &self,
            _: &NodeName,
            _: Order,
            _: UnboundedSender<Event>,
        ) -> Result<(), FleetError> {
            Ok(())
        }
        async fn kubeconfig(&self, node: &NodeName) -> Result<Secret, FleetError> {
            Err(FleetError::Silent { node: node.clone(), why: String::new() })
        }
    }

    #[test]
    fn a_log_that_goes_back_or_forks_or_ends_is_distrusted_and_one_that_grows_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Anchored::new(Nobody, Store::open(folder.path()).unwrap());
        let node = NodeName::try_from("cp-1").unwrap();
        let head = |seq: u64, of: &str| AuditHead { seq, sha256: Sha256::of(of.as_bytes()) };
        let known = || fleet.store().audit_head(&node).unwrap();
        let told = |head: Option<AuditHead>| fleet.judge(&node, known(), head.as_ref());

        assert_eq!(told(None), Ok(()), "an agent of before, which keeps none");
        assert_eq!(told(Some(head(3, "a"))), Ok(()));
        assert_eq!(told(Some(head(3, "a"))), Ok(()));
        assert_eq!(told(Some(head(9, "b"))), Ok(()));
        for wrong in [Some(head(8, "c")), Some(head(9, "c")), Some(head(3, "a")), None] {
            let Err(FleetError::Distrusted { why, .. }) = told(wrong) else { panic!("trusted") };
            assert!(why.contains("cp-1 went back or was rewritten: it had 9 lines"), "{why}");
            assert_eq!(known(), Some(head(9, "b")), "nothing false is kept");
        }
        // Two that ask at once: the one that asked first hears of an older head, and that is right.
        let before = known();
        assert_eq!(told(Some(head(12, "d"))), Ok(()));
        assert_eq!(fleet.judge(&node, before, Some(&head(10, "e"))), Ok(()));
        assert_eq!(known(), Some(head(12, "d")));
    }
}
