//! What must never be, looked for after every event.

use quorate::procedure::Procedure;
use quorate_proto::Goal;
use quorate_proto::goal::{Entry, EtcdGoal, KubeadmGoal};

use super::world::SimCluster;

/// What was there once, and must not be gone.
#[derive(Debug, Clone, Default)]
pub(super) struct Witnessed {
    members: Vec<u64>,
    data: usize,
    authorities: usize,
}

impl SimCluster {
    /// Looks at the whole. Violations that are seen at the moment of a change, such as a second
    /// founding or a projection that loses the quorum, are noted where the change is made.
    pub(super) fn inspect(&mut self) {
        self.inspect_lanes();
        self.inspect_losses();
    }

    fn inspect_lanes(&mut self) {
        let (mut members, mut workers, mut twice) = (0, 0, None);
        for (name, node) in &self.nodes {
            if node.operation.is_some() && node.stray.is_some() {
                twice = Some(format!("{name} is at two operations at once"));
            }
            for operation in [&node.operation, &node.stray].into_iter().flatten() {
                let goal = &*operation.goal;
                let joins = matches!(goal, Goal::Etcd(EtcdGoal::EtcdMember(_)))
                    && !self.etcd.is_voter(name);
                members += usize::from(joins);
                if let Goal::Kubeadm(
                    KubeadmGoal::KubeletStarted | KubeadmGoal::KubeletCertificate,
                    kube,
                ) = goal
                {
                    workers += usize::from(kube.entry == Entry::Worker);
                }
            }
        }
        if members > 1 {
            self.violations.push(format!("{members} changes of etcd's membership at once"));
        }
        if workers > self.spec.worker_joins {
            self.violations.push(format!("{workers} workers join at once"));
        }
        self.violations.extend(twice);
    }

    /// Nothing that a bring-up does may take a member away, or data, or an authority.
    fn inspect_losses(&mut self) {
        let ids = || self.etcd.members.iter().map(|member| member.id);
        if self.procedure != Procedure::BringUp {
            self.witnessed.members = ids().collect();
            return;
        }
        if let Some(id) = self.witnessed.members.iter().find(|id| !ids().any(|at| at == **id)) {
            let gone = format!("etcd's member {id:x} is gone");
            self.violations.push(gone);
        }
        if self.witnessed.members.len() != self.etcd.members.len() {
            self.witnessed.members = ids().collect();
        }
        let data = self.nodes.values().filter(|node| node.etcd_data).count();
        let authorities = self.nodes.values().filter(|node| node.authority.is_some()).count();
        if data < self.witnessed.data || authorities < self.witnessed.authorities {
            self.violations.push("a node's data was wiped".to_owned());
        }
        (self.witnessed.data, self.witnessed.authorities) = (data, authorities);
    }
}
