//! The simulated machines and the cluster that they make up. Agents, etcd, faults and the checks of
//! what must never be act on it, each in a module of its own.

use std::collections::{BTreeMap, BTreeSet};

use quorate::procedure::Procedure;
use quorate::spec::{ClusterSpec, Role};
use quorate_proto::goal::Kind;
use quorate_proto::{Machine, NodeName, RunId, StepId};

use super::etcd::Etcd;
use super::faults::Weather;
use super::invariants::Witnessed;
use super::network::Network;
use super::node::{Machinery, SimNode};
use super::rules::Rules;

/// Nodes, the cluster that they make up, and messages on their way.
#[derive(Debug, Clone)]
pub struct SimCluster {
    pub spec: ClusterSpec,
    /// What the next run is to bring about.
    pub procedure: Procedure,
    prepared: bool,
    pub(super) nodes: BTreeMap<NodeName, SimNode>,
    pub(super) etcd: Etcd,
    /// Goals that the cluster holds once.
    pub(super) once: BTreeSet<Kind>,
    /// The runs whose bootstrap tokens are in the cluster.
    pub(super) tokens: BTreeSet<RunId>,
    /// The run whose key seals the shared certificates, where they are offered.
    pub(super) sealed: Option<RunId>,
    pub(super) foundings: u64,
    /// The specification by which the cluster was initialised.
    pub(super) initialised_as: Option<ClusterSpec>,
    pub(super) authorities: u64,
    pub(super) network: Network,
    /// What agents, too, may leave out.
    pub(super) rules: Rules,
    /// Whether machines, links and operations fail.
    pub faults: bool,
    pub(super) weather: Weather,
    /// Steps whose next operation ends with half of its effect.
    pub breaks: BTreeSet<StepId>,
    /// Whether another cluster answers at the endpoint.
    pub usurped: bool,
    /// Whether secrets are looked for in what is recorded.
    pub(super) seeks_secrets: bool,
    pub(super) witnessed: Witnessed,
    /// What must never happen, and did.
    pub violations: Vec<String>,
}

impl SimCluster {
    /// Machines without a cluster; `prepared` ones have their packages and their load balancer.
    pub fn new(spec: ClusterSpec, prepared: bool) -> Self {
        let mut world = Self {
            spec: ClusterSpec { nodes: Vec::new(), ..spec.clone() },
            procedure: Procedure::BringUp,
            prepared,
            nodes: BTreeMap::new(),
            etcd: Etcd::default(),
            once: BTreeSet::new(),
            tokens: BTreeSet::new(),
            sealed: None,
            foundings: 0,
            initialised_as: None,
            authorities: 0,
            network: Network::default(),
            rules: Rules::ALL,
            faults: false,
            weather: Weather::default(),
            breaks: BTreeSet::new(),
            usurped: false,
            seeks_secrets: false,
            witnessed: Witnessed::default(),
            violations: Vec::new(),
        };
        world.specify(spec);
        world
    }

    /// Another specification for the same machines; those that are new to it are bare.
    pub fn specify(&mut self, spec: ClusterSpec) {
        for node in &spec.nodes {
            let machine = Machine {
                machine_id: format!("id-of-{}", node.name),
                cpus: 4,
                memory_mib: 8_000,
                disk_free_mib: 50_000,
                ..Machine::default()
            };
            self.nodes.entry(node.name.clone()).or_insert_with(|| SimNode {
                machine,
                address: Some(node.address),
                prepared: self.prepared,
                ..SimNode::default()
            });
        }
        self.spec = spec;
    }

    /// A node's machine, for a bad day.
    pub fn machine_mut(&mut self, node: &NodeName) -> &mut Machine {
        &mut self.node_mut(node).machine
    }

    /// Sets a node's clock ahead.
    pub fn advance_clock(&mut self, node: &NodeName, ms: i64) {
        self.node_mut(node).clock_offset_ms = ms;
    }

    /// The node joined another cluster once.
    pub fn estrange(&mut self, node: &NodeName) {
        self.node_mut(node).authority = Some(999);
    }

    /// A node falls silent or answers again; what it is at goes on.
    pub fn silence(&mut self, node: &NodeName, silent: bool) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.silent = silent;
        }
    }

    /// The machine is gone, and does not come back by itself.
    pub fn destroy(&mut self, node: &NodeName) {
        self.node_mut(node).machinery = Machinery::Dead;
    }

    /// Whether nobody is answered by the node.
    pub fn is_silent(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_none_or(|node| node.silent || node.machinery != Machinery::Running)
    }

    /// Whether the coordinator of this run is answered by the node.
    pub(super) fn answers(&self, run: &RunId, node: &NodeName) -> bool {
        !self.is_silent(node) && !self.network.is_cut(run, node)
    }

    /// Whether every node is part of one cluster that serves, whatever any plan says.
    pub fn is_whole(&self) -> bool {
        self.is_built() && self.tokens.is_empty() && self.sealed.is_none()
    }

    /// The same, while another run may offer to join at this moment.
    pub(super) fn is_built(&self) -> bool {
        let planes: BTreeSet<_> = self.names(Role::ControlPlane).collect();
        let voters: BTreeSet<_> = self.etcd.voters().map(|member| &member.node).collect();
        let joined = self.names(Role::ControlPlane).chain(self.names(Role::Worker)).all(|node| {
            self.holds(node, Kind::KubeletCertificate) && self.node(node).authority == Some(1)
        });
        let once = [Kind::ClusterConfig, Kind::JoinAccess, Kind::Addons, Kind::Network];
        planes == voters
            && self.etcd.members.len() == planes.len()
            && joined
            && planes.iter().all(|node| self.holds(node, Kind::StaticPods))
            && once.iter().all(|kind| self.once.contains(kind))
    }

    pub(super) fn names(&self, role: Role) -> impl Iterator<Item = &NodeName> {
        self.spec.with_role(role).map(|node| &node.name)
    }

    pub(super) fn holds(&self, node: &NodeName, kind: Kind) -> bool {
        self.nodes.get(node).is_some_and(|node| node.held.contains(&kind))
    }

    /// Whether the node's own API server answers: its etcd member must.
    pub(super) fn serves(&self, node: &NodeName) -> bool {
        self.holds(node, Kind::StaticPods)
            && self.etcd.is_voter(node)
            && self.is_well(node)
            && self.has_leader()
    }

    /// Whether an API server answers at the endpoint.
    pub(super) fn api_answers(&self) -> bool {
        self.has_leader() && self.names(Role::ControlPlane).any(|node| self.serves(node))
    }

    pub(super) fn node(&self, name: &NodeName) -> &SimNode {
        self.nodes.get(name).expect("a node of the specification")
    }

    pub(super) fn node_mut(&mut self, name: &NodeName) -> &mut SimNode {
        self.nodes.get_mut(name).expect("a node of the specification")
    }
}
