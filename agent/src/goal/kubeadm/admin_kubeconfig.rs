//! root's kubectl on a control plane speaks to this cluster.

use async_trait::async_trait;
use quorate_proto::{Drift, Finding, Sha256};

use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::ADMIN_CONF;

const ROOTS: &str = "/root/.kube/config";

/// Another kubeconfig that was there is kept beside the new one, under a name made of its content:
/// nothing of a person's is lost, and doing it twice makes no second copy.
pub(super) struct AdminKubeconfig;

#[async_trait]
impl Ensure for AdminKubeconfig {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let Some(admin) = host.read(ADMIN_CONF).await? else {
            return Ok(Finding::Drifted(vec![Drift::new(ADMIN_CONF, "missing", "there")]));
        };
        let found = match host.read(ROOTS).await? {
            Some(content) if content == admin => return Ok(Finding::Satisfied),
            Some(content) => format!("another one (will be kept as {})", kept(&content)),
            None => "missing".to_owned(),
        };
        Ok(Finding::Drifted(vec![Drift::new(ROOTS, found, format!("a copy of {ADMIN_CONF}"))]))
    }

    async fn apply(&self, host: &dyn Host, _: &Work<'_>) -> Result<(), HostError> {
        let admin = host.read(ADMIN_CONF).await?.ok_or_else(|| {
            HostError::NotYet(format!("{ADMIN_CONF} is not there: kubeadm has yet to write it"))
        })?;
        if let Some(content) = host.read(ROOTS).await?.filter(|content| *content != admin) {
            host.write(&kept(&content), &content, 0o600).await?;
        }
        host.write(ROOTS, &admin, 0o600).await
    }
}

fn kept(content: &[u8]) -> String {
    let digest: String = Sha256::of(content).as_str().chars().take(8).collect();
    format!("{ROOTS}.before-quorate-{digest}")
}
