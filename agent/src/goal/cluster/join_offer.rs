//! The offer to join: a bootstrap token and, for control planes, the sealed shared certificates.
//! Made for a run by the material that the run minted, and withdrawn at its end.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_proto::goal::{KubeNode, Offer};
use quorate_proto::{ActivityKind, Drift, Finding, JoinMaterial};
use serde_json::Value;
use x509_parser::time::ASN1Time;

use super::read::{self, Reply};
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::{config, phase};

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const CERTIFICATES: &str = "/api/v1/namespaces/kube-system/secrets/kubeadm-certs";
/// kubeadm's helper, whose end removes the sealed certificates; it authenticates nobody.
const HELPER_DESCRIPTION: &str = "Proxy for managing TTL for the kubeadm-certs secret";
/// An offer that ends sooner may end during a join.
const LEFT_S: u64 = 600;

/// Exactly one token of ours is in the cluster: the one that the last apply put there, since an
/// apply first withdraws all others. So the check needs no secret.
#[async_trait]
impl Ensure for Offer {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let node = &self.on;
        let Some(secrets) = tokens(host, node).await? else {
            return Ok(Finding::Drifted(vec![read::no_rights()]));
        };
        let ours: Vec<&Value> = secrets.iter().filter(|secret| is_ours(secret)).collect();
        let now_s = host.machine().await?.clock_ms / 1000;
        let wanted = format!("one that is good for {} minutes", LEFT_S / 60);
        let found = match ours.as_slice() {
            [token] if expires_after(token, now_s + LEFT_S) => None,
            [_] => Some("about to expire".to_owned()),
            several => Some(several.len().to_string()),
        };
        let mut drifts: Vec<Drift> =
            found.map(|found| Drift::new("bootstrap token", found, wanted)).into_iter().collect();
        if self.certificates
            && !matches!(read::get(host, read::own(node), CERTIFICATES).await?, Reply::Found(_))
        {
            drifts.push(Drift::new("Secret kubeadm-certs", "missing", "there"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let node = &self.on;
        // Giving access may have put this very token there, a moment ago.
        let ours = secret_name(phase::material(work)?);
        let there = withdraw(host, node, Some(&ours)).await?;
        if !there {
            phase::init(host, work, node, "bootstrap-token --skip-token-print").await?;
        }
        if self.certificates {
            let upload = "upload-certs --upload-certs --skip-certificate-key-print";
            phase::init(host, work, node, upload).await?;
        }
        Ok(())
    }
}

/// Nothing that quorate offered is left.
pub(super) struct JoinWithdrawn<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for JoinWithdrawn<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let Some(secrets) = tokens(host, self.0).await? else {
            return Ok(Finding::Drifted(vec![read::no_rights()]));
        };
        let left = secrets.iter().filter(|secret| is_ours(secret));
        let mut drifts: Vec<Drift> = left
            .map(|secret| {
                let name = read::text(secret, "/metadata/name");
                Drift::new(format!("Secret {name}"), "there", "withdrawn")
            })
            .collect();
        if matches!(read::get(host, read::own(self.0), CERTIFICATES).await?, Reply::Found(_)) {
            drifts.push(Drift::new("Secret kubeadm-certs", "there", "withdrawn"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, "withdrawing the offer to join");
        withdraw(host, self.0, None).await.map(drop)
    }
}

/// Withdraws everything that was offered but the token `keep`, and says whether that is still good.
async fn withdraw(host: &dyn Host, node: &KubeNode, keep: Option<&str>) -> Result<bool, HostError> {
    let now_s = host.machine().await?.clock_ms / 1000;
    let mut kept = false;
    for secret in tokens(host, node).await?.unwrap_or_default() {
        let name = read::text(&secret, "/metadata/name");
        if keep == Some(name) {
            kept = expires_after(&secret, now_s + LEFT_S);
        } else if is_ours(&secret) || description(&secret) == HELPER_DESCRIPTION {
            read::delete(host, read::own(node), &format!("{SECRETS}/{name}")).await?;
        }
    }
    read::delete(host, read::own(node), CERTIFICATES).await?;
    Ok(kept)
}

fn secret_name(material: &JoinMaterial) -> String {
    format!("bootstrap-token-{}", material.token_id())
}

/// Every bootstrap token; `None` where the administrator has no rights yet.
async fn tokens(host: &dyn Host, node: &KubeNode) -> Result<Option<Vec<Value>>, HostError> {
    let path = format!("{SECRETS}?fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken");
    Ok(match read::get(host, read::own(node), &path).await? {
        Reply::Found(list) => Some(read::items(&list).to_vec()),
        Reply::Absent => Some(Vec::new()),
        Reply::NoRights => None,
    })
}

fn is_ours(secret: &Value) -> bool {
    description(secret) == config::TOKEN_DESCRIPTION
}

fn description(secret: &Value) -> String {
    datum(secret, "description")
}

/// Whether a token is good at that time. It says so as RFC 3339 in UTC, which sorts as text.
fn expires_after(secret: &Value, seconds: u64) -> bool {
    let time = i64::try_from(seconds).ok().and_then(|time| ASN1Time::from_timestamp(time).ok());
    let Some(time) = time.map(|time| time.to_datetime()) else { return false };
    let (date, clock) = (time.date(), time.time());
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    datum(secret, "expiration") > text
}

fn datum(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(read::text(secret, &format!("/data/{key}")));
    bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_good_until_it_says_so() {
        let data = STANDARD.encode("2026-11-23T10:00:00Z");
        let secret = json!({"data": {"expiration": data}});
        let ten = 1_795_428_000; // 2026-11-23T10:00:00Z
        assert!(expires_after(&secret, ten - 1));
        assert!(!expires_after(&secret, ten));
        assert!(!expires_after(&json!({}), 0), "a token without an end is none of ours");
    }
}
