//! What an agent tells while it makes a goal hold.

use serde::{Deserialize, Serialize};

use crate::finding::Finding;

/// One event of an operation; the last is `Ended`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The agent took the order; `attached` if the operation was already under way.
    Started { attached: bool },
    /// What the agent does from now on.
    Activity(Activity),
    /// A line that a command printed.
    Output { line: String },
    /// The operation is over. The finding alone says whether the goal holds.
    Ended { finding: Finding, failure: Option<Failure> },
}

/// A stretch of an operation, for the display and for the account of where time went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    pub kind: ActivityKind,
    /// In a person's words: "kubeadm join phase etcd-join". Empty for a first look.
    pub text: String,
}

/// What sort of work a stretch is. All but `Own` is time that others take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivityKind {
    /// The agent's own work.
    Own,
    /// A kubeadm phase.
    Kubeadm,
    /// apt-get, dpkg.
    Packages,
    /// Fetching, importing or pulling images.
    Images,
    /// Waiting for Kubernetes: an API server, a node, a pod.
    Wait,
}

/// Why an apply gave up, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// From the attempt to its innermost cause.
    pub causes: Vec<String>,
    /// The last lines of the command that failed.
    pub output: Vec<String>,
    /// Lines of the journal that bear on it.
    pub journal: Vec<String>,
    /// What is known about this failure, and what to do next.
    pub advice: Option<String>,
    /// Worth another try as it is, such as a package database that was locked.
    pub transient: bool,
}
