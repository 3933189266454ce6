//! One simulated machine: what is on its disk, what its agent remembers, and what it is at.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use quorate::run::machine::Call;
use quorate_proto::goal::Kind;
use quorate_proto::{Goal, Machine, OperationId, RunId, Term};

use super::network::Told;

#[derive(Debug, Clone, Default)]
pub(super) struct SimNode {
    pub machine: Machine,
    pub address: Option<IpAddr>,
    pub clock_offset_ms: i64,
    /// Every goal of preparation holds.
    pub prepared: bool,
    /// Kinds of goals that hold on its disk.
    pub held: BTreeSet<Kind>,
    /// Which certificate authority it holds: the first that was made has number 1.
    pub authority: Option<u64>,
    pub super_admin: bool,
    /// The static pod of etcd is there: etcd runs whenever the machine does.
    pub etcd_pod: bool,
    pub etcd_data: bool,
    /// Newest term that the agent was told of.
    pub term: Term,
    pub operation: Option<Operation>,
    /// The end of the last operation, for whoever asks for it again.
    pub latest: Option<(OperationId, Told)>,
    /// An operation whose unit goes on although the agent has forgotten it.
    pub stray: Option<Operation>,
    /// The agent answers nobody; what it is at goes on.
    pub silent: bool,
    pub machinery: Machinery,
    /// etcd answers too late to be counted as healthy.
    pub etcd_slow: bool,
    /// Cut off from all other nodes.
    pub isolated: bool,
    /// Nothing can be written: the ledger neither.
    pub disk_full: bool,
}

/// How a machine is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Machinery {
    #[default]
    Running,
    /// It boots, and is back some time.
    Booting,
    /// It does not come back by itself.
    Dead,
}

/// What an agent is at.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub id: OperationId,
    pub term: Term,
    pub goal: Arc<Goal>,
    /// The run whose join material came with the order.
    pub material: Option<RunId>,
    /// Nothing was looked at yet.
    pub fresh: bool,
    /// Events until it ends.
    pub left: usize,
    /// Events for which it waits for others before it gives up.
    pub patience: usize,
    pub fate: Fate,
    /// The runs, and their calls, that are told how it ended if they still live.
    pub listeners: Vec<(RunId, Call)>,
}

/// What comes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Works,
    /// It takes effect and then says that it failed.
    WorksAndComplains,
    /// It says that it worked, and changed nothing.
    ClaimsToWork,
    /// It ends with half of its effect.
    Breaks,
    /// It fails before it changed anything, and might work the next time.
    Stumbles,
}
