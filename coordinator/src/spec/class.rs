//! What an edit of each field of cluster.yaml means for a cluster that runs.

/// What `plan` and `apply` make of a changed field once the cluster is initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Interrupts nothing that serves: done right away.
    Free,
    /// Restarts or replaces something that serves.
    Rolling,
    /// Belongs to a procedure of its own.
    Procedure,
    /// Cannot change.
    Fixed,
}

impl Class {
    /// As docs/SPEC.md names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Rolling => "rolling",
            Self::Procedure => "procedure",
            Self::Fixed => "fixed",
        }
    }
}

/// A field, or all fields below it that have no row of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub path: &'static str,
    pub class: Class,
    /// What depends on it, or what is done.
    pub why: &'static str,
}

const fn field(path: &'static str, class: Class, why: &'static str) -> Field {
    Field { path, class, why }
}

/// Every field of cluster.yaml. docs/SPEC.md has the same rows.
pub const FIELDS: [Field; 27] = [
    field("apiVersion", Class::Fixed, "names this form of the file"),
    field("kind", Class::Fixed, "names this form of the file"),
    field("metadata.name", Class::Fixed, "kubeconfigs and controllers name the cluster by it"),
    field(
        "spec.kubernetes.version",
        Class::Procedure,
        "an upgrade goes node by node, API servers before kubelets",
    ),
    field("spec.endpoint", Class::Procedure, "every kubeconfig and certificate names it"),
    field(
        "spec.apiPort",
        Class::Fixed,
        "kubeconfigs and load balancers name every API server by it",
    ),
    field("spec.network.podSubnet", Class::Fixed, "every node and pod has addresses of it"),
    field("spec.network.serviceSubnet", Class::Fixed, "every Service has an address of it"),
    field("spec.network.dnsDomain", Class::Fixed, "every pod resolves names by it"),
    field("spec.network.plugin", Class::Rolling, "the plugin's pods restart node by node"),
    field("spec.etcd", Class::Procedure, "the data moves to other members"),
    field("spec.loadBalancer", Class::Free, "a reload of HAProxy drops no connection"),
    field(
        "spec.nodes",
        Class::Free,
        "new nodes join; one that is gone is named, and removed by `quorate node remove`",
    ),
    field(
        "spec.nodes[].address",
        Class::Procedure,
        "certificates, etcd and kubelets name the node by it: remove the node and let it join again",
    ),
    field(
        "spec.nodes[].roles",
        Class::Procedure,
        "remove the node and let it join again with its new role",
    ),
    field("spec.nodes[].agentPort", Class::Free, "only quorate uses it"),
    field("spec.kubeadm.kubeletConfiguration", Class::Rolling, "every kubelet restarts"),
    field(
        "spec.kubeadm.kubeProxyConfiguration",
        Class::Rolling,
        "kube-proxy restarts on every node",
    ),
    field("spec.kubeadm.extraArgs", Class::Rolling, "the components restart node by node"),
    field("spec.kubeadm.ignorePreflightErrors", Class::Free, "counts for later joins"),
    field("spec.kubeadm.imageRepository", Class::Rolling, "the control plane's pods are replaced"),
    field("spec.kubeadm.certSANs", Class::Free, "API servers load a new certificate by themselves"),
    field("spec.containerd", Class::Rolling, "containerd restarts; containers go on"),
    field("spec.packages.repository", Class::Free, "installs nothing by itself"),
    field(
        "spec.packages.kubernetes",
        Class::Procedure,
        "part of an upgrade: kubelets restart after API servers",
    ),
    field("spec.images", Class::Free, "fetches images"),
    field("spec.joins", Class::Free, "counts for later joins"),
];

/// The row of a field: its own, or that of the nearest field above it.
pub fn class_of(path: &str) -> Option<&'static Field> {
    let mut at = path;
    loop {
        if let Some(field) = FIELDS.iter().find(|field| field.path == at) {
            return Some(field);
        }
        at = at.rsplit_once('.')?.0.trim_end_matches("[]");
    }
}
