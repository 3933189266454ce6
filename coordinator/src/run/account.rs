//! Where the time of a run went: by sort of work, over all nodes.

use std::collections::BTreeMap;

use quorate_proto::{ActivityKind, NodeName};
use serde::{Deserialize, Serialize};

/// Milliseconds of the wall clock. A moment at which two nodes did two sorts of work counts for both,
/// so that the sorts may add up to more than `total`; `overhead` overlaps with none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub total_ms: u64,
    pub kubeadm_ms: u64,
    pub packages_ms: u64,
    pub images_ms: u64,
    pub waiting_ms: u64,
    /// No node ran kubeadm, apt or an import, or waited for Kubernetes: quorate itself.
    pub overhead_ms: u64,
}

impl Account {
    /// The share of quorate itself, in percent.
    pub fn overhead_percent(&self) -> f64 {
        if self.total_ms == 0 { 0.0 } else { ms(self.overhead_ms) / ms(self.total_ms) * 100.0 }
    }

    /// Counts a stretch of time in which the nodes did this.
    pub(super) fn count(&mut self, stretch_ms: u64, doing: &BTreeMap<NodeName, ActivityKind>) {
        let any = |kind| doing.values().any(|of_node| *of_node == kind);
        let stretch = |counts: bool| if counts { stretch_ms } else { 0 };
        let (kubeadm, packages) = (any(ActivityKind::Kubeadm), any(ActivityKind::Packages));
        let (images, waiting) = (any(ActivityKind::Images), any(ActivityKind::Wait));
        self.total_ms += stretch_ms;
        self.kubeadm_ms += stretch(kubeadm);
        self.packages_ms += stretch(packages);
        self.images_ms += stretch(images);
        self.waiting_ms += stretch(waiting);
        self.overhead_ms += stretch(!(kubeadm || packages || images || waiting));
    }
}

/// For division: a run's milliseconds are far below what f64 holds exactly.
fn ms(value: u64) -> f64 {
    std::time::Duration::from_millis(value).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        name.try_into().unwrap()
    }

    #[test]
    fn time_in_which_no_node_works_for_others_is_overhead() {
        let mut account = Account::default();
        let mut doing = BTreeMap::new();
        account.count(100, &doing);
        doing.insert(node("a"), ActivityKind::Kubeadm);
        account.count(1000, &doing);
        doing.insert(node("b"), ActivityKind::Own);
        account.count(500, &doing);
        doing.insert(node("b"), ActivityKind::Wait);
        account.count(400, &doing);
        doing.remove(&node("a"));
        doing.insert(node("b"), ActivityKind::Own);
        account.count(50, &doing);
        let expected = Account {
            total_ms: 2050,
            kubeadm_ms: 1900,
            waiting_ms: 400,
            overhead_ms: 150,
            ..Account::default()
        };
        assert_eq!(account, expected);
        assert!((account.overhead_percent() - 7.317).abs() < 0.001);
    }
}
