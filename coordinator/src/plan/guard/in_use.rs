//! Blocks changes of what runs on nodes that are part of the cluster already, where no goal knows how to
//! bring them about node by node. A repair of what is missing is none.

use quorate_proto::{Drift, Finding, NodeName};

use crate::plan::{Blocked, Findings, Observed, Outline};

/// Refuses a plan that would change settings that a joined node runs by.
///
/// # Errors
/// Names each such setting with both values.
pub(in crate::plan) fn check(
    outline: &Outline,
    findings: &Findings,
    observed: &Observed,
) -> Result<(), Blocked> {
    let mut changes: Vec<(NodeName, Drift)> = Vec::new();
    for step in &outline.steps {
        let joined = |node| observed.facts(node).is_some_and(|facts| facts.kubernetes.kubelet_conf);
        let Some(Finding::Drifted(drifts)) = findings.get(&step.id) else { continue };
        if joined(&step.id.node) && step.goal.traits().interrupts.is_none() {
            let changed = drifts.iter().filter(|drift| drift.in_use).cloned();
            changes.extend(changed.map(|drift| (step.id.node.clone(), drift)));
        }
    }
    if changes.is_empty() { Ok(()) } else { Err(Blocked::InUse(changes)) }
}
