//! What kubeadm would write on this node for the specification: asked of kubeadm itself by a dry run,
//! so that nothing of its defaults is repeated here.

use std::collections::BTreeMap;

use quorate_proto::goal::KubeNode;
use quorate_proto::{Secret, Sha256};
use tokio::sync::Mutex;

use super::manifest::StaticPod;
use super::{PKI, config};
use crate::host::{Command, Host, HostError};

/// Where dry runs leave their files, each in a folder named by its configuration. No secret is in them.
const FOLDER: &str = "/run/quorate/dry-run";

/// All phases of `kubeadm init` but those that write manifests and the kubelet's files.
const SKIPPED: &str = "preflight,certs,kubeconfig,wait-control-plane,upload-config,upload-certs,\
                       mark-control-plane,bootstrap-token,kubelet-finalize,addon,show-join-command";

/// Two checks that ask for the same files would read what the other is still writing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A folder that does not exist. A worker has the authority's certificate without its key, which kubeadm
/// would take for an authority that is kept elsewhere; what it finds must not depend on the node.
const NO_CERTIFICATES: &str = "/run/quorate/dry-run/pki";

/// The files that kubeadm would write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendered {
    pods: BTreeMap<String, StaticPod>,
    /// /var/lib/kubelet/config.yaml
    pub kubelet_config: String,
    /// /var/lib/kubelet/kubeadm-flags.env
    pub kubelet_flags: String,
}

impl Rendered {
    /// A component's static pod, such as that of `kube-apiserver`.
    pub fn pod(&self, component: &str) -> Option<&StaticPod> {
        self.pods.get(component)
    }
}

/// Returns what kubeadm would write on the node. The machine remembers the answer as long as kubeadm and
/// the configuration stay the same.
///
/// # Errors
/// If kubeadm is not installed, or rejects the configuration.
pub async fn rendered(host: &dyn Host, node: &KubeNode) -> Result<Rendered, HostError> {
    let config = config::dry_run(node, NO_CERTIFICATES);
    let folder = format!("{FOLDER}/{}", Sha256::of(config.as_bytes()));
    let args = ["init", "--dry-run", "--config", "/dev/stdin", "--skip-phases", SKIPPED];
    let command = Command {
        stdin: Some(Secret::new(config)),
        env: vec![("KUBEADM_INIT_DRYRUN_DIR".to_owned(), folder.clone())],
        ..Command::new("kubeadm", &args)
    };
    let _one = ONE_AT_A_TIME.lock().await;
    host.run_remembered(&command).await?.success(&command)?;
    let read = async |name: &str| {
        let text = host.text(&format!("{folder}/{name}")).await?.unwrap_or_default();
        Ok(text.replace(NO_CERTIFICATES, PKI))
    };
    let mut pods = BTreeMap::new();
    for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        let pod = StaticPod::parse(read(&format!("{component}.yaml")).await?.as_bytes());
        pods.extend(pod.map(|pod| (component.to_owned(), pod)));
    }
    Ok(Rendered {
        pods,
        kubelet_config: read("config.yaml").await?,
        kubelet_flags: read("kubeadm-flags.env").await?,
    })
}
