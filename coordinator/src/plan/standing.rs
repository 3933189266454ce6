//! Where the cluster stands: whether it was founded, who founds it, and who speaks for it.
//!
//! Facts decide, never memory: a run that knows nothing of the one before comes to the same answer.

use quorate_proto::goal::Entry;
use quorate_proto::{Facts, NodeName, Sha256};

use super::machines::runs_api_server;
use super::{Blocked, Observed};
use crate::spec::{ClusterSpec, NodeSpec, Role};

/// What the facts of all nodes say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether a control plane holds etcd's data: the cluster exists.
    pub initialised: bool,
    /// The control plane that runs `kubeadm init`; `None` once it cannot be told any more, as
    /// its super-admin.conf was deleted or the node was lost. Then all others have joined.
    pub founder: Option<NodeName>,
    /// The control plane that is asked for what the cluster holds once.
    seat: NodeName,
    /// The cluster's certificate authority, once there is one.
    pub ca: Option<Sha256>,
}

impl Standing {
    /// Tells it from the facts, or says why a person has to.
    pub(crate) fn of(spec: &ClusterSpec, observed: &Observed) -> Result<Self, Blocked> {
        let planes: Vec<&NodeSpec> = spec.with_role(Role::ControlPlane).collect();
        let first = planes.first().ok_or(Blocked::NoControlPlane)?;
        let seen: Vec<(&NodeName, &Facts)> = planes
            .iter()
            .filter_map(|node| Some((&node.name, observed.facts(&node.name)?)))
            .collect();
        let founded = seen.iter().any(|(_, facts)| holds_etcd(facts));
        if !founded {
            nobody_silent(spec, observed)?;
        }
        one_etcd(&seen)?;
        let ca = one_authority(spec, observed, &seen)?;

        let by = |wanted: &dyn Fn(&Facts) -> bool| {
            seen.iter().find(|(_, facts)| wanted(facts)).map(|(node, _)| (*node).clone())
        };
        let founder = if founded {
            // A founder whose etcd data is gone must join like any other: kubeadm's init would
            // make it a second cluster.
            by(&|facts| facts.kubernetes.super_admin && holds_etcd(facts))
        } else {
            by(&|facts| facts.kubernetes.super_admin)
                .or_else(|| by(&|facts| facts.kubernetes.ca_key))
                .or_else(|| Some(first.name.clone()))
        };
        let serving_founder =
            founder.clone().filter(|node| observed.facts(node).is_some_and(serves));
        let seat = serving_founder
            .or_else(|| by(&serves))
            .or_else(|| by(&runs_api_server))
            .or_else(|| founder.clone())
            .or_else(|| by(&holds_etcd))
            .unwrap_or_else(|| first.name.clone());
        Ok(Self { initialised: founded, founder, seat, ca })
    }

    /// Returns the control plane that is asked for what the cluster holds once.
    pub(crate) fn seat<'a>(&self, spec: &'a ClusterSpec) -> Result<&'a NodeSpec, Blocked> {
        let seat = spec.with_role(Role::ControlPlane).find(|node| node.name == self.seat);
        seat.ok_or(Blocked::NoControlPlane)
    }

    /// How a control plane comes into the cluster.
    pub(crate) fn entry(&self, node: &NodeName) -> Entry {
        if self.founder.as_ref() == Some(node) { Entry::Founder } else { Entry::ControlPlane }
    }
}

fn serves(facts: &Facts) -> bool {
    runs_api_server(facts) && facts.etcd.is_some()
}

fn holds_etcd(facts: &Facts) -> bool {
    facts.kubernetes.etcd_data || facts.etcd.is_some()
}

/// Before the founding every node must be heard: a run over a cluster that is there goes on without
/// one, a new cluster is not begun without it.
fn nobody_silent(spec: &ClusterSpec, observed: &Observed) -> Result<(), Blocked> {
    let silence =
        |node: &NodeSpec| Some((node.name.clone(), observed.silence(&node.name)?.to_owned()));
    let silent: Vec<_> = spec.nodes.iter().filter_map(silence).collect();
    if silent.is_empty() { Ok(()) } else { Err(Blocked::FoundingBlind { silent }) }
}

fn one_etcd(seen: &[(&NodeName, &Facts)]) -> Result<(), Blocked> {
    let mut clusters =
        seen.iter().filter_map(|(node, facts)| Some((*node, facts.etcd.as_ref()?.cluster_id)));
    let Some((node, cluster)) = clusters.next() else { return Ok(()) };
    match clusters.find(|(_, other)| *other != cluster) {
        Some((other, _)) => Err(Blocked::SplitEtcd { node: node.clone(), other: other.clone() }),
        None => Ok(()),
    }
}

/// The certificate authority that all nodes with one must share.
fn one_authority(
    spec: &ClusterSpec,
    observed: &Observed,
    planes: &[(&NodeName, &Facts)],
) -> Result<Option<Sha256>, Blocked> {
    let ca = |facts: &Facts| Some(facts.kubernetes.ca.as_ref()?.spki.clone());
    // Who holds etcd data speaks for the cluster; before that, who holds an authority's key.
    let holder = planes
        .iter()
        .find(|(_, facts)| holds_etcd(facts))
        .or_else(|| planes.iter().find(|(_, facts)| facts.kubernetes.ca_key))
        .and_then(|(node, facts)| Some((*node, ca(facts)?)));
    for node in &spec.nodes {
        let Some(facts) = observed.facts(&node.name) else { continue };
        let Some(other_ca) = ca(facts) else {
            if let Some(what) = orphaned(facts) {
                return Err(Blocked::DataWithoutAuthority { node: node.name.clone(), what });
            }
            continue;
        };
        match &holder {
            None => return Err(Blocked::JoinedElsewhere { node: node.name.clone() }),
            Some((holder, ca)) if *ca != other_ca => {
                return Err(Blocked::ForeignCluster {
                    node: (*holder).clone(),
                    ca: ca.clone(),
                    other: node.name.clone(),
                    other_ca,
                });
            }
            Some(_) => {}
        }
    }
    Ok(holder.map(|(_, ca)| ca))
}

/// What a node holds of a cluster, though it lacks the authority that all of a cluster share.
fn orphaned(facts: &Facts) -> Option<&'static str> {
    let held = &facts.kubernetes;
    let data = held.etcd_data.then_some("etcd's data in /var/lib/etcd");
    data.or_else(|| held.kubelet_conf.then_some("/etc/kubernetes/kubelet.conf"))
}
