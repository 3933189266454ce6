//! `quorate status` as text: where the cluster stands, each node, etcd's members, what to do next.

use quorate_proto::Facts;

use super::{duration, line, plural, utc};
use crate::run::short;
use crate::spec::Role;
use crate::status::{
    EtcdStatus, MemberState, MemberStatus, NodeStatus, OperationStatus, Stage, Status, Whose,
};

/// A clock that is further from ours is worth a word.
const CLOCK_MS: u64 = 500;
/// Of a run's id: enough to find it in `quorate runs`.
const RUN: usize = 13;

/// All of it. `machines` adds what each machine is.
pub fn text(status: &Status, machines: bool) -> String {
    let versions: Vec<String> = status.versions.iter().map(ToString::to_string).collect();
    let mut text = if versions.is_empty() {
        format!("cluster {}\n", status.cluster)
    } else {
        format!("cluster {}, Kubernetes {}\n", status.cluster, versions.join(" and "))
    };
    line(&mut text, format_args!("{}\n", status.summary));
    let width = status.nodes.iter().map(|node| node.node.as_str().len()).max().unwrap_or_default();
    for node in &status.nodes {
        for (at, said) in lines(node, machines).iter().enumerate() {
            let name = if at == 0 { node.node.as_str() } else { "" };
            line(&mut text, format_args!("{name:<width$}  {said}"));
        }
    }
    for node in &status.unspecified {
        line(
            &mut text,
            format_args!("{node:<width$}  NOT IN THE SPECIFICATION, and a node of the cluster"),
        );
    }
    text += "\n";
    text += &status.etcd.as_ref().map_or_else(|| "etcd: no member answers\n".to_owned(), etcd);
    text += "\n";
    for reason in &status.blocked {
        line(&mut text, format_args!("blocked: {reason}"));
    }
    line(&mut text, format_args!("next: {}", status.next));
    text
}

fn lines(node: &NodeStatus, machines: bool) -> Vec<String> {
    let roles: Vec<&str> = node.roles.iter().map(|role| role_name(*role)).collect();
    let mut lines = vec![format!("{}: {}", roles.join(" and "), stage(node))];
    if let Some(under_way) = &node.under_way {
        lines.extend(operation(under_way));
    }
    let offset = node.clock_offset_ms.unwrap_or_default();
    if offset.unsigned_abs() > CLOCK_MS {
        let apart = duration(offset.unsigned_abs());
        let way = if offset > 0 { "ahead of" } else { "behind" };
        lines.push(format!("its clock is {apart} {way} this machine's"));
    }
    if let Some(facts) = node.facts.as_ref().filter(|_| machines) {
        lines.push(machine(node, facts));
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

fn stage(node: &NodeStatus) -> String {
    let version = node.facts.as_ref().and_then(|facts| facts.kubernetes.kubelet_version);
    let kubelet = version.map_or_else(String::new, |version| format!(", kubelet {version}"));
    match node.stage {
        Stage::Silent => {
            return format!("does not answer: {}", node.silent.as_deref().unwrap_or("no reason"));
        }
        Stage::LoadBalancer => "answers",
        Stage::Bare => "bare, no kubelet is installed",
        Stage::Installed => "packages are installed, nothing of the cluster yet",
        Stage::Certified => "has the cluster's certificates",
        Stage::Configured => "has its kubeconfigs",
        Stage::Joining => "kubelet started, not let in yet",
        Stage::PodsInPlace => "pods are in place, not in etcd yet",
        Stage::MemberUnstarted => "added to etcd, never started",
        Stage::Learner => "in etcd as a learner, no vote yet",
        Stage::MemberRemoved => "ETCD DOES NOT KNOW ITS MEMBER ANY MORE",
        Stage::MemberDown => "ITS ETCD MEMBER IS DOWN",
        Stage::NoApiServer => "in etcd, NO API SERVER'S POD",
        Stage::Joined if node.ready == Some(false) => "joined, NOT READY",
        Stage::Joined => "joined",
        Stage::Serves if node.ready == Some(false) => "serves, in etcd as a voter, NODE NOT READY",
        Stage::Serves => "serves, in etcd as a voter",
    }
    .to_owned()
        + &kubelet
}

fn operation(under_way: &OperationStatus) -> [String; 2] {
    let OperationStatus { doing, term, by, since_ms, for_ms, .. } = under_way;
    let (elapsed, since) = (duration(*for_ms), utc(*since_ms));
    let whose = match by {
        Whose::Running => "which goes on here",
        Whose::Over => "which is over or was cut off",
        Whose::Other => "of another coordinator",
    };
    [
        format!("{doing}, for {elapsed} now, since {since} UTC"),
        format!("by order of run {} (term {}), {whose}", short(&term.run, RUN), term.number),
    ]
}

fn machine(node: &NodeStatus, facts: &Facts) -> String {
    let machine = &facts.machine;
    format!(
        "{}, {}, kernel {}, {} CPUs, {} MiB memory, {} GiB free, agent {}",
        node.address,
        machine.os,
        machine.kernel,
        machine.cpus,
        machine.memory_mib,
        machine.disk_free_mib / 1024,
        facts.agent_version,
    )
}

fn etcd(etcd: &EtcdStatus) -> String {
    let leader = match &etcd.leader {
        Some(leader) => format!("leader {leader}"),
        None => "NO LEADER: writes stand still".to_owned(),
    };
    let mut text = format!(
        "etcd, as {} sees it: {}, {leader}, {} more may fail\n",
        etcd.seen_from,
        plural(etcd.count.voters, "voter"),
        etcd.tolerance,
    );
    let id = etcd.members.iter().map(|member| member.id.len()).max().unwrap_or_default();
    let label = etcd.members.iter().map(|member| member.label().len()).max().unwrap_or_default();
    for member in &etcd.members {
        let (hex, name) = (&member.id, member.label());
        line(&mut text, format_args!("  {hex:>id$}  {name:<label$}  {}", standing(member)));
    }
    text
}

fn standing(member: &MemberStatus) -> String {
    let health = if member.healthy { "healthy" } else { "DOES NOT ANSWER" };
    let standing = match member.state {
        MemberState::Voter => format!("voter, {health}"),
        MemberState::Learner => format!("learner, {health}"),
        MemberState::Unstarted => "added, never started".to_owned(),
    };
    let at = match member.state {
        MemberState::Voter if member.node.is_some() => String::new(),
        MemberState::Voter | MemberState::Learner | MemberState::Unstarted => {
            format!(", {}", member.peer_urls.join(" "))
        }
    };
    let stranger = if member.node.is_none() { ", NOT IN THE SPECIFICATION" } else { "" };
    format!("{standing}{at}{stranger}")
}
