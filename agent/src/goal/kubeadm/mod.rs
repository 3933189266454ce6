//! Goals of kubeadm's phases on one node, in the order in which a control plane comes up. What the
//! cluster holds once is in `cluster`.

mod admin_kubeconfig;
pub(in crate::goal) mod api_server;
mod certificates;
mod guard;
mod kubeconfigs;
mod kubelet_certificate;
mod kubelet_started;
mod marked;
pub(in crate::goal) mod pods;
mod static_pods;

use quorate_proto::goal::{KubeNode, KubeadmGoal};

use self::admin_kubeconfig::AdminKubeconfig;
use self::api_server::ApiServerReady;
use self::certificates::Certificates;
use self::kubeconfigs::Kubeconfigs;
use self::kubelet_certificate::KubeletCertificate;
use self::kubelet_started::KubeletStarted;
use self::marked::ControlPlaneMarked;
use self::static_pods::StaticPods;
use super::ensure_each;

/// A goal of kubeadm's, and the node that it is about.
pub(super) struct OnNode<'a>(pub KubeadmGoal, pub &'a KubeNode);

ensure_each!(OnNode<'_> {
    Self(KubeadmGoal::Certificates, node) => Certificates(node),
    Self(KubeadmGoal::Kubeconfigs, node) => Kubeconfigs(node),
    Self(KubeadmGoal::KubeletStarted, node) => KubeletStarted(node),
    Self(KubeadmGoal::StaticPods, node) => StaticPods(node),
    Self(KubeadmGoal::ApiServerReady, node) => ApiServerReady(node),
    Self(KubeadmGoal::KubeletCertificate, node) => KubeletCertificate(node),
    Self(KubeadmGoal::ControlPlaneMarked, node) => ControlPlaneMarked(node),
    Self(KubeadmGoal::AdminKubeconfig, _) => AdminKubeconfig,
});
