//! What every goal promises, tried with a sample of each on a fake machine: a check changes nothing;
//! an apply that dies after any of its changes goes on when it is run again; and a goal that holds is
//! left alone. A new goal needs a line in `samples` and nothing else, unless it is of kubeadm's or of the
//! cluster's: these hold one after the other, and are tried so in `cluster::tests`.

use std::collections::BTreeSet;

use quorate_proto::goal::{
    Archive, Backend, BalancerGoal, Containerd, HealthCheck, HostGoal, Hosts, Images,
    KernelModules, Kind, LoadBalancer, Package, PackageSource, Packages, Release, RuntimeGoal,
    Service, Sysctls,
};
use quorate_proto::{Finding, Goal, Sha256};
use tokio::sync::mpsc;

use crate::goal::balancer::BALANCER;
use crate::goal::{Work, cluster, of};
use crate::host::HostError;
use crate::host::fake::FakeHost;
use crate::host::fake::systemd::config_of;
use crate::progress::Progress;

/// A goal, and a machine on which it does not hold yet and can be made to.
struct Sample {
    goal: Goal,
    host: fn() -> FakeHost,
    /// Others bring it about, so that an apply changes nothing.
    waits: bool,
}

fn samples() -> Vec<Sample> {
    let node = || FakeHost::with_packages(&["containerd", "kubeadm", "kubelet"]);
    let balancer = || FakeHost::with_packages(&["haproxy"]);
    let sample = |goal, host| Sample { goal, host, waits: false };
    vec![
        sample(hosts(), FakeHost::bare),
        sample(Goal::Host(HostGoal::SwapOff), FakeHost::bare),
        sample(Goal::Host(HostGoal::SwapOff), zram),
        sample(kernel_modules(), FakeHost::bare),
        sample(sysctls(), with_modules),
        sample(package_source(), FakeHost::bare),
        sample(packages(), FakeHost::bare),
        sample(containerd(), node),
        sample(containerd(), stopped_containerd),
        sample(
            Goal::Host(HostGoal::ServiceRunning(Service { unit: "kubelet".to_owned() })),
            disabled_kubelet,
        ),
        sample(images(true), archives),
        sample(images(false), node),
        sample(Goal::Balancer(BalancerGoal::LoadBalancer(load_balancer())), balancer),
        sample(Goal::Balancer(BalancerGoal::LoadBalancer(load_balancer())), stopped_haproxy),
        Sample {
            goal: Goal::Balancer(BalancerGoal::BackendsUp(load_balancer())),
            host: slow_backends,
            waits: true,
        },
    ]
}

#[test]
fn every_kind_of_goal_is_tried() {
    let goals: Vec<Goal> = samples().into_iter().map(|sample| sample.goal).collect();
    let tried: BTreeSet<Kind> = goals.iter().map(Goal::kind).collect();
    let in_turn = cluster::tests::in_turn();
    let in_turn: BTreeSet<Kind> = in_turn.iter().map(Goal::kind).collect();
    assert_eq!(&tried | &in_turn, Kind::ALL.iter().copied().collect());
}

#[tokio::test]
async fn a_check_changes_nothing() {
    for Sample { goal, host, .. } in samples() {
        let host = host();
        let files = host.state().files.clone();
        let finding = of(&goal).check(&host).await.unwrap();
        assert!(!finding.is_satisfied(), "{}: the sample holds already", goal.id());
        assert_eq!(host.history(), [""; 0], "{}", goal.id());
        assert!(host.state().files == files, "{}", goal.id());
    }
}

#[tokio::test]
async fn an_apply_makes_the_goal_hold_and_one_that_holds_is_left_alone() {
    for Sample { goal, host, waits } in samples() {
        let host = host();
        apply(&goal, &host).await.unwrap();
        assert_holds(&goal, &host).await;
        let changes = host.changes();
        assert_eq!(changes == 0, waits, "{}", goal.id());
        apply(&goal, &host).await.unwrap();
        assert_eq!(host.changes(), changes, "{}: {:?}", goal.id(), host.history());
    }
}

#[tokio::test]
async fn an_apply_that_dies_after_any_of_its_changes_goes_on() {
    for Sample { goal, host, .. } in samples() {
        let whole = host();
        apply(&goal, &whole).await.unwrap();
        for changes in 0..whole.changes() {
            let host = host();
            host.interrupt_after(changes);
            apply(&goal, &host).await.unwrap_err();
            assert!(host.revive(), "{}: {:?}", goal.id(), host.history());
            if of(&goal).check(&host).await.unwrap().is_satisfied() {
                assert_runs_by_its_files(&goal, &host);
            }
            apply(&goal, &host).await.unwrap();
            assert_holds(&goal, &host).await;
        }
    }
}

async fn assert_holds(goal: &Goal, host: &FakeHost) {
    let changes = host.changes();
    let finding = of(goal).check(host).await.unwrap();
    let history = host.history();
    assert_eq!(finding, Finding::Satisfied, "{} after {history:?}", goal.id());
    assert_eq!(history.len(), changes, "{}: the check changed something", goal.id());
    assert_runs_by_its_files(goal, host);
}

/// What a check cannot see for itself: that programs have read the files that it approves of.
fn assert_runs_by_its_files(goal: &Goal, host: &FakeHost) {
    let state = host.state();
    let configures = if goal.kind() == Kind::Containerd {
        "containerd"
    } else if goal.kind() == Kind::LoadBalancer {
        "haproxy"
    } else {
        assert!(goal.kind() != Kind::PackageSource || state.apt.knows("kubeadm"));
        return;
    };
    let service = &state.systemd.services[configures];
    let file = state.files.get(config_of(configures).unwrap());
    assert_eq!(service.read.as_ref(), file, "{} after {:?}", goal.id(), state.history());
}

