//! The kubeconfigs of a control plane's own clients: of this cluster, at the right server, valid.

use async_trait::async_trait;
use quorate_proto::goal::{Entry, KubeNode};
use quorate_proto::{Drift, Finding};

use super::guard;
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::kubeconfig::{Kubeconfig, User};
use crate::kubeadm::{
    ADMIN_CONF, CA, CONTROLLER_MANAGER_CONF, KUBELET_CONF, SUPER_ADMIN_CONF, phase, pki,
};

const SCHEDULER: &str = "/etc/kubernetes/scheduler.conf";

pub(super) struct Kubeconfigs<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for Kubeconfigs<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let flawed = self.flawed(host).await?;
        let drift = |(path, flaw): (&str, String)| Drift::new(path, flaw, "valid");
        Ok(Finding::from_drifts(flawed.into_iter().map(drift).collect()))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        guard::refuse_stranger(host, self.0, work.material).await?;
        // kubeadm keeps a file that exists, whatever server it names and however old it is.
        for (path, _) in self.flawed(host).await? {
            host.remove(path).await?;
        }
        if self.0.entry == Entry::Founder {
            return phase::init(host, work, self.0, "kubeconfig all").await;
        }
        // A join would write the same, and needs a token and an API server that answers.
        for client in ["admin", "controller-manager", "scheduler"] {
            phase::init(host, work, self.0, &format!("kubeconfig {client}")).await?;
        }
        Ok(())
    }
}

impl Kubeconfigs<'_> {
    async fn flawed(&self, host: &dyn Host) -> Result<Vec<(&'static str, String)>, HostError> {
        let KubeNode { address, cluster, entry, .. } = self.0;
        let endpoint = format!("https://{}", cluster.endpoint);
        let own = format!("https://{}", std::net::SocketAddr::new(*address, cluster.api_port));
        let mut wanted =
            vec![(ADMIN_CONF, &endpoint), (CONTROLLER_MANAGER_CONF, &own), (SCHEDULER, &own)];
        // The founder's kubelet begins with a kubeconfig of kubeadm's, and only until it has its own
        // certificate is super-admin.conf needed: people may well remove it afterwards.
        let mut missing = Vec::new();
        if *entry == Entry::Founder && !has_own_certificate(host).await? {
            wanted.push((SUPER_ADMIN_CONF, &endpoint));
            if host.read(KUBELET_CONF).await?.is_none() {
                missing.push((KUBELET_CONF, "missing".to_owned()));
            }
        }
        let ca = host.read(CA).await?.unwrap_or_default();
        let now_s = i64::try_from(host.machine().await?.clock_ms / 1000).unwrap_or(i64::MAX);
        for (path, server) in wanted {
            let flaw = match host.read(path).await? {
                None => Some("missing".to_owned()),
                Some(content) => flaw(&content, server, &ca, now_s),
            };
            missing.extend(flaw.map(|flaw| (path, flaw)));
        }
        Ok(missing)
    }
}

async fn has_own_certificate(host: &dyn Host) -> Result<bool, HostError> {
    let content = host.read(KUBELET_CONF).await?.unwrap_or_default();
    Ok(Kubeconfig::parse(&content).is_ok_and(|config| matches!(config.user, User::File(_))))
}

fn flaw(content: &[u8], server: &str, ca: &[u8], now_s: i64) -> Option<String> {
    let config = match Kubeconfig::parse(content) {
        Ok(config) => config,
        Err(error) => return Some(error.to_string()),
    };
    let believes = pki::authority(&config.ca_pem).map(|authority| authority.spki);
    if believes != pki::authority(&String::from_utf8_lossy(ca)).map(|authority| authority.spki) {
        return Some("believes another authority".to_owned());
    }
    if config.server != server {
        return Some(format!("its server is {}, not {server}", config.server));
    }
    let wanted = pki::Wanted { now_s, ..pki::Wanted::default() };
    match &config.user {
        User::Embedded { certificate_pem, .. } => {
            pki::flaw(certificate_pem.as_bytes(), ca, &wanted)
                .map(|flaw| format!("its user is {flaw}"))
        }
        User::File(_) | User::Other => Some("without a certificate in it".to_owned()),
    }
}
