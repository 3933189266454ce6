//! How this node gets its identity: it makes a key, and trades a join token for a certificate.
//!
//! The key is on the disk before the token is used. Whatever is interrupted, the same command with
//! the same token goes on with the same key. A claim may have to wait until a person has compared the
//! code that is shown here.

pub mod settle;
pub mod unclaimed;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::trust::enrol::enrol_client::EnrolClient;
use quorate_proto::trust::{
    EnrolCode, GrantedIdentity, JoinToken, NodeKey, SiteId, TokenError, TrustError, Who,
    enrol_channel, prove,
};
use quorate_proto::{Machine, NodeName, in_one_line};
use tonic::{Code, Status};

use crate::host::{Host, HostError};
use crate::identity::{NodeIdentity, NodeIdentityError, path, read};

/// Longest wait for the coordinator's answer, which takes it milliseconds.
const ANSWER: Duration = Duration::from_secs(30);
/// How often it is said that we still wait.
const REMINDER_MS: u64 = 5 * 60 * 1000;
/// A coordinator that wants to be asked more often than this, or less, is not obeyed.
const ASK_AGAIN: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60);

/// The node did not enrol.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(
        "this node is {node} of a site already, and an enrolled node does not enrol again; if that \
         identity is to end, run `quorate-agent reset --identity` as root first"
    )]
    Enrolled { node: NodeName },
    #[error("{path} does not exist; write the token there, readable by root alone")]
    NoToken { path: String },
    #[error("taking the join token")]
    TokenFile(#[source] HostError),
    #[error("reading the join token")]
    Token(#[from] TokenError),
    #[error(
        "no coordinator is known; name it with --coordinator ADDRESS:PORT, or in \
         enrol.coordinators of the settings"
    )]
    NoCoordinator,
    #[error("listening at {address}; choose another address with --listen")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("serving until the coordinator claims this node")]
    Serve(#[source] tonic::transport::Error),
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
    #[error(
        "nobody approved of this node yet. Run `quorate node approve NAME --code \"{code}\"` at the \
         coordinator, and the same command here again: it goes on with the same key"
    )]
    Unapproved { code: EnrolCode },
    #[error("the coordinator granted something else than an identity for this node's key")]
    Granted(#[source] TrustError),
    #[error("asking what this machine is")]
    Machine(#[source] HostError),
    #[error("keeping the node's identity; the same command may be run again, with the same token")]
    Identity(#[source] NodeIdentityError),
}

/// What a script makes of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The token's file or its text is no good; nobody was asked.
    Token,
    /// Who answers is not the coordinator that made the token.
    Stranger,
    /// The coordinator said no: this token will not serve.
    NewToken,
    /// The node has an identity.
    Reset,
    /// The same command may do later.
    Again,
    /// The command line and the settings leave out what is needed.
    Usage,
    /// Something of this machine has to be seen to.
    Machine,
}

impl EnrolError {
    /// What may be done about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Enrolled { .. } => Remedy::Reset,
            Self::NoToken { .. } | Self::TokenFile(_) | Self::Token(_) => Remedy::Token,
            Self::NoCoordinator => Remedy::Usage,
            Self::Refused(_) => Remedy::NewToken,
            Self::Granted(_) => Remedy::Stranger,
            Self::Reach(
                TrustError::Unreachable { .. }
                | TrustError::Stalled { .. }
                | TrustError::Handshake { .. },
            )
            | Self::Lost(_)
            | Self::Unapproved { .. } => Remedy::Again,
            Self::Reach(_) => Remedy::Stranger,
            Self::Prepare(_)
            | Self::Machine(_)
            | Self::Identity(_)
            | Self::Listen { .. }
            | Self::Serve(_) => Remedy::Machine,
        }
    }

    /// Whether who waits for approval asks again all the same.
    fn passes(&self) -> bool {
        self.remedy() == Remedy::Again
    }
}

/// What enrolment needs to be told.
pub struct Enrolment<'a> {
    /// Host name or address, and port; tried in turn.
    pub coordinators: &'a [String],
    pub token: &'a JoinToken,
    /// Where the identity will be: [`crate::identity::FOLDER`] on an installed node.
    pub folder: &'a str,
    /// How long to wait for a person's approval.
    pub wait: Duration,
    /// Is told what a person at the node should see.
    pub tell: &'a (dyn Fn(&str) + Sync),
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Granted(Box<NodeIdentity>),
    /// A person has to approve of it first; ask again after this time.
    Waits(Duration),
}

/// Reads a token from a file of root's own.
pub async fn read_token(host: &dyn Host, path: &str) -> Result<JoinToken, EnrolError> {
    let text = host.read_secret(path).await.map_err(EnrolError::TokenFile)?;
    let text = text.ok_or_else(|| EnrolError::NoToken { path: path.to_owned() })?;
    Ok(text.expose().parse()?)
}

/// Gets this node its identity and keeps it. Refuses where there is one.
pub async fn enrol(host: &dyn Host, enrolment: &Enrolment<'_>) -> Result<NodeIdentity, EnrolError> {
    let Enrolment { token, folder, .. } = *enrolment;
    let (pending, key) = prepare(host, token, folder).await?;
    let machine = host.machine().await.map_err(EnrolError::Machine)?;
    let identity = obtain(host, enrolment, &key, &machine).await;
    // Of no use any more, whatever came of it.
    host.remove(settle::CODE_FILE).await.ok();
    let identity = identity?;
    keep(host, folder, &pending, &identity).await?;
    Ok(identity)
}

