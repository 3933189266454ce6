//! How this node gets its identity: it makes a key, and trades a join token for a certificate.
//!
//! The key is on the disk before the token is used. Whatever is interrupted, the same command with
//! the same token goes on with the same key.

#[cfg(test)]
mod tests;

use std::time::Duration;

use quorate_proto::trust::enrol::enrol_client::EnrolClient;
use quorate_proto::trust::{
    GrantedIdentity, JoinToken, NodeKey, TokenError, TrustError, Who, enrol_channel, prove,
};
use quorate_proto::{Machine, NodeName};
use tonic::{Code, Status};

use crate::host::{Host, HostError};
use crate::identity::{NodeIdentity, NodeIdentityError, path, read};

/// Longest wait for the coordinator's answer, which takes it milliseconds.
const ANSWER: Duration = Duration::from_secs(30);

/// The node did not enrol.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(
        "this node is {node} of a site already; if that is to end, remove {folder} by hand and \
         run the same command again"
    )]
    Enrolled { node: NodeName, folder: String },
    #[error("{path} does not exist; write the token there, readable by root alone")]
    NoToken { path: String },
    #[error("reading the join token")]
    Token(#[source] TokenError),
    #[error("preparing the claim")]
    Prepare(#[source] TrustError),
    #[error(
        "reaching the coordinator; see that `quorate serve` runs there and that the clocks agree"
    )]
    Reach(#[source] TrustError),
    #[error("the coordinator refused: {0}")]
    Refused(String),
    #[error("the coordinator did not answer the claim; run the same command again")]
    Lost(#[source] Status),
    #[error("the coordinator granted something else than an identity for this node's key")]
    Granted(#[source] TrustError),
    #[error("asking what this machine is")]
    Machine(#[source] HostError),
    #[error("keeping the node's identity")]
    Identity(#[source] NodeIdentityError),
}

/// What enrolment needs to be told.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// Host name or address, and port.
    pub coordinator: &'a str,
    pub token: &'a JoinToken,
    /// The file that the token came from: it is removed once the token has served.
    pub token_file: Option<&'a str>,
    /// Where the identity will be: [`crate::identity::FOLDER`] on an installed node.
    pub folder: &'a str,
}

/// Reads a token from a file.
pub async fn read_token(host: &dyn Host, path: &str) -> Result<JoinToken, EnrolError> {
    let text = read(host, path).await.map_err(EnrolError::Identity)?;
    let text = text.ok_or_else(|| EnrolError::NoToken { path: path.to_owned() })?;
    text.expose().parse().map_err(EnrolError::Token)
}

/// Gets this node its identity and keeps it. Refuses where there is one.
pub async fn enrol(host: &dyn Host, enrolment: &Enrolment<'_>) -> Result<NodeIdentity, EnrolError> {
    let Enrolment { coordinator, token, token_file, folder } = *enrolment;
    if let Some(had) = NodeIdentity::load(host, folder).await.map_err(EnrolError::Identity)? {
        return Err(EnrolError::Enrolled { node: had.node, folder: folder.to_owned() });
    }
    // A key for each token: one that another token certified would be refused.
    let pending = path(folder, &format!("pending-{}.key", token.id()));
    let key = pending_key(host, &pending).await?;
    let machine = host.machine().await.map_err(EnrolError::Machine)?;
    let identity = claim(coordinator, token, &key, &machine).await?;
    identity.store(host, folder).await.map_err(EnrolError::Identity)?;
    for spent in [Some(pending.as_str()), token_file].into_iter().flatten() {
        let removed = host.remove(spent).await.map_err(NodeIdentityError::Write);
        removed.map_err(EnrolError::Identity)?;
    }
    Ok(identity)
}

/// Claims the certificate of a key. What comes back was checked: it is of this key, and of the
/// site whose root the token pins.
pub async fn claim(
    coordinator: &str,
    token: &JoinToken,
    key: &NodeKey,
    machine: &Machine,
) -> Result<NodeIdentity, EnrolError> {
    let (channel, binding, site) =
        enrol_channel(coordinator, token.pin()).await.map_err(EnrolError::Reach)?;
    // Plain data: it cannot fail to serialise.
    let facts = serde_json::to_string(machine).unwrap_or_default();
    let request = key.request().and_then(|request| prove(token, &binding, request, facts));
    let mut request = tonic::Request::new(request.map_err(EnrolError::Prepare)?);
    request.set_timeout(ANSWER);
    let reply = EnrolClient::new(channel).claim(request).await.map_err(refusal)?;
    let granted = GrantedIdentity::from(reply.into_inner());
    let identity = granted.check(key.key_digest(), token.pin(), site);
    let identity = identity.map_err(EnrolError::Granted)?;
    let Who::Node(node) = identity.who else {
        let wanted = "node";
        return Err(EnrolError::Granted(TrustError::NotEntitled { identity, wanted }));
    };
    let credentials = granted.credentials(key.to_pem());
    let node_root_pem = granted.node_root_pem();
    Ok(NodeIdentity { site, node, credentials, node_root_pem, bundle: granted.bundle })
}

fn refusal(status: Status) -> EnrolError {
    if status.code() == Code::PermissionDenied {
        EnrolError::Refused(status.message().to_owned())
    } else {
        EnrolError::Lost(status)
    }
}

async fn pending_key(host: &dyn Host, path: &str) -> Result<NodeKey, EnrolError> {
    if let Some(pem) = read(host, path).await.map_err(EnrolError::Identity)? {
        return NodeKey::from_pem(&pem).map_err(EnrolError::Prepare);
    }
    let key = NodeKey::generate().map_err(EnrolError::Prepare)?;
    let written = host.write(path, key.to_pem().expose().as_bytes(), 0o600).await;
    written.map_err(NodeIdentityError::Write).map_err(EnrolError::Identity)?;
    Ok(key)
}
