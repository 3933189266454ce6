//! The simulated nodes, and what is true of them. Agents and chance act on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use quorate::plan::Procedure;
use quorate::spec::{ClusterSpec, Role};
use quorate_proto::{
    CaFacts, EtcdFacts, EtcdMember, Facts, Goal, KubernetesFacts, Machine, NodeName, OperationId,
    Sha256, StepId, Term, UnderWay,
};

use super::agent::{Answer, Order};

/// Nodes, the cluster that they make up, and messages on their way.
#[derive(Debug, Clone)]
pub struct SimCluster {
    pub spec: ClusterSpec,
    /// What the next run is to bring about.
    pub procedure: Procedure,
    pub(super) prepared: bool,
    pub(super) nodes: BTreeMap<NodeName, SimNode>,
    pub(super) etcd: Vec<Member>,
    /// Goals that the cluster holds once.
    pub(super) once: BTreeSet<String>,
    pub(super) offered: bool,
    pub(super) foundings: u64,
    pub(super) authorities: u64,
    pub(super) orders: Vec<Order>,
    pub(super) answers: Vec<Answer>,
    /// Whether nodes fall silent and operations fail.
    pub faults: bool,
    /// Steps whose next operation ends with half of its effect.
    pub breaks: BTreeSet<StepId>,
    /// Whether another cluster answers at the endpoint.
    pub usurped: bool,
    /// What must never happen, and did.
    pub violations: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimNode {
    pub machine: Machine,
    pub address: Option<IpAddr>,
    pub clock_offset_ms: i64,
    pub held: BTreeSet<String>,
    pub authority: Option<u64>,
    pub super_admin: bool,
    pub etcd_data: bool,
    /// Newest term that the agent was told of.
    pub term: Term,
    pub operation: Option<Operation>,
    pub silent: bool,
}

/// What an agent is at.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub id: OperationId,
    pub term: Term,
    pub goal: Goal,
    /// Events until it ends.
    pub left: usize,
    pub fate: Fate,
    /// The run that is told how it ended, if it still lives.
    pub listener: Term,
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
}

/// A member of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub node: NodeName,
    pub learner: bool,
}

impl SimCluster {
    /// Machines without a cluster; `prepared` ones have their packages and their load balancer.
    pub fn new(spec: ClusterSpec, prepared: bool) -> Self {
        let mut world = Self {
            spec: ClusterSpec { nodes: Vec::new(), ..spec.clone() },
            procedure: Procedure::BringUp,
            prepared,
            nodes: BTreeMap::new(),
            etcd: Vec::new(),
            once: BTreeSet::new(),
            offered: false,
            foundings: 0,
            authorities: 0,
            orders: Vec::new(),
            answers: Vec::new(),
            faults: false,
            breaks: BTreeSet::new(),
            usurped: false,
            violations: Vec::new(),
        };
        world.specify(spec);
        world
    }

    /// Another specification for the same machines; those that are new to it are bare.
    pub fn specify(&mut self, spec: ClusterSpec) {
        for node in &spec.nodes {
            let prepared = self.prepared.then(|| PREPARED.to_owned());
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
                held: prepared.into_iter().collect(),
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

    /// Faults end, and all nodes answer again. What they are at goes on.
    pub fn calm(&mut self) {
        self.faults = false;
        self.nodes.values_mut().for_each(|node| node.silent = false);
    }

    /// A node falls silent or answers again.
    pub fn silence(&mut self, node: &NodeName, silent: bool) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.silent = silent;
        }
    }

    /// Whether the node does not answer.
    pub fn is_silent(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_none_or(|node| node.silent)
    }

    /// Whether every node is part of one cluster that serves, whatever any plan says.
    pub fn is_whole(&self) -> bool {
        let planes: BTreeSet<_> = self.names(Role::ControlPlane).collect();
        let voters: BTreeSet<_> =
            self.etcd.iter().filter(|member| !member.learner).map(|member| &member.node).collect();
        let joined = self.names(Role::ControlPlane).chain(self.names(Role::Worker)).all(|node| {
            self.holds(node, "kubelet-certificate") && self.node(node).authority == Some(1)
        });
        let once = ["cluster-config", "join-access", "addons", "network"];
        planes == voters
            && self.etcd.len() == planes.len()
            && joined
            && planes.iter().all(|node| self.holds(node, "static-pods"))
            && once.iter().all(|goal| self.once.contains(*goal))
            && !self.offered
    }

    /// What the node's agent would report.
    pub(super) fn facts(&self, name: &NodeName) -> Facts {
        let node = self.node(name);
        let plane = self.names(Role::ControlPlane).any(|plane| plane == name);
        let under_way = node.operation.as_ref().map(|operation| UnderWay {
            operation: operation.id.clone(),
            term: operation.term.clone(),
            goal: operation.goal.id(),
            since_ms: 0,
        });
        let authority =
            |number: u64| CaFacts { pem: String::new(), spki: Sha256::of(&number.to_be_bytes()) };
        let pods: &[&str] = if self.holds(name, "static-pods") { &["kube-apiserver"] } else { &[] };
        Facts {
            node: name.clone(),
            agent_version: "0.1.0".to_owned(),
            machine: node.machine.clone(),
            term: node.term.clone(),
            under_way,
            kubernetes: KubernetesFacts {
                ca: node.authority.map(authority),
                ca_key: plane && node.authority.is_some(),
                super_admin: node.super_admin,
                kubelet_conf: self.holds(name, "kubelet-certificate"),
                static_pods: pods.iter().map(|&pod| pod.to_owned()).collect(),
                etcd_data: node.etcd_data,
                kubelet_version: None,
            },
            etcd: self.is_voter(name).then(|| self.membership()),
        }
    }

    fn membership(&self) -> EtcdFacts {
        let member = |(id, member): (u64, &Member)| EtcdMember {
            id,
            // A member that joins has no name until it has started; it may have by now.
            name: if member.learner && id % 2 == 0 {
                String::new()
            } else {
                member.node.to_string()
            },
            peer_urls: vec![self.peer_url(&member.node)],
            learner: member.learner,
            healthy: !member.learner,
        };
        EtcdFacts {
            cluster_id: 1,
            leader: Some(1),
            members: (1..).zip(&self.etcd).map(member).collect(),
        }
    }

    fn peer_url(&self, node: &NodeName) -> String {
        self.node(node).address.map(EtcdMember::peer_url).unwrap_or_default()
    }

    pub(super) fn names(&self, role: Role) -> impl Iterator<Item = &NodeName> {
        self.spec.with_role(role).map(|node| &node.name)
    }

    pub(super) fn holds(&self, node: &NodeName, goal: &str) -> bool {
        self.nodes.get(node).is_some_and(|node| node.held.contains(goal))
    }

    pub(super) fn is_voter(&self, node: &NodeName) -> bool {
        self.etcd.iter().any(|member| member.node == *node && !member.learner)
    }

    pub(super) fn serves(&self, node: &NodeName) -> bool {
        self.is_voter(node) && self.holds(node, "static-pods")
    }

    pub(super) fn api_answers(&self) -> bool {
        self.names(Role::ControlPlane).any(|node| self.serves(node))
    }

    pub(super) fn node(&self, name: &NodeName) -> &SimNode {
        self.nodes.get(name).expect("a node of the specification")
    }

    pub(super) fn node_mut(&mut self, name: &NodeName) -> &mut SimNode {
        self.nodes.get_mut(name).expect("a node of the specification")
    }
}

/// Stands for every goal of preparation at once.
pub(super) const PREPARED: &str = "prepared";