/// The key that this token is to serve, and where it waits for its certificate. Refuses where the node
/// has an identity.
async fn prepare(
    host: &dyn Host,
    token: &JoinToken,
    folder: &str,
) -> Result<(String, NodeKey), EnrolError> {
    if let Some(had) = NodeIdentity::load(host, folder).await.map_err(EnrolError::Identity)? {
        return Err(EnrolError::Enrolled { node: had.node });
    }
    // A key for each token: one that another token certified would be refused.
    let pending = path(folder, &format!("pending-{}.key", token.id()));
    let key = pending_key(host, &pending).await?;
    Ok((pending, key))
}

async fn keep(
    host: &dyn Host,
    folder: &str,
    pending: &str,
    identity: &NodeIdentity,
) -> Result<(), EnrolError> {
    identity.store(host, folder).await.map_err(EnrolError::Identity)?;
    let removed = host.remove(pending).await.map_err(NodeIdentityError::Write);
    removed.map_err(EnrolError::Identity)
}

/// Claims until there is an answer other than to wait, or the time for that is over.
async fn obtain(
    host: &dyn Host,
    enrolment: &Enrolment<'_>,
    key: &NodeKey,
    machine: &Machine,
) -> Result<NodeIdentity, EnrolError> {
    let Enrolment { wait, tell, .. } = *enrolment;
    let began = host.uptime_ms();
    let deadline = began.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    let code = EnrolCode::of(&key.key_digest());
    let (mut shown, mut reminded, mut after) = (false, began, *ASK_AGAIN.end());
    loop {
        match ask_in_turn(enrolment, key, machine).await {
            Ok(Answer::Granted(identity)) => return Ok(*identity),
            Ok(Answer::Waits(time)) => after = time.clamp(*ASK_AGAIN.start(), *ASK_AGAIN.end()),
            // Once the coordinator knows of us, its absence is no reason to give up.
            Err(error) if shown && error.passes() => tell(&in_one_line(&error)),
            Err(error) => return Err(error),
        }
        if !shown {
            show_code(host, &code, tell).await;
            shown = true;
        }
        let now = host.uptime_ms();
        if now >= deadline {
            return Err(EnrolError::Unapproved { code });
        }
        if now.saturating_sub(reminded) >= REMINDER_MS {
            reminded = now;
            let minutes = now.saturating_sub(began) / 60_000;
            tell(&format!("waits for approval since {minutes} min; the code is: {code}"));
        }
        host.pause(after).await;
    }
}

/// The first coordinator that answers as one. Where none does, what tells most: that there is one, and
/// it is not ours.
async fn ask_in_turn(
    enrolment: &Enrolment<'_>,
    key: &NodeKey,
    machine: &Machine,
) -> Result<Answer, EnrolError> {
    let Enrolment { coordinators, token, .. } = *enrolment;
    let mut failure = EnrolError::NoCoordinator;
    for coordinator in coordinators {
        match claim(coordinator, token, key, machine).await {
            Err(error @ EnrolError::Reach(_)) => {
                if failure.remedy() != Remedy::Stranger {
                    failure = error;
                }
            }
            answer => return answer,
        }
    }
    Err(failure)
}

/// Where a person can see the code: here, in the journal, and in a file.
async fn show_code(host: &dyn Host, code: &EnrolCode, tell: &(dyn Fn(&str) + Sync)) {
    tell(&format!(
        "this node waits for approval. Its code is:\n\n    {code}\n\nat the coordinator, run: quorate \
         node approve NAME --code \"{code}\"\n"
    ));
    let written = host.write(settle::CODE_FILE, format!("{code}\n").as_bytes(), 0o644).await;
    if let Err(error) = written {
        tell(&format!("{} was not written: {}", settle::CODE_FILE, in_one_line(&error)));
    }
}

/// Claims the certificate of a key. What comes back was checked: it is of this key, and of the
/// site whose root the token pins.
pub async fn claim(
    coordinator: &str,
    token: &JoinToken,
    key: &NodeKey,
    machine: &Machine,
) -> Result<Answer, EnrolError> {
    let (channel, binding, site) =
        enrol_channel(coordinator, token.pin()).await.map_err(EnrolError::Reach)?;
    // Plain data: it cannot fail to serialise.
    let facts = serde_json::to_string(machine).unwrap_or_default();
    let request = key.request().and_then(|request| prove(token, &binding, request, facts));
    let mut request = tonic::Request::new(request.map_err(EnrolError::Prepare)?);
    request.set_timeout(ANSWER);
    let reply = EnrolClient::new(channel).claim(request).await.map_err(refusal)?.into_inner();
    if let Some(time) = reply.waits() {
        return Ok(Answer::Waits(time));
    }
    let granted = GrantedIdentity::from(reply);
    checked(granted, token, key, site).map(|identity| Answer::Granted(Box::new(identity)))
}

/// What was granted, once it is certain that it is this key's and of the site that the token pins.
fn checked(
    granted: GrantedIdentity,
    token: &JoinToken,
    key: &NodeKey,
    site: SiteId,
) -> Result<NodeIdentity, EnrolError> {
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
