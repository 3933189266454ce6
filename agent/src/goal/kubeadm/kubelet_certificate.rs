//! The kubelet has a certificate of its own that it renews itself, and no bootstrap token is left.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{Entry, KubeNode};
use quorate_proto::{ActivityKind, Drift, Finding};

use super::{guard, kubelet_started};
use crate::goal::{Ensure, Work, wait};
use crate::host::{Command, Host, HostError};
use crate::kubeadm::kubeconfig::{Kubeconfig, User};
use crate::kubeadm::{BOOTSTRAP_CONF, CA, KUBELET_CONF, KUBELET_PEM, phase, pki};

/// A certificate is signed within a second; the kubelet asks again after at most some twenty.
const PATIENCE: Duration = Duration::from_secs(120);

pub(in crate::goal) struct KubeletCertificate<'a>(pub &'a KubeNode);

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
        if node.entry == Entry::Founder {
            // kubeadm changes nothing, and says nothing, while the kubelet has not written its own.
            let what = format!("the kubelet of {} has a certificate of its own", node.node);
            wait::until(&Certificate(node), host, work, &what, PATIENCE).await?;
            return phase::init(host, work, node, "kubelet-finalize all").await;
        }
        // Not kubelet.conf: the kubelet writes that before it has what the file names.
        if Certificate(node).drift(host).await?.is_some() {
            self.prompt(host, work).await?;
        }
        phase::join(host, work, node, "kubelet-wait-bootstrap").await
    }
}

impl KubeletCertificate<'_> {
    /// Has the kubelet ask for its certificate now, by a token that is good now.
    async fn prompt(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let bootstrap = host.read(BOOTSTRAP_CONF).await?.unwrap_or_default();
        let token = phase::material(work)?.token.expose();
        // kubeadm removes the file whenever it stops waiting, and an earlier run's token is void.
        if !String::from_utf8_lossy(&bootstrap).contains(token) {
            return kubelet_started::start(host, work, self.0).await;
        }
        if self.0.is_control_plane() {
            // A control plane's kubelet asks the API server beside it, and first asked before that
            // was up: it sits in a back-off of up to 15 s, which a restart ends.
            work.progress.doing(ActivityKind::Own, "restarting the kubelet");
            let restart = Command::new("systemctl", &["restart", "kubelet"]);
            let output = host.run(&restart).await?;
            if output.status != 0 {
                return Err(HostError::Failed {
                    command: restart.line(),
                    status: output.status,
                    output: output.stderr.lines().map(str::to_owned).collect(),
                });
            }
        }
        Ok(())
    }
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