/// Applies a goal as the worker does, for nobody to listen.
pub(super) async fn apply(goal: &Goal, host: &FakeHost) -> Result<(), HostError> {
    let (events, _) = mpsc::unbounded_channel();
    let progress = Progress::new(events);
    of(goal).apply(host, &Work { progress: &progress, material: None }).await
}

fn hosts() -> Goal {
    let entry = |name: &str, address: &str| (name.try_into().unwrap(), address.parse().unwrap());
    let entries = [entry("cp-1", "10.0.0.1"), entry("cp-2", "10.0.0.2")];
    Goal::Host(HostGoal::Hosts(Hosts { entries: entries.into_iter().collect() }))
}

fn kernel_modules() -> Goal {
    let modules = ["overlay", "br_netfilter"].map(str::to_owned);
    Goal::Host(HostGoal::KernelModules(KernelModules { modules: modules.into() }))
}

fn sysctls() -> Goal {
    let values = ["net.bridge.bridge-nf-call-iptables", "net.ipv4.ip_forward"];
    let values = values.map(|name| (name.to_owned(), "1".to_owned()));
    Goal::Host(HostGoal::Sysctls(Sysctls { values: values.into() }))
}

pub(super) fn package_source() -> Goal {
    Goal::Host(HostGoal::PackageSource(PackageSource {
        name: "kubernetes".to_owned(),
        url: "http://repository/".to_owned(),
        suite: "/".to_owned(),
        components: Vec::new(),
        key: "key".to_owned(),
    }))
}

fn packages() -> Goal {
    let pinned = |name: &str, version: &str| Package {
        name: name.to_owned(),
        version: Some(version.to_owned()),
    };
    let any = Package { name: "containerd".to_owned(), version: None };
    let packages = vec![pinned("kubeadm", "1.35.4-1.1"), any, pinned("kubelet", "1.35.4-1.1")];
    Goal::Host(HostGoal::Packages(Packages { packages }))
}

fn containerd() -> Goal {
    Goal::Runtime(RuntimeGoal::Containerd(Containerd {
        sandbox_image: "registry.k8s.io/pause:3.10.1".to_owned(),
        systemd_cgroup: true,
        restrict_oom_score_adj: false,
    }))
}

const ARCHIVE: &str = "registry.k8s.io/kube-proxy:v1.35.4\nregistry.k8s.io/pause:3.10.1\n\
                       registry.k8s.io/coredns/coredns:v1.13.1\n";
const FLANNEL: &str = "ghcr.io/flannel-io/flannel:v0.28.4\n";

/// What a worker needs.
pub(super) fn images(by_archive: bool) -> Goal {
    let archive = |name: &str, content: &str| Archive {
        url: format!("http://mirror/{name}"),
        sha256: Sha256::of(content.as_bytes()),
        names: content.lines().map(str::to_owned).collect(),
    };
    let archives = vec![archive("kubernetes.tar", ARCHIVE), archive("flannel.tar", FLANNEL)];
    Goal::Runtime(RuntimeGoal::Images(Images {
        release: Release {
            version: "v1.35.4".parse().unwrap(),
            image_repository: None,
            control_plane: false,
        },
        names: [FLANNEL.trim().to_owned()].into(),
        archives: if by_archive { archives } else { Vec::new() },
    }))
}

fn load_balancer() -> LoadBalancer {
    let backend = |number: u8| Backend {
        node: format!("cp-{number}").try_into().unwrap(),
        address: [10, 0, 0, number].into(),
        port: 6443,
    };
    let backends = (1..=3).map(backend).collect();
    LoadBalancer { port: 6443, health_check: HealthCheck::Readyz, backends }
}

fn zram() -> FakeHost {
    let host = FakeHost::bare();
    let config = "[zram0]\nzram-size = ram / 2\n";
    host.state().put("/usr/lib/systemd/zram-generator.conf", config);
    host
}

fn with_modules() -> FakeHost {
    let host = FakeHost::bare();
    host.state().put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
    host
}

fn stopped_containerd() -> FakeHost {
    let host = FakeHost::with_packages(&["containerd"]);
    host.state().systemd.services.get_mut("containerd").unwrap().active = false;
    host
}

fn disabled_kubelet() -> FakeHost {
    let host = FakeHost::with_packages(&["kubelet"]);
    host.state().systemd.services.get_mut("kubelet").unwrap().enabled = false;
    host
}

/// A node, and a mirror that serves the archives.
pub(super) fn archives() -> FakeHost {
    let host = FakeHost::with_packages(&["containerd", "kubeadm"]);
    for (name, content) in [("kubernetes.tar", ARCHIVE), ("flannel.tar", FLANNEL)] {
        host.state().images.served.insert(format!("http://mirror/{name}"), content.to_owned());
    }
    host
}

fn stopped_haproxy() -> FakeHost {
    let host = FakeHost::with_packages(&["haproxy"]);
    let mut state = host.state();
    let service = state.systemd.services.get_mut("haproxy").unwrap();
    (service.active, service.enabled) = (false, false);
    drop(state);
    host
}

/// HAProxy runs as it should, and its servers come up a minute later.
fn slow_backends() -> FakeHost {
    let host = FakeHost::with_packages(&["haproxy"]);
    let config = BALANCER.config(&load_balancer()).text;
    let mut state = host.state();
    state.systemd.services.get_mut("haproxy").unwrap().read = Some(config.into_bytes());
    state.haproxy.up_from_ms = 20_000;
    drop(state);
    host
}
