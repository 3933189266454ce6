//! What kubeadm of one minor reads and can do, and of another cannot. Which minors quorate drives is in
//! `quorate_proto::KubernetesVersion::MINORS`, and the images of each in the coordinator's `spec`.

use quorate_proto::KubernetesVersion;
use quorate_proto::goal::Entry;

/// How kubeadm of a range of minors is spoken to.
#[derive(Debug)]
pub struct Dialect {
    /// The version of its configuration documents.
    pub api_version: &'static str,
    /// All phases of `kubeadm join`, in their order.
    join_phases: &'static [&'static str],
    /// Those of them that have no command of their own.
    hidden: &'static [&'static str],
}

const JOIN_PHASES: [&str; 8] = [
    "preflight",
    "control-plane-prepare",
    "check-etcd",
    "kubelet-start",
    "etcd-join",
    "kubelet-wait-bootstrap",
    "control-plane-join",
    "wait-control-plane",
];

const V1_33: Dialect = Dialect {
    api_version: "kubeadm.k8s.io/v1beta4",
    join_phases: &JOIN_PHASES,
    hidden: &["etcd-join", "kubelet-wait-bootstrap"],
};

const V1_35: Dialect = Dialect { hidden: &[], ..V1_33 };

impl Dialect {
    /// That of this version's kubeadm.
    pub fn of(version: KubernetesVersion) -> &'static Self {
        if version.minor < 35 { &V1_33 } else { &V1_35 }
    }

    /// The arguments that run one phase of `kubeadm join`.
    ///
    /// Some phases run only in a join of which every other phase is skipped: those that are hidden, and
    /// on a worker that which waits for the kubelet, where its command insists on an admin.conf.
    pub fn join(&self, entry: Entry, phase: &str) -> String {
        let insists = phase == "kubelet-wait-bootstrap" && entry == Entry::Worker;
        if !insists && !self.hidden.contains(&phase) {
            return format!("join phase {phase}");
        }
        let others = self.join_phases.iter().filter(|other| **other != phase).copied();
        format!("join --skip-phases {}", others.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_cannot_run_alone_is_run_by_skipping_all_others() {
        let command = |version: &str, phase| {
            Dialect::of(version.parse().unwrap()).join(Entry::ControlPlane, phase)
        };
        assert_eq!(command("v1.35.4", "etcd-join"), "join phase etcd-join");
        assert_eq!(command("v1.34.2", "kubelet-start"), "join phase kubelet-start");
        assert_eq!(
            command("v1.34.2", "etcd-join"),
            "join --skip-phases preflight,control-plane-prepare,check-etcd,kubelet-start,\
             kubelet-wait-bootstrap,control-plane-join,wait-control-plane"
        );
        assert!(!command("v1.33.13", "kubelet-wait-bootstrap").contains("bootstrap"));
        let dialect = Dialect::of("v1.35.4".parse().unwrap());
        let waits = |entry| dialect.join(entry, "kubelet-wait-bootstrap");
        assert_eq!(waits(Entry::ControlPlane), "join phase kubelet-wait-bootstrap");
        assert!(waits(Entry::Worker).starts_with("join --skip-phases preflight,"));
    }
}
