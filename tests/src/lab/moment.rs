//! Moments of a run at which something may be killed: told by its events.

use std::collections::BTreeSet;
use std::fmt;

use quorate::run::RunEvent;
use quorate_proto::goal::Kind;
use quorate_proto::{Activity, ActivityKind, Event};

/// When to strike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// A node begins a phase of kubeadm.
    Phase { node: &'static str, phase: &'static str },
    /// A node begins work of this kind.
    Work { node: &'static str, kind: ActivityKind },
    /// An order of each goal that was not seen yet: right before it is sent, and once the node
    /// has taken it. Strikes many times.
    Orders { before: BTreeSet<Kind>, after: BTreeSet<Kind> },
}

impl Moment {
    /// A phase of `kubeadm init` or `kubeadm join`, as its activity names it.
    pub const fn phase(node: &'static str, phase: &'static str) -> Self {
        Self::Phase { node, phase }
    }

    /// Work other than kubeadm's.
    pub const fn work(node: &'static str, kind: ActivityKind) -> Self {
        Self::Work { node, kind }
    }

    /// Before and after each kind of order.
    pub const fn orders() -> Self {
        Self::Orders { before: BTreeSet::new(), after: BTreeSet::new() }
    }

    /// Whether it is now.
    pub fn is_now(&mut self, event: &RunEvent) -> bool {
        match (self, event) {
            (Self::Orders { before, .. }, RunEvent::Dispatched { step, .. }) => {
                step.goal.kind().is_some_and(|kind| before.insert(kind))
            }
            (
                Self::Orders { after, .. },
                RunEvent::Told { step, event: Event::Started { attached: false } },
            ) => step.goal.kind().is_some_and(|kind| after.insert(kind)),
            (
                Self::Phase { node, phase },
                RunEvent::Told { step, event: Event::Activity(activity) },
            ) => step.node.as_str() == *node && is_phase(activity, phase),
            (
                Self::Work { node, kind },
                RunEvent::Told { step, event: Event::Activity(activity) },
            ) => step.node.as_str() == *node && activity.kind == *kind,
            _ => false,
        }
    }

    /// Whether it may come again after it came.
    pub fn comes_again(&self) -> bool {
        matches!(self, Self::Orders { .. })
    }

    /// The node that is struck.
    pub fn node(&self) -> &'static str {
        match self {
            Self::Phase { node, .. } | Self::Work { node, .. } => node,
            Self::Orders { .. } => "cp-1",
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase { node, phase } => write!(f, "{node}: kubeadm {phase}"),
            Self::Work { node, kind: ActivityKind::Packages } => write!(f, "{node}: apt-get"),
            Self::Work { node, kind: ActivityKind::Images } => write!(f, "{node}: image import"),
            Self::Work { node, kind } => write!(f, "{node}: {kind:?}"),
            Self::Orders { before, after } => write!(
                f,
                "before the order of {} goals, after that of {}",
                before.len(),
                after.len()
            ),
        }
    }
}

fn is_phase(activity: &Activity, phase: &str) -> bool {
    let told =
        activity.text.strip_prefix("kubeadm ").filter(|_| activity.kind == ActivityKind::Kubeadm);
    told.is_some_and(|told| match phase.strip_prefix("join phase kubelet-wait-bootstrap") {
        // On a worker it is a join that skips every other phase.
        Some(_) => {
            told.contains("kubelet-wait-bootstrap") || told.starts_with("join --skip-phases")
        }
        None => told.starts_with(phase),
    })
}
