//! What a machine needs before kubeadm may touch it: the guide's prerequisites, and HAProxy.

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::goal::{
    Containerd, HostGoal, Hosts, Images, KernelModules, Package, Packages, Release, RuntimeGoal,
    Service, Sysctls,
};
use quorate_proto::{Goal, StepId};

use crate::plan::Draft;
use crate::spec::{ClusterSpec, NodeSpec, Plugin, Role};

/// kubeadm's preflight asks for these programs, and kubeadm's own packages do not bring them all.
const TOOLS: [&str; 4] = ["conntrack", "ethtool", "iptables", "socat"];
/// Bridged traffic must pass iptables, and packets must be forwarded between pods.
const SYSCTLS: [&str; 3] = [
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
    "net.ipv4.ip_forward",
];

/// Lists the preparation of a node for its roles. What comes next on the node waits for all of it.
pub(super) fn prepare(draft: &mut Draft, spec: &ClusterSpec, node: &NodeSpec) -> Vec<StepId> {
    let mut done = vec![hosts(draft, spec, node)];
    let packages = packages(draft, spec, node);
    if is_kubernetes(node) {
        done.extend(kernel(draft, node));
        done.extend(containers(draft, spec, node, &packages));
    }
    done.push(packages);
    done
}

fn is_kubernetes(node: &NodeSpec) -> bool {
    node.roles.contains(&Role::ControlPlane) || node.roles.contains(&Role::Worker)
}

/// Every node needs its own name, which kubeadm's preflight looks up, and the endpoint's; control planes
/// and load balancers know the control planes by name too. No other node names a worker, so that a new
/// one changes none of them.
fn hosts(draft: &mut Draft, spec: &ClusterSpec, node: &NodeSpec) -> StepId {
    let is_worker = node.roles.contains(&Role::Worker);
    let is_needed = |other: &&NodeSpec| {
        other.name == node.name
            || other.name.as_str() == spec.endpoint.host
            || (!is_worker && other.roles.contains(&Role::ControlPlane))
    };
    let needed = spec.nodes.iter().filter(is_needed);
    let entries = needed.map(|node| (node.name.clone(), node.address)).collect();
    draft.add(&node.name, Goal::Host(HostGoal::Hosts(Hosts { entries })), &[])
}

fn kernel(draft: &mut Draft, node: &NodeSpec) -> [StepId; 3] {
    let swap = draft.add(&node.name, Goal::Host(HostGoal::SwapOff), &[]);
    let modules = ["overlay", "br_netfilter"].map(str::to_owned).into();
    let modules =
        draft.add(&node.name, Goal::Host(HostGoal::KernelModules(KernelModules { modules })), &[]);
    let values: BTreeMap<_, _> = SYSCTLS.map(|name| (name.to_owned(), "1".to_owned())).into();
    // net.bridge.* exists once br_netfilter is there.
    let sysctls = Goal::Host(HostGoal::Sysctls(Sysctls { values }));
    let sysctls = draft.add(&node.name, sysctls, std::slice::from_ref(&modules));
    [swap, modules, sysctls]
}

fn packages(draft: &mut Draft, spec: &ClusterSpec, node: &NodeSpec) -> StepId {
    let source = spec.packages.repository.as_ref().map(|source| {
        draft.add(&node.name, Goal::Host(HostGoal::PackageSource(source.clone())), &[])
    });
    let any = |name: &str| Package { name: name.to_owned(), version: None };
    let pinned = |name: &str| Package {
        name: name.to_owned(),
        version: Some(spec.packages.kubernetes.clone()),
    };
    let mut packages = Vec::new();
    if is_kubernetes(node) {
        packages.push(any("containerd"));
        packages.extend(TOOLS.map(any));
        packages.extend(["kubeadm", "kubectl", "kubelet"].map(pinned));
    }
    if node.roles.contains(&Role::LoadBalancer) {
        packages.push(any("haproxy"));
    }
    let after = source.as_slice();
    draft.add(&node.name, Goal::Host(HostGoal::Packages(Packages { packages })), after)
}

fn containers(
    draft: &mut Draft,
    spec: &ClusterSpec,
    node: &NodeSpec,
    packages: &StepId,
) -> [StepId; 3] {
    let configured = Goal::Runtime(RuntimeGoal::Containerd(Containerd {
        sandbox_image: spec.containerd.sandbox_image.clone(),
        systemd_cgroup: spec.containerd.systemd_cgroup,
        restrict_oom_score_adj: spec.containerd.restrict_oom_score_adj,
    }));
    let configured = draft.add(&node.name, configured, std::slice::from_ref(packages));
    let runs = Goal::Host(HostGoal::ServiceRunning(Service { unit: "containerd".to_owned() }));
    let runs = draft.add(&node.name, runs, std::slice::from_ref(&configured));
    let held = draft.add(&node.name, images(spec, node), &[packages.clone(), runs.clone()]);
    [configured, runs, held]
}

fn images(spec: &ClusterSpec, node: &NodeSpec) -> Goal {
    let mut names = match &spec.network.plugin {
        Plugin::Manifest { images, .. } => images.clone(),
        Plugin::None => BTreeSet::new(),
    };
    names.insert(spec.containerd.sandbox_image.clone());
    Goal::Runtime(RuntimeGoal::Images(Images {
        release: Release {
            version: spec.version,
            image_repository: spec.kubeadm.image_repository.clone(),
            control_plane: node.roles.contains(&Role::ControlPlane),
        },
        names,
        archives: spec.images.clone(),
    }))
}
