//! Why there can be no plan: each says the one thing that a person has to decide, and how to go on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use quorate_proto::{Drift, EtcdMember, GoalId, NodeName, Sha256, StepId};

use super::Edit;
use super::quorum::Refusal;

/// A plan that must not be made. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    #[error("the specification names no control plane: give at least one node that role")]
    NoControlPlane,
    /// A silent control plane may hold the very cluster that would be founded a second time, and
    /// of any other node a person wants to know before the cluster is there.
    #[error(
        "no control plane that answers holds a cluster, and none is founded while nodes are \
         silent: {}. Start the agent there with `systemctl start quorate-agent`, or take the node \
         out of the specification for now",
        silences(.silent)
    )]
    FoundingBlind {
        /// Each with why it is silent.
        silent: Vec<(NodeName, String)>,
    },
    #[error(
        "{node} is a control plane in the specification, and was let in as a {said}: control planes are \
         given the keys of the cluster. Give {node} no such role there or, if it is to be one, make a \
         token with `quorate node token {node} --role control-plane`, run `quorate-agent reset \
         --identity` on {node}, and enrol it anew"
    )]
    LetInAsLess { node: NodeName, said: &'static str },
    #[error(
        "{node} and {other} belong to different clusters: {node} holds the certificate authority \
         {ca}, {other} holds {other_ca}. Decide which node is in the wrong specification; if its \
         data may go, run `kubeadm reset` on that node"
    )]
    ForeignCluster { node: NodeName, ca: Sha256, other: NodeName, other_ca: Sha256 },
    #[error(
        "{node} has joined a cluster that no control plane of the specification holds: if what is \
         on {node} may go, run `kubeadm reset` there"
    )]
    JoinedElsewhere { node: NodeName },
    #[error(
        "{node} joined the cluster as {other}, and its kubelet still runs as that node: to keep it, name it \
         {other} in cluster.yaml; to let it join as {node}, run `kubeadm reset` there, then `quorate node \
         remove {other}`"
    )]
    JoinedAsAnother { node: NodeName, other: String },
    /// Nodes that are part of the cluster run by other settings.
    #[error("{}", self.reasons().join("; "))]
    InUse(Vec<(NodeName, Drift)>),
    #[error(
        "{node} would be interrupted while the etcd member {missing} is not healthy, and the cluster would lose its \
         quorum or its last way out: bring {missing} back first, or set cluster.yaml back to what is in force"
    )]
    Disruption { node: NodeName, missing: String },
    /// cluster.yaml asks for what an apply does not change on a running cluster.
    #[error("{}", self.reasons().join("; "))]
    Edited(Vec<Edit>),
    #[error(
        "{node} holds {what} but no certificate authority in /etc/kubernetes/pki that it belongs \
         to: restore the certificates from a backup, or, if what is there may go, run `kubeadm \
         reset` on {node}"
    )]
    DataWithoutAuthority { node: NodeName, what: &'static str },
    #[error(
        "{node} and {other} run two separate etcd clusters: decide which holds the data that you \
         keep, and run `kubeadm reset` on the other node"
    )]
    SplitEtcd { node: NodeName, other: NodeName },
    #[error(
        "{node} and {other} have one machine-id, {machine_id}: they were cloned, or they are one \
         machine. On the clone run `rm /etc/machine-id && systemd-machine-id-setup` and reboot it"
    )]
    SameMachine { node: NodeName, other: NodeName, machine_id: String },
    #[error(
        "the clocks of {behind} and {ahead} are {apart_ms} ms apart, more than the {limit_ms} ms \
         that certificates and etcd bear: start time synchronisation on both, such as \
         `systemctl enable --now chrony`"
    )]
    ClocksApart { behind: NodeName, ahead: NodeName, apart_ms: u64, limit_ms: u64 },
    #[error(
        "{node} is too small for a control plane: {found} of {needed} {what}. Give the machine \
         more, or {or}"
    )]
    TooSmall {
        node: NodeName,
        /// With its unit.
        what: &'static str,
        found: u64,
        needed: u64,
        /// What else a person can do.
        or: &'static str,
    },
    #[error(
        "etcd's member {member} belongs to none of the specification's control planes: put its node back \
         into the specification or, if it is to go, run {}", .member.removal()
    )]
    UnknownMember { member: MemberAt },
    #[error(
        "etcd's member {member} is not healthy, so no control plane may join now: start its machine and its \
         kubelet (`crictl ps -a --name etcd` there shows whether the member runs) or, if that machine is \
         gone for ever, take it out of the specification and run {}", .member.removal()
    )]
    UnhealthyVoter { member: MemberAt },
    #[error(
        "etcd's member {member} has begun to join and its node does not answer, so no other control plane \
         may join now: start its agent or, if that machine is gone for ever, take it out of the \
         specification and run {}", .member.removal()
    )]
    UnfinishedMember { member: MemberAt },
    #[error(
        "the specification still names {node}, so that the next `quorate apply` would have it join \
         again: take {node} out of it first"
    )]
    StillSpecified { node: NodeName },
    #[error(
        "etcd's member {:x} at {} has never started, so it tells no name: if it is {node}'s, run {}; \
         if it is another node's, remove that one first",
        .member.id, .member.peer_url, .member.removal()
    )]
    NamelessMember { member: MemberAt, node: NodeName },
    #[error(
        "etcd's member {member} is healthy, so its machine runs: put its node back into the specification \
         to keep it; to remove it all the same, add --alive to {}", .member.removal()
    )]
    MemberAlive { member: MemberAt },
    #[error(
        "{node} does not answer and may be joining etcd at this moment, and two members must not \
         change at once: start its agent, or take it out of the specification too"
    )]
    MayBeJoining { node: NodeName },
    #[error(
        "{node} is at {goal} at this moment, and two members must not change at once: `quorate \
         status` shows when it is over"
    )]
    MembershipChanging { node: NodeName, goal: GoalId },
    #[error(
        "etcd has no leader, so its membership cannot change: start the control planes that are \
         down; where all are up, see `journalctl -u kubelet` on them"
    )]
    NoLeader,
    #[error(
        "no member of etcd answers although the cluster was founded: start the control planes that \
         are down, see `crictl ps -a --name etcd` and `journalctl -u kubelet` on the others, then \
         run the same again"
    )]
    EtcdSilent,
    #[error("etcd's membership must not change: {0}")]
    Quorum(Refusal),
    /// A check could not tell, and nothing that is left to do would help it.
    #[error("whether {step} holds cannot be told ({why}): see to that, then run the same again")]
    Untold { step: StepId, why: String },
    /// Checks found what only a person can mend.
    #[error("{}", self.reasons().join("; "))]
    Refused(Vec<(NodeName, String)>),
}

