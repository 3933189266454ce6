//! Whether the machines can be a cluster at all: different machines, one time, large enough.

use std::collections::BTreeMap;

use quorate_proto::{Facts, NodeName};

use super::{Blocked, Observed, Sight};
use crate::spec::{ClusterSpec, NodeSpec, Role};

/// Certificates are valid from the second in which they are made, and etcd warns from 1 s on.
const CLOCK_LIMIT_MS: u64 = 1_000;
/// kubeadm's own preflight check `NumCPU`.
const CONTROL_PLANE_CPUS: u32 = 2;
/// kubeadm's own preflight check `Mem`.
const CONTROL_PLANE_MIB: u64 = 1_700;
/// What etcd's database may grow to by default: with less, the disk is full before the quota is.
const CONTROL_PLANE_DISK_MIB: u64 = 2_048;

/// Looks at the nodes that answered.
pub(crate) fn check(spec: &ClusterSpec, observed: &Observed) -> Result<(), Blocked> {
    different(spec, observed)?;
    one_time(observed)?;
    spec.with_role(Role::ControlPlane).try_for_each(|node| large_enough(spec, observed, node))
}

fn different(spec: &ClusterSpec, observed: &Observed) -> Result<(), Blocked> {
    let mut known: BTreeMap<&str, &NodeName> = BTreeMap::new();
    for node in &spec.nodes {
        let Some(facts) = observed.facts(&node.name) else { continue };
        let machine_id = facts.machine.machine_id.as_str();
        if machine_id.is_empty() {
            continue;
        }
        if let Some(other) = known.insert(machine_id, &node.name) {
            return Err(Blocked::SameMachine {
                node: other.clone(),
                other: node.name.clone(),
                machine_id: machine_id.to_owned(),
            });
        }
    }
    Ok(())
}

fn one_time(observed: &Observed) -> Result<(), Blocked> {
    let clocks = observed.nodes.iter().filter_map(|(node, sight)| match sight {
        Sight::Seen { clock, .. } => Some((clock, node)),
        Sight::Silent { .. } => None,
    });
    let last = clocks.clone().max_by_key(|(clock, _)| clock.least_ms);
    let first = clocks.min_by_key(|(clock, _)| clock.most_ms);
    let (Some((early, behind)), Some((late, ahead))) = (first, last) else { return Ok(()) };
    // What they are apart for certain: a slow answer is no wrong clock.
    let apart_ms = u64::try_from(late.least_ms.saturating_sub(early.most_ms)).unwrap_or_default();
    if apart_ms <= CLOCK_LIMIT_MS {
        return Ok(());
    }
    Err(Blocked::ClocksApart {
        behind: behind.clone(),
        ahead: ahead.clone(),
        apart_ms,
        limit_ms: CLOCK_LIMIT_MS,
    })
}

/// A node that runs a control plane already has shown that it can.
fn large_enough(spec: &ClusterSpec, observed: &Observed, node: &NodeSpec) -> Result<(), Blocked> {
    let Some(facts) = observed.facts(&node.name) else { return Ok(()) };
    if runs_api_server(facts) {
        return Ok(());
    }
    let ignored = |check: &str| {
        let names = &spec.kubeadm.ignore_preflight_errors;
        names.iter().any(|name| name.eq_ignore_ascii_case(check) || name == "all")
    };
    let too_small = |what, found, needed, or| {
        Err(Blocked::TooSmall { node: node.name.clone(), what, found, needed, or })
    };
    let machine = &facts.machine;
    if machine.cpus < CONTROL_PLANE_CPUS && !ignored("NumCPU") {
        let or = "name NumCPU in spec.kubeadm.ignorePreflightErrors";
        return too_small("CPU cores", machine.cpus.into(), CONTROL_PLANE_CPUS.into(), or);
    }
    if machine.memory_mib < CONTROL_PLANE_MIB && !ignored("Mem") {
        let or = "name Mem in spec.kubeadm.ignorePreflightErrors";
        return too_small("MiB of memory", machine.memory_mib, CONTROL_PLANE_MIB, or);
    }
    if machine.disk_free_mib < CONTROL_PLANE_DISK_MIB {
        let or = "free some space under /var/lib";
        return too_small("MiB of free disk", machine.disk_free_mib, CONTROL_PLANE_DISK_MIB, or);
    }
    Ok(())
}

/// Whether the node's disk says that an API server runs there.
pub(super) fn runs_api_server(facts: &Facts) -> bool {
    facts.kubernetes.static_pods.iter().any(|pod| pod == "kube-apiserver")
}
