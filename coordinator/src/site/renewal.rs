//! Nodes get new keys and certificates while they work. What a node has is asked of it and of the store,
//! so a renewal that was cut off anywhere goes on by being run again.
//!
//! The certificate is in the store before it is sent. Until the node was seen with it, the one before
//! is as good; from then on it is refused as a clone's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use quorate_proto::NodeName;
use quorate_proto::trust::{
    Identity, KeyDigest, NodeKeys, Seen, SigningRequest, TrustError, Who, read_leaf,
};
use tokio::task::JoinSet;

use super::{Site, SiteError};
use crate::fleet::{FleetError, Statuses, TrustCalls};
use crate::store::{StoredCertificate, seconds};

/// When a node gets a new certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCall {
    /// Past a third of the certificate's life.
    WhenDue,
    Now,
    /// Now, also where its certificate has ended: its key, which the store knows, is proof enough.
    Recover,
    /// Now, whichever key it shows that the store has never heard of: the state folder was restored
    /// from a backup that is older than the key.
    Restored,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The new one ends then, in seconds since 1970.
    Until(i64),
    /// It was not due; it ends then.
    NotDue(i64),
}

/// A node keeps the certificate that it has.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error("what it shows cannot be read; its agent may be older: upgrade it")]
    Unread(#[source] TrustError),
    #[error("it says that it shows the certificate of {0}")]
    Other(Identity),
    #[error(
        "its request for a certificate is of a key that is another node's, or that was retired; on \
         the node, run `quorate-agent reset --identity`, and enrol it anew"
    )]
    Retired,
    #[error(
        "it shows a key that it was given long ago: a clone, an old snapshot or a copy of its disk; it is \
         in quarantine and gets no orders. Take it off the network, or run `quorate-agent reset \
         --identity` there and enrol it anew"
    )]
    Past,
    #[error(
        "no key of it is known here, so that nothing but a certificate that holds could prove who it is; \
         enrol it anew with a token of `quorate node token {0}`"
    )]
    NoKey(NodeName),
}

impl RenewError {
    /// What happened, for a line that begins with the node's name.
    pub fn why(&self) -> String {
        match self {
            Self::Fleet(error) => error.why(),
            Self::Site(_)
            | Self::Unread(_)
            | Self::Other(_)
            | Self::Retired
            | Self::Past
            | Self::NoKey(_) => quorate_proto::in_one_line(self),
        }
    }
}

/// The nodes whose certificate is to be renewed, by what they said of it: past a third of its life, under
/// way, or not readable, which the renewal then says.
pub(crate) fn due(
    site: &Site,
    statuses: &Statuses,
    now: SystemTime,
) -> Result<BTreeSet<NodeName>, SiteError> {
    let mut due = BTreeSet::new();
    for (node, status) in statuses {
        let Ok(status) = status else { continue };
        let fresh = read_leaf(&status.certificate.clone().into())
            .is_ok_and(|(_, seen)| !past(&seen, 1, now));
        let begun = site.keys_of(node)?.is_some_and(|keys| keys.len() > 1);
        if begun || !fresh {
            due.insert(node.clone());
        }
    }
    Ok(due)
}

