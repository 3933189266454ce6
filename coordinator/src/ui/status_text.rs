//! `quorate status` as text: what each node says of itself, and etcd as its members see it.

use quorate_proto::{EtcdFacts, Facts, NodeName};

use super::{duration, line, plural};
use crate::plan::{Count, Observed, Sight};
use crate::spec::{ClusterSpec, NodeSpec, Role};

/// All nodes in the order of the specification, then etcd.
pub fn text(spec: &ClusterSpec, observed: &Observed, now_ms: u64) -> String {
    let width = spec.nodes.iter().map(|node| node.name.as_str().len()).max().unwrap_or_default();
    let mut text = format!("cluster {}, Kubernetes {}\n\n", spec.name, spec.version);
    for node in &spec.nodes {
        let lines = match observed.nodes.get(&node.name) {
            Some(Sight::Seen { facts, clock }) => seen(node, facts, clock.middle_ms(), now_ms),
            Some(Sight::Silent { why }) => vec![format!("does not answer: {why}")],
            None => vec!["was not asked".to_owned()],
        };
        for (at, said) in lines.iter().enumerate() {
            let name = if at == 0 { node.name.as_str() } else { "" };
            line(&mut text, format_args!("{name:<width$}  {said}"));
        }
    }
    text + "\n" + &etcd(observed)
}

fn seen(node: &NodeSpec, facts: &Facts, offset_ms: i64, now_ms: u64) -> Vec<String> {
    let machine = &facts.machine;
    let roles: Vec<_> = node.roles.iter().map(|role| role_name(*role)).collect();
    let mut lines = vec![format!(
        "{} at {}: {}, kernel {}, {} CPUs, {} MiB memory, {} GiB free, agent {}",
        roles.join(", "),
        node.address,
        machine.os,
        machine.kernel,
        machine.cpus,
        machine.memory_mib,
        machine.disk_free_mib / 1024,
        facts.agent_version,
    )];
    if !(node.roles.len() == 1 && node.roles.contains(&Role::LoadBalancer)) {
        lines.push(holds(facts));
    }
    if let Some(under_way) = &facts.under_way {
        // `since_ms` is of the node's clock; the offset brings it to ours.
        let since = under_way.since_ms.saturating_add_signed(-offset_ms);
        let (goal, run) = (&under_way.goal, &under_way.term.run);
        let elapsed = duration(now_ms.saturating_sub(since));
        lines.push(format!("has been at {goal} for {elapsed}, by order of run {run}"));
    }
    if offset_ms.abs() > 500 {
        lines.push(format!("its clock is {offset_ms} ms from this machine's"));
    }
    lines
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::LoadBalancer => "load balancer",
        Role::ControlPlane => "control plane",
        Role::Worker => "worker",
    }
}

fn holds(facts: &Facts) -> String {
    let kubernetes = &facts.kubernetes;
    let kubelet = match kubernetes.kubelet_version {
        Some(version) => format!("kubelet {version}"),
        None => return "holds nothing of Kubernetes yet".to_owned(),
    };
    let joined = if kubernetes.kubelet_conf { "joined" } else { "not joined" };
    if kubernetes.static_pods.is_empty() {
        return format!("{kubelet}, {joined}");
    }
    format!("{kubelet}, {joined}, runs {}", kubernetes.static_pods.join(", "))
}

fn etcd(observed: &Observed) -> String {
    match observed.etcd() {
        Some((node, etcd)) => members(node, etcd),
        None => "etcd: no member answers\n".to_owned(),
    }
}

fn members(seen_from: &NodeName, etcd: &EtcdFacts) -> String {
    let count = Count::of(etcd);
    let leader = etcd.members.iter().find(|member| Some(member.id) == etcd.leader);
    let leader = match leader {
        Some(member) => format!("leader {}", member.name),
        None => "NO LEADER: writes stand still".to_owned(),
    };
    let mut text = format!(
        "etcd, as {seen_from} sees it: {}, {leader}, {} more may fail\n",
        plural(count.voters, "voter"),
        count.tolerance(),
    );
    for member in &etcd.members {
        let name = if member.name.is_empty() { "(never started)" } else { &member.name };
        let sort = if member.learner { "learner" } else { "voter" };
        let health = if member.healthy { "healthy" } else { "DOES NOT ANSWER" };
        line(&mut text, format_args!("  {name}  {sort}, {health}"));
    }
    text
}
