//! Where a bring-up stands, by the facts of one look alone: no goal is checked, no node claimed, so
//! that it is quick with nodes that are down and can be asked for while a run goes on.
//!
//! Facts do not prove that a goal holds: only `verify` says that a cluster is as specified.

mod etcd;
mod next;
mod node;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use etcd::{EtcdStatus, MemberState, MemberStatus};
pub use node::{NodeStatus, OperationStatus, Stage, Whose};
use quorate_proto::{KubernetesVersion, NodeName, RunId};
use serde::Serialize;

use crate::driver::{LockHolder, Survey};
use crate::plan::Observed;
use crate::procedure::Procedure;
use crate::spec::ClusterSpec;
use crate::store::StoredRun;

/// All of it, as `quorate status --output json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    pub cluster: String,
    /// Of the API servers that run, lowest first; empty before there is one.
    pub versions: Vec<KubernetesVersion>,
    /// In one line.
    pub summary: String,
    /// What to do next, in one line.
    pub next: String,
    /// What stands against a run, each with what to do, as far as facts tell.
    pub blocked: Vec<String>,
    /// The run that goes on from this state folder.
    pub running: Option<RunningHere>,
    /// In the order of the specification.
    pub nodes: Vec<NodeStatus>,
    /// Names of the cluster's nodes that the specification does not have.
    pub unspecified: Vec<String>,
    /// `None`: no member answers.
    pub etcd: Option<EtcdStatus>,
}

/// What this state folder knows of runs. No cluster stands by it: it only tells whose orders they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    /// Who holds the lock.
    pub holder: Option<LockHolder>,
    /// Those that were recorded here.
    pub recorded: Vec<StoredRun>,
}

/// A run whose process holds the lock of this state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningHere {
    pub run: RunId,
    pub pid: u32,
    /// Milliseconds.
    pub for_ms: u64,
}

impl Status {
    /// Works it out. `now_ms`: milliseconds since 1970, when the look was over.
    pub fn of(spec: &ClusterSpec, survey: &Survey, runs: &Runs, now_ms: u64) -> Self {
        let observed = &survey.observed;
        let etcd = EtcdStatus::of(spec, observed);
        let nodes = spec
            .nodes
            .iter()
            .map(|node| NodeStatus::of(node, observed, etcd.as_ref(), runs, now_ms));
        let nodes: Vec<NodeStatus> = nodes.collect();
        let running = runs.holder.as_ref().map(|LockHolder { pid, run, since_ms }| RunningHere {
            run: run.clone(),
            pid: *pid,
            for_ms: now_ms.saturating_sub(*since_ms),
        });
        let blocked = match Procedure::BringUp.outline(spec, observed) {
            _ if !survey.strangers.is_empty() || !survey.distrusted.is_empty() => {
                survey.strangers_told(spec)
            }
            Err(blocked) => blocked.reasons(),
            Ok(_) => next::membership(&nodes, etcd.as_ref()),
        };
        Self {
            cluster: spec.name.clone(),
            versions: versions(observed),
            summary: summary::of(&nodes),
            next: next::of(&nodes, &blocked, running.as_ref()),
            blocked,
            running,
            nodes,
            unspecified: observed.unspecified().map(|node| node.name.clone()).collect(),
            etcd,
        }
    }
}

fn versions(observed: &Observed) -> Vec<KubernetesVersion> {
    let nodes = observed.nodes.keys().filter_map(|node| observed.facts(node));
    let versions: BTreeSet<_> =
        nodes.filter_map(|facts| facts.kubernetes.in_force.version).collect();
    versions.into_iter().collect()
}

/// Names in a sentence, the first few of many.
fn names<'a>(nodes: impl IntoIterator<Item = &'a NodeName>) -> String {
    const SHOWN: usize = 4;
    let all: Vec<&str> = nodes.into_iter().map(NodeName::as_str).collect();
    let (shown, more) = all.split_at(all.len().min(SHOWN));
    let shown = shown.join(", ");
    if more.is_empty() { shown } else { format!("{shown} and {} more", more.len()) }
}