impl Blocked {
    /// What stands in the way, each for itself.
    pub fn reasons(&self) -> Vec<String> {
        if let Self::Refused(all) = self {
            return all.iter().map(|(node, why)| format!("{node}: {why}")).collect();
        }
        if let Self::InUse(changes) = self {
            return changes.iter().map(|(node, drift)| in_use(node, drift)).collect();
        }
        if let Self::Edited(edits) = self {
            return edits.iter().map(ToString::to_string).collect();
        }
        vec![self.to_string()]
    }
}

fn in_use(node: &NodeName, Drift { what, found, wanted, .. }: &Drift) -> String {
    format!(
        "{node}: {what} is {found}, and {wanted} by cluster.yaml: `quorate apply` does not change it on a node \
         that is part of the cluster. Set cluster.yaml back to what is in force or, where the node was \
         changed by hand, the node"
    )
}

/// A member of etcd as a person finds it again, in etcdctl or in a specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAt {
    /// Its node, where that is known: a member tells its name when it starts for the first time.
    pub node: Option<String>,
    pub started: bool,
    pub id: u64,
    pub peer_url: String,
}

impl MemberAt {
    /// Of this node, or of the one that the member names.
    pub(crate) fn new(member: &EtcdMember, node: Option<&NodeName>) -> Self {
        let started = !member.name.is_empty();
        Self {
            node: node.map(ToString::to_string).or_else(|| started.then(|| member.name.clone())),
            started,
            id: member.id,
            peer_url: member.peer_urls.first().cloned().unwrap_or_default(),
        }
    }

    /// The command by which it goes.
    fn removal(&self) -> String {
        let node = self.node.as_deref().unwrap_or("NAME");
        if self.started {
            return format!("`quorate node remove {node}`");
        }
        let address = self.address().map(|address| address.to_string());
        let address = address.unwrap_or_else(|| "ADDRESS".to_owned());
        let command = format!("`quorate node remove {node} --address {address}`");
        if self.node.is_some() { command } else { format!("{command} with the name of that node") }
    }

    fn address(&self) -> Option<IpAddr> {
        let socket = self.peer_url.strip_prefix("https://")?.parse::<SocketAddr>().ok()?;
        Some(socket.ip())
    }
}

impl fmt::Display for MemberAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, url) = (self.id, &self.peer_url);
        match (&self.node, self.started) {
            (Some(node), true) => write!(f, "{node} ({id:x} at {url})"),
            (Some(node), false) => write!(f, "{node} ({id:x} at {url}, never started)"),
            (None, _) => write!(f, "{id:x} at {url}, which has never started,"),
        }
    }
}

fn silences(silent: &[(NodeName, String)]) -> String {
    let each = silent.iter().map(|(node, why)| format!("{node} does not answer ({why})"));
    each.collect::<Vec<_>>().join(", ")
}