/// Renews nodes at once; each tells what came of it.
pub async fn renew_all(
    site: &Arc<Site>,
    calls: &TrustCalls,
    nodes: BTreeSet<NodeName>,
    call: NodeCall,
    now: SystemTime,
) -> Vec<(NodeName, Result<Renewed, RenewError>)> {
    let mut asked = JoinSet::new();
    for node in nodes {
        let (site, calls) = (Arc::clone(site), calls.clone());
        asked.spawn(async move {
            let renewed = renew(&site, &calls, &node, call, now).await;
            (node, renewed)
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    answers
}

/// Gives one node a new key and certificate, and sees that it shows them.
pub async fn renew(
    site: &Site,
    calls: &TrustCalls,
    node: &NodeName,
    call: NodeCall,
    now: SystemTime,
) -> Result<Renewed, RenewError> {
    let other = other_keys(site, node, call)?;
    let other = other.map(|keys| calls.shown(node, &keys)).transpose();
    let other = other.map_err(SiteError::Trust)?;
    let calls = other.as_ref().unwrap_or(calls);
    let begun = begun(site, calls, node).await?;
    let shown = calls.status(node).await?.certificate;
    let (identity, seen) = read_leaf(&shown.clone().into()).map_err(RenewError::Unread)?;
    if identity != (Identity { site: site.id(), who: Who::Node(node.clone()) }) {
        return Err(RenewError::Other(identity));
    }
    if call == NodeCall::Restored && site.is_past(node, &seen.key)? {
        return Err(RenewError::Past);
    }
    if call == NodeCall::WhenDue && !begun && !past(&seen, 1, now) {
        return Ok(Renewed::NotDue(seen.not_after));
    }
    let csr = calls.begin_renewal(node).await?;
    let shown =
        StoredCertificate { der: shown, issued_at: seen.not_before, not_after: seen.not_after };
    let next = site.certify_next(node, (&seen.key, &shown), &csr, now)?;
    calls.finish_renewal(node, next.chain).await?;
    let new = calls.shown(node, &NodeKeys::only(next.key)).map_err(SiteError::Trust)?;
    new.status(node).await?;
    site.settle(node, &next.key)?;
    Ok(Renewed::Until(next.not_after))
}

/// Where a node may show something else than what the store would have it show.
fn other_keys(
    site: &Site,
    node: &NodeName,
    call: NodeCall,
) -> Result<Option<NodeKeys>, RenewError> {
    if matches!(call, NodeCall::WhenDue | NodeCall::Now) {
        return Ok(None);
    }
    // A node that was denied has none left, and is not let in by these ways either.
    let known = site.keys_of(node)?.filter(|keys| !keys.is_empty());
    let known = known.ok_or_else(|| RenewError::NoKey(node.clone()))?;
    Ok(Some(if call == NodeCall::Recover {
        NodeKeys { known: Some(known.into_iter().collect()), ended_too: true }
    } else {
        NodeKeys::default()
    }))
}

/// Whether so many thirds of a certificate's life are over.
pub(super) fn past(seen: &Seen, thirds: i64, now: SystemTime) -> bool {
    let life = seen.not_after.saturating_sub(seen.not_before);
    seconds(now) >= seen.not_before.saturating_add(life / 3 * thirds)
}

/// Whether a renewal waits to be finished. One that was, and whose answer was lost, is settled here.
async fn begun(site: &Site, calls: &TrustCalls, node: &NodeName) -> Result<bool, RenewError> {
    let keys = site.keys_of(node)?.unwrap_or_default();
    let [newest, _, ..] = keys.as_slice() else { return Ok(false) };
    let newest_alone = calls.shown(node, &NodeKeys::only(*newest)).map_err(SiteError::Trust)?;
    match newest_alone.status(node).await {
        Ok(_) => {
            site.settle(node, newest)?;
            Ok(false)
        }
        // It shows another one: whether that is the one before, the next call tells.
        Err(FleetError::Stranger { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A certificate that is on its way.
struct Next {
    key: KeyDigest,
    /// DER, leaf first.
    chain: Vec<Vec<u8>>,
    not_after: i64,
}

impl Site {
    /// The keys that a node may show, the newest first; `None` where nothing is known of it.
    fn keys_of(&self, node: &NodeName) -> Result<Option<Vec<KeyDigest>>, SiteError> {
        self.store()?.keys_of(node).map_err(SiteError::Store)
    }

    /// Whether the node was given this key, and may show it no more.
    fn is_past(&self, node: &NodeName, key: &KeyDigest) -> Result<bool, SiteError> {
        let store = self.store()?;
        let given = store.certificate(key).map_err(SiteError::Store)?.is_some();
        let of_use = store.keys_of(node).map_err(SiteError::Store)?.unwrap_or_default();
        Ok(given && !of_use.contains(key))
    }

    fn settle(&self, node: &NodeName, key: &KeyDigest) -> Result<(), SiteError> {
        self.store()?.settle_renewal(node, key).map_err(SiteError::Store)
    }

    /// The certificate of a node's next key, recorded.
    fn certify_next(
        &self,
        node: &NodeName,
        shown: (&KeyDigest, &StoredCertificate),
        csr: &[u8],
        now: SystemTime,
    ) -> Result<Next, RenewError> {
        let request = SigningRequest::from_der(csr).map_err(SiteError::Trust)?;
        let issued = self.roots.certify_node(node, &request, now).map_err(SiteError::Trust)?;
        let key = request.key_digest();
        let certificate = StoredCertificate::of(&issued, now);
        let recorded = self.store()?.renew(node, shown, (&key, &certificate));
        if !recorded.map_err(SiteError::Store)? {
            return Err(RenewError::Retired);
        }
        let chain = issued.chain.iter().map(|part| part.to_vec()).collect();
        Ok(Next { key, chain, not_after: certificate.not_after })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_proto::trust::NodeKey;

    use super::*;
    use crate::fleet::NodeTrust;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn certificate_is_due_after_a_third_or_when_begun() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let site = Site::create(&folder.path().join("state"), now).unwrap();
        let node = |name: &str| NodeName::try_from(name).unwrap();
        let certify = |name: &str| {
            let request = NodeKey::generate().unwrap().request().unwrap();
            let request = SigningRequest::from_der(&request).unwrap();
            let issued = site.roots.certify_node(&node(name), &request, now).unwrap();
            (request.key_digest(), StoredCertificate::of(&issued, now))
        };
        let (key, shown) = certify("cp-1");
        let (next, begun) = certify("cp-1");
        let status = |name: &str, der: &[u8]| {
            (node(name), Ok(NodeTrust { generation: 1, certificate: der.to_vec() }))
        };
        let silent = FleetError::Silent { node: node("cp-3"), why: "off".to_owned() };
        let statuses = vec![
            status("cp-1", &shown.der),
            status("cp-2", &certify("cp-2").1.der),
            (node("cp-3"), Err(silent)),
            status("cp-4", b"unreadable"),
        ];
        let due = |now| {
            let due = due(&site, &statuses, now).unwrap();
            due.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(due(now), ["cp-4"]);
        let recorded = site.store().unwrap().renew(&node("cp-1"), (&key, &shown), (&next, &begun));
        assert!(recorded.unwrap());
        assert_eq!(due(now), ["cp-1", "cp-4"]);
        assert_eq!(due(now + 31 * DAY), ["cp-1", "cp-2", "cp-4"]);
    }
}
