//! The kubelet has a certificate of its own that it renews itself, and no bootstrap token is left.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{ActivityKind, Drift, Finding};

use super::guard;
use crate::goal::{Ensure, Work, wait};
use crate::host::{Command, Host, HostError};
use crate::kubeadm::kubeconfig::{Kubeconfig, User};
use crate::kubeadm::{BOOTSTRAP_CONF, CA, KUBELET_CONF, KUBELET_PEM, config, phase, pki};

/// A certificate is signed within a second; the kubelet asks again after at most some fifteen.
const SIGNING: Duration = Duration::from_secs(25);
/// After a restart the kubelet asks at once, as soon as the API answers.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct KubeletCertificate<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for KubeletCertificate<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        let conf = host.read(KUBELET_CONF).await?;
        let user = conf.map(|conf| Kubeconfig::parse(&conf).map(|conf| conf.user));
        let found = match user {
            Some(Ok(User::File(path))) if path == KUBELET_PEM => None,
            Some(Ok(User::File(path))) => Some(path),
            Some(Ok(User::Embedded { .. } | User::Other)) => Some("a fixed certificate".to_owned()),
            Some(Err(error)) => Some(error.to_string()),
            None => Some("missing".to_owned()),
        };
        if let Some(found) = found {
            drifts.push(Drift::new(KUBELET_CONF, found, KUBELET_PEM));
        }
        drifts.extend(Certificate(self.0).drift(host).await?);
        if host.read(BOOTSTRAP_CONF).await?.is_some() {
            drifts.push(Drift::new(BOOTSTRAP_CONF, "left", "removed"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let node = self.0;
        guard::refuse_stranger(host, node, work.material).await?;
        if Certificate(node).drift(host).await?.is_some() {
            if !node.is_control_plane() || bootstraps(host).await? {
                self.prompt(host, work).await?;
            } else if names_its_certificate(host).await? {
                self.sign(host, work).await?;
            }
            self.wait(host, work).await?;
        }
        if bootstraps(host).await? {
            phase::join(host, work, node, "kubelet-wait-bootstrap").await
        } else {
            phase::init(host, work, node, "kubelet-finalize all").await
        }
    }
}

impl KubeletCertificate<'_> {
    /// Has the kubelet ask for its certificate now, by a token that is good now.
    async fn prompt(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let bootstrap = host.read(BOOTSTRAP_CONF).await?.unwrap_or_default();
        let token = phase::material(work)?.token.expose();
        // kubeadm removes the file whenever it stops waiting, and an earlier run's token is void.
        if !String::from_utf8_lossy(&bootstrap).contains(token) {
            // As kubeadm's join writes it, which refuses a node that is Ready: so is one whose kubelet
            // still runs by a certificate that is lost.
            let ca = host.text(CA).await?.unwrap_or_default();
            let bootstrap = config::bootstrap_kubeconfig(&self.0.cluster, &ca, token);
            host.write(BOOTSTRAP_CONF, bootstrap.expose().as_bytes(), 0o600).await?;
            host.remove(KUBELET_CONF).await?;
            return restart_kubelet(host, work).await;
        }
        if self.0.is_control_plane() {
            // A control plane's kubelet asks the API server beside it, and first asked before that
            // was up: it sits in a back-off of up to 15 s, which a restart ends.
            restart_kubelet(host, work).await?;
        }
        Ok(())
    }

    /// Gives the kubelet of a control plane, which has the authority's key, an identity by which it gets its
    /// own certificate.
    async fn sign(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let kubeconfig = phase::node_kubeconfig(host, work, self.0).await?;
        host.write(KUBELET_CONF, kubeconfig.expose().as_bytes(), 0o600).await?;
        restart_kubelet(host, work).await
    }

    /// Waits until the kubelet has written its certificate, and restarts one that does not ask for it: it
    /// was started before it could.
    async fn wait(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let what = format!("the kubelet of {} has a certificate of its own", self.0.node);
        match wait::until(&Certificate(self.0), host, work, &what, SIGNING).await {
            Err(HostError::InVain(_)) => restart_kubelet(host, work).await?,
            ended => return ended,
        }
        wait::until(&Certificate(self.0), host, work, &what, PATIENCE).await
    }
}

/// Whether the kubelet asks for its identity by a token.
async fn bootstraps(host: &dyn Host) -> Result<bool, HostError> {
    Ok(host.read(BOOTSTRAP_CONF).await?.is_some())
}

/// Whether kubelet.conf names the certificate that the kubelet renews, and not one of kubeadm's.
async fn names_its_certificate(host: &dyn Host) -> Result<bool, HostError> {
    let conf = host.read(KUBELET_CONF).await?.unwrap_or_default();
    Ok(Kubeconfig::parse(&conf).is_ok_and(|conf| matches!(conf.user, User::File(_))))
}

async fn restart_kubelet(host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
    work.progress.doing(ActivityKind::Own, "restarting the kubelet");
    host.output_of(&Command::new("systemctl", &["restart", "kubelet"])).await.map(drop)
}

/// The certificate alone, before kubelet.conf names it.
struct Certificate<'a>(&'a KubeNode);

impl Certificate<'_> {
    async fn drift(&self, host: &dyn Host) -> Result<Option<Drift>, HostError> {
        let wanted = pki::Wanted {
            common_name: Some(format!("system:node:{}", self.0.node)),
            now_s: i64::try_from(host.machine().await?.clock_ms / 1000).unwrap_or(i64::MAX),
            ..pki::Wanted::default()
        };
        let ca = host.read(CA).await?.unwrap_or_default();
        let flaw = match host.read(KUBELET_PEM).await? {
            Some(pem) => pki::flaw(&pem, &ca, &wanted),
            None => Some("missing".to_owned()),
        };
        Ok(flaw.map(|flaw| Drift::new(KUBELET_PEM, flaw, "valid")))
    }
}

#[async_trait]
impl Ensure for Certificate<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        Ok(Finding::from_drifts(self.drift(host).await?.into_iter().collect()))
    }

    async fn apply(&self, _: &dyn Host, _: &Work<'_>) -> Result<(), HostError> {
        Ok(())
    }
}
