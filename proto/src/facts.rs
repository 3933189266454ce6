//! What a node is and holds, as its agent reports it. An outline needs no more than this.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::audit::AuditHead;
use crate::digest::Sha256;
use crate::goal_id::GoalId;
use crate::id::{NodeName, OperationId, Term};
use crate::version::KubernetesVersion;

/// The answer to Describe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The name in the node's own certificate.
    pub node: NodeName,
    pub agent_version: String,
    pub machine: Machine,
    /// Newest term that was obeyed.
    pub term: Term,
    pub under_way: Option<UnderWay>,
    pub kubernetes: KubernetesFacts,
    /// What this node's own etcd member answers; `None` where there is none or it is silent.
    pub etcd: Option<EtcdFacts>,
    /// The cluster's nodes, as the API server on this node lists them; `None` where there is none or it is
    /// silent.
    #[serde(default)]
    pub nodes: Option<Vec<NodeFacts>>,
    /// Where the audit log stands; `None` where it is damaged, or the agent keeps none.
    #[serde(default)]
    pub audit: Option<AuditHead>,
}

/// The machine itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// /etc/machine-id
    pub machine_id: String,
    /// /proc/sys/kernel/random/boot_id
    pub boot_id: String,
    /// The node's clock, milliseconds since 1970.
    pub clock_ms: u64,
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    pub kernel: String,
    /// As uname has it: `x86_64`.
    pub architecture: String,
    pub cpus: u32,
    pub memory_mib: u64,
    /// Free space where /var/lib lives.
    pub disk_free_mib: u64,
    pub addresses: Vec<IpAddr>,
}

/// An operation that an agent has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    pub operation: OperationId,
    pub term: Term,
    pub goal: GoalId,
    /// Milliseconds since 1970, by the node's clock.
    pub since_ms: u64,
}

/// Which parts of a cluster the node's disk holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesFacts {
    /// /etc/kubernetes/pki/ca.crt
    pub ca: Option<CaFacts>,
    /// /etc/kubernetes/pki/ca.key exists: this node can found or serve a control plane.
    pub ca_key: bool,
    /// /etc/kubernetes/super-admin.conf exists: kubeadm writes it on the founding node alone.
    pub super_admin: bool,
    /// /etc/kubernetes/kubelet.conf exists: the node has joined, or is about to.
    pub kubelet_conf: bool,
    /// The static pods in /etc/kubernetes/manifests, such as `etcd`, `kube-apiserver`.
    pub static_pods: Vec<String>,
    /// /var/lib/etcd/member exists.
    pub etcd_data: bool,
    /// Of the installed kubelet.
    pub kubelet_version: Option<KubernetesVersion>,
    /// What the node runs by, whatever a specification asks for.
    #[serde(default)]
    pub in_force: InForce,
}

/// Settings of a cluster as the files of one of its nodes have them. Each is `None` where the node has
/// no such file, or a file that does not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InForce {
    /// `--cluster-name` of kube-controller-manager.
    pub name: Option<String>,
    /// The tag of kube-apiserver's image.
    pub version: Option<KubernetesVersion>,
    /// `HOST:PORT` of the server in admin.conf, on a worker in kubelet.conf.
    pub endpoint: Option<String>,
    /// `--secure-port` of kube-apiserver.
    pub api_port: Option<String>,
    /// `--cluster-cidr` of kube-controller-manager.
    pub pod_subnet: Option<String>,
    /// `--service-cluster-ip-range` of kube-apiserver.
    pub service_subnet: Option<String>,
    /// `clusterDomain` of the kubelet's configuration.
    pub dns_domain: Option<String>,
    /// `--node-ip` in /var/lib/kubelet/kubeadm-flags.env.
    pub node_ip: Option<String>,
    /// The node that the kubelet's client certificate names.
    pub kubelet_node: Option<String>,
}

/// A node as the Kubernetes API has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    pub name: String,
    pub ready: bool,
    /// Of the kubelet that runs.
    pub kubelet_version: Option<KubernetesVersion>,
    /// Its InternalIP.
    pub address: Option<IpAddr>,
}

/// A certificate authority as another node can compare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaFacts {
    pub pem: String,
    /// Of the DER of the subject's public key, as kubeadm's `caCertHashes` has it.
    pub spki: Sha256,
}

/// etcd's membership, seen from one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdFacts {
    pub cluster_id: u64,
    /// `None`: an election is on, or there is no quorum.
    pub leader: Option<u64>,
    pub members: Vec<EtcdMember>,
}

/// One member of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdMember {
    pub id: u64,
    /// Empty until the member has started for the first time.
    pub name: String,
    pub peer_urls: Vec<String>,
    pub learner: bool,
    /// Whether its client address answered with the same cluster and leader.
    pub healthy: bool,
}

impl EtcdMember {
    /// Where a member of kubeadm's at this address serves clients.
    pub fn client_url(address: IpAddr) -> String {
        format!("https://{}", SocketAddr::new(address, 2379))
    }

    /// Where a member of kubeadm's at this address speaks to the others; they know it by this before
    /// it has told its name.
    pub fn peer_url(address: IpAddr) -> String {
        format!("https://{}", SocketAddr::new(address, 2380))
    }
}

impl EtcdFacts {
    /// Members that vote.
    pub fn voters(&self) -> impl Iterator<Item = &EtcdMember> {
        self.members.iter().filter(|member| !member.learner)
    }
}
