//! Machines on which a goal cannot be made to hold: each is told apart by a message that says what to
//! do next, and nothing is left half done.

use quorate_proto::goal::{
    HostGoal, KernelModules, Package, Packages, RuntimeGoal, Service, Sysctls,
};
use quorate_proto::{Finding, Goal};

use super::conformance::{apply, archives, images, package_source};
use crate::goal::of;
use crate::host::HostError;
use crate::host::fake::FakeHost;

fn package(name: &str, version: &str) -> Goal {
    let package = Package { name: name.to_owned(), version: Some(version.to_owned()) };
    Goal::Host(HostGoal::Packages(Packages { packages: vec![package] }))
}

#[tokio::test]
async fn a_version_that_no_source_has_is_answered_with_those_that_exist() {
    let host = FakeHost::bare();
    let error = apply(&package("kubeadm", "1.35.9-1.1"), &host).await.unwrap_err();
    assert!(matches!(&error, HostError::Refused(text)
        if text.contains("kubeadm 1.35.9-1.1") && text.contains("1.35.4-1.1, 1.35.3-1.1")));
    assert_eq!(host.history(), ["apt-get update"]);
}

#[tokio::test]
async fn a_newer_package_is_not_downgraded() {
    let host = FakeHost::with_packages(&["kubeadm"]);
    let error = apply(&package("kubeadm", "1.35.3-1.1"), &host).await.unwrap_err();
    assert!(matches!(&error, HostError::Refused(text) if text.contains("does not downgrade")));
    assert_eq!(host.changes(), 0);
}

#[tokio::test]
async fn nothing_is_installed_that_would_have_another_package_removed() {
    let host = FakeHost::with_packages(&["containerd"]);
    host.state().apt.conflicts.insert("kubelet".to_owned(), "containerd".to_owned());
    let error = apply(&package("kubelet", "1.35.4-1.1"), &host).await.unwrap_err();
    assert!(matches!(&error, HostError::Refused(text)
        if text.contains("apt would have to remove containerd") && text.contains("by hand")));
    assert_eq!(host.history(), ["apt-get update"]);
    assert!(host.state().apt.installed("containerd").is_some());
}

#[tokio::test]
async fn what_is_held_goes_to_a_newer_version_and_is_held_there() {
    let host = FakeHost::with_packages(&["containerd"]);
    let newer = "1.7.24~ds1-1";
    host.state().apt.offered.get_mut("containerd").unwrap().push(newer.to_owned());
    apply(&package("containerd", newer), &host).await.unwrap();
    assert_eq!(host.state().apt.installed("containerd").unwrap(), format!("{newer}*"));
}

#[tokio::test]
async fn a_locked_package_database_is_worth_another_try() {
    let host = FakeHost::bare();
    host.state().apt.locked = true;
    let error = apply(&package("kubeadm", "1.35.4-1.1"), &host).await.unwrap_err();
    assert!(matches!(error, HostError::NotYet(_)), "{error:?}");
    host.state().apt.locked = false;
    apply(&package("kubeadm", "1.35.4-1.1"), &host).await.unwrap();
    assert_eq!(host.state().apt.installed("kubeadm").unwrap(), "1.35.4-1.1*");
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_not_put_in_place() {
    let host = FakeHost::bare();
    host.state().apt.repositories.clear();
    let error = apply(&package_source(), &host).await.unwrap_err();
    assert!(matches!(error, HostError::Failed { status: 100, .. }), "{error:?}");
    assert_eq!(host.changes(), 0);
}

#[tokio::test]
async fn a_damaged_archive_is_not_imported_and_not_kept() {
    let host = archives();
    let url = "http://mirror/kubernetes.tar";
    host.state().images.served.insert(url.to_owned(), "damaged".to_owned());
    let error = apply(&images(true), &host).await.unwrap_err();
    let found = quorate_proto::Sha256::of(b"damaged");
    assert!(matches!(&error, HostError::Refused(text)
        if text.contains(url) && text.contains(found.as_str())));
    assert!(host.state().images.held.is_empty());
    let left: Vec<String> = host.state().files.keys().cloned().collect();
    assert!(!left.iter().any(|path| path.contains("archives")), "{left:?}");
}

#[tokio::test]
async fn an_archive_that_lacks_what_it_was_said_to_hold_is_told() {
    let host = archives();
    let Goal::Runtime(RuntimeGoal::Images(mut goal)) = images(true) else { panic!("another goal") };
    goal.archives.pop();
    let error = apply(&Goal::Runtime(RuntimeGoal::Images(goal)), &host).await.unwrap_err();
    assert!(matches!(&error, HostError::Refused(text) if text.contains("flannel:v0.28.4")));
}

#[tokio::test]
async fn images_are_unknown_while_containerd_is_silent_and_missing_before_it_is_installed() {
    let host = archives();
    host.state().systemd.services.get_mut("containerd").unwrap().active = false;
    let finding = of(&images(true)).check(&host).await.unwrap();
    assert!(matches!(finding, Finding::Unknown { .. }), "{finding:?}");
    let finding = of(&images(true)).check(&FakeHost::bare()).await.unwrap();
    assert!(matches!(finding, Finding::Drifted(_)), "{finding:?}");
}

#[tokio::test]
async fn what_the_kernel_or_systemd_does_not_know_is_refused() {
    let host = FakeHost::bare();
    let values = [("net.bridge.bridge-nf-call-iptables".to_owned(), "1".to_owned())].into();
    let error = apply(&Goal::Host(HostGoal::Sysctls(Sysctls { values })), &host).await.unwrap_err();
    assert!(matches!(&error, HostError::Refused(text) if text.contains("br_netfilter")));
    let unit = "kubelet".to_owned();
    let error =
        apply(&Goal::Host(HostGoal::ServiceRunning(Service { unit })), &host).await.unwrap_err();
    assert!(matches!(error, HostError::Refused(_)), "{error:?}");
    let modules = ["no_such_module".to_owned()].into();
    let error = apply(&Goal::Host(HostGoal::KernelModules(KernelModules { modules })), &host)
        .await
        .unwrap_err();
    assert!(matches!(&error, HostError::Failed { output, .. } if output[0].contains("FATAL")));
}

#[tokio::test]
async fn a_swap_unit_of_an_administrator_is_theirs_to_remove() {
    let host = FakeHost::bare();
    host.state().put("/etc/systemd/system/swapfile.swap", "[Swap]\nWhat=/swapfile\n");
    let error = apply(&Goal::Host(HostGoal::SwapOff), &host).await.unwrap_err();
    assert!(matches!(&error, HostError::Refused(text) if text.contains("swapfile.swap")));
    assert_eq!(host.changes(), 0);
}

#[tokio::test]
async fn a_kernel_without_modules_satisfies_by_what_it_can_do() {
    let host = FakeHost::bare();
    host.state().put("/proc/filesystems", "nodev\toverlay\n");
    host.state().put("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
    host.state().put("/lib/modules/6.1.0-fake/modules.dep", "");
    host.state().put("/lib/modules/6.1.0-fake/modules.builtin", "kernel/net/x/nf-nat.ko\n");
    let modules = ["overlay", "br_netfilter", "nf_nat"].map(str::to_owned).into();
    let goal = Goal::Host(HostGoal::KernelModules(KernelModules { modules }));
    apply(&goal, &host).await.unwrap();
    assert_eq!(host.history(), ["writing /etc/modules-load.d/k8s.conf"]);
    assert_eq!(of(&goal).check(&host).await.unwrap(), Finding::Satisfied);
}
