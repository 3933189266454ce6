//! Where kubeadm and what it starts keep their files.

/// Certificates and keys, those of etcd in a folder below.
pub const PKI: &str = "/etc/kubernetes/pki";
/// The cluster's certificate authority.
pub const CA: &str = "/etc/kubernetes/pki/ca.crt";
/// The cluster's administrator, by the cluster's endpoint.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
/// The administrator before rights are granted; kubeadm writes it on the founding node alone.
pub const SUPER_ADMIN_CONF: &str = "/etc/kubernetes/super-admin.conf";
/// The controller manager, by the API server beside it.
pub const CONTROLLER_MANAGER_CONF: &str = "/etc/kubernetes/controller-manager.conf";
/// The kubelet's own identity.
pub const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// What the kubelet asks for its identity with; holds the bootstrap token.
pub const BOOTSTRAP_CONF: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
/// Where the kubelet looks for static pods.
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// The kubelet's configuration, as kubeadm writes it.
pub const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// The kubelet's arguments, as kubeadm writes them.
pub const KUBELET_FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
/// etcd's data, once the member has started.
pub const ETCD_DATA: &str = "/var/lib/etcd/member";
/// The kubelet's client certificate and key, which it renews itself.
pub const KUBELET_PEM: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
