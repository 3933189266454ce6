//! Goals of kubeadm's phases on one node, in the order in which a control plane comes up. What the
//! cluster holds once is in `cluster`.

mod admin_kubeconfig;
mod api_server;
mod certificates;
mod etcd_member;
mod guard;
mod kubeconfigs;
mod kubelet_certificate;
mod kubelet_started;
mod marked;
mod pods;
mod static_pods;

pub(super) use admin_kubeconfig::AdminKubeconfig;
pub(super) use api_server::{ApiServerReady, readiness};
pub(super) use certificates::Certificates;
pub(super) use etcd_member::EtcdMember;
pub(super) use kubeconfigs::Kubeconfigs;
pub(super) use kubelet_certificate::KubeletCertificate;
pub(super) use kubelet_started::KubeletStarted;
pub(super) use marked::ControlPlaneMarked;
pub(super) use static_pods::StaticPods;
