//! After enrolment: the token has served, so every copy of it on this machine goes, and it is written
//! down that the node is enrolled. Nothing here undoes an enrolment that fails halfway through it.
//!
//! What holds the token outside the machine, such as a metadata service, an image of the first boot's
//! data, or a backup, is out of our reach: that is why a token serves once, and for a short time.

use quorate_proto::trust::JoinToken;
use quorate_proto::{Secret, in_one_line};
use serde::Serialize;

use super::EnrolError;
use crate::host::Host;
use crate::identity::{NodeIdentity, path};

/// Where first-boot configuration leaves a token, and the unit of first boots looks for it.
pub const TOKEN_FILE: &str = "/etc/quorate/enrol.token";
/// There while the node waits for approval.
pub const CODE_FILE: &str = "/run/quorate-agent/enrol-code";
/// There once the node is enrolled, until the next boot.
pub const MARKER: &str = "/run/quorate-agent/enrolled";
/// In the state folder: what came of the enrolment.
const RESULT: &str = "enrol.result";

/// Where cloud-init keeps what it was given, and what it made of that.
const COPIES: [&str; 14] = [
    "/var/lib/cloud/instance/user-data.txt",
    "/var/lib/cloud/instance/user-data.txt.i",
    "/var/lib/cloud/instance/vendor-data.txt",
    "/var/lib/cloud/instance/vendor-data.txt.i",
    "/var/lib/cloud/instance/cloud-config.txt",
    "/var/lib/cloud/instance/obj.pkl",
    "/var/lib/cloud/seed/nocloud/user-data",
    "/var/lib/cloud/seed/nocloud-net/user-data",
    "/run/cloud-init/instance-data-sensitive.json",
    "/run/cloud-init/instance-data.json",
    "/run/cloud-init/combined-cloud-config.json",
    "/run/cloud-init/cloud.cfg",
    "/var/log/cloud-init.log",
    "/var/log/cloud-init-output.log",
];
const SCRIPTS: [&str; 2] =
    ["/var/lib/cloud/instance/scripts", "/var/lib/cloud/instance/scripts/vendor"];

/// What became of the copies of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// Files that held it, and do no more.
    pub cleaned: Vec<String>,
    /// Files that may hold it yet, and why.
    pub left: Vec<String>,
}

/// What is written down of an enrolment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    node: &'a str,
    site: String,
    token: String,
    /// Milliseconds since 1970.
    at_ms: u64,
    copies: &'a Copies,
}

/// Refuses a token that first-boot configuration left open to others, whatever way it then came to us:
/// systemd hands it on without a look at the file's mode.
pub async fn check_token_file(host: &dyn Host) -> Result<(), EnrolError> {
    host.read_secret(TOKEN_FILE).await.map(drop).map_err(EnrolError::TokenFile)
}

/// Removes the token's own files, replaces what copies of it cloud-init has, and writes the result and
/// the marker. Whatever cannot be done is in the report, as the node is enrolled all the same.
pub async fn settle(
    host: &dyn Host,
    identity: &NodeIdentity,
    token: &JoinToken,
    token_file: Option<&str>,
    state_folder: &str,
) -> Copies {
    let text = token.to_text();
    let mut copies = Copies::default();
    for file in [token_file, Some(TOKEN_FILE)].into_iter().flatten() {
        remove(host, file, token, &mut copies).await;
    }
    redact(host, &text, &mut copies).await;
    let machine = host.machine().await.unwrap_or_default();
    let outcome = Outcome {
        node: identity.node.as_str(),
        site: identity.site.to_string(),
        token: token.id().to_string(),
        at_ms: machine.clock_ms,
        copies: &copies,
    };
    // Plain data: it cannot fail to serialise.
    let outcome = serde_json::to_string(&outcome).unwrap_or_default() + "\n";
    let name = format!("{}\n", identity.node);
    let result = path(state_folder, RESULT);
    for (file, content, mode) in [(result.as_str(), outcome, 0o600), (MARKER, name, 0o644)] {
        if let Err(error) = host.write(file, content.as_bytes(), mode).await {
            copies.left.push(in_one_line(&error));
        }
    }
    copies
}

/// Blots this token, and nothing that only looks like one, out of what cloud-init keeps.
async fn redact(host: &dyn Host, token: &Secret, copies: &mut Copies) {
    let mut files: Vec<String> = COPIES.map(str::to_owned).to_vec();
    for folder in SCRIPTS {
        match host.list(folder).await {
            Ok(names) => files.extend(names.iter().map(|name| path(folder, name))),
            Err(error) => copies.left.push(in_one_line(&error)),
        }
    }
    for file in files {
        match host.blot_out(&file, token).await {
            Ok(0) => {}
            Ok(_) => copies.cleaned.push(file),
            Err(error) => copies.left.push(in_one_line(&error)),
        }
    }
}

/// Removes a file if it holds this token: another may be there for a purpose of its own.
async fn remove(host: &dyn Host, file: &str, token: &JoinToken, copies: &mut Copies) {
    let holds = match host.read_secret(file).await {
        Ok(Some(text)) => text.expose().parse::<JoinToken>().is_ok_and(|is| is.id() == token.id()),
        Ok(None) => false,
        Err(error) => return copies.left.push(in_one_line(&error)),
    };
    if !holds {
        return;
    }
    match host.remove(file).await {
        Ok(()) => copies.cleaned.push(file.to_owned()),
        Err(error) => copies.left.push(in_one_line(&error)),
    }
}
