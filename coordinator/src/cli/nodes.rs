//! `quorate node list` and `quorate node approve`: who has come in, who waits, and who may.

use std::path::PathBuf;
use std::time::SystemTime;

use quorate_proto::NodeName;

use super::args::node_name;
use super::{CliError, Exit};
use crate::site::{Site, SiteError};
use crate::store::{Approved, Store, seconds};
use crate::ui::{self, nodes_text};

/// Lists the nodes that a token was made for, how far each has come, and who waits for your approval
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    state: PathBuf,
}

/// Lets a node in that waits, if it is the one that shows this code
///
/// Read the six words on the node itself: on its console, in /run/quorate-agent/enrol-code, or in its
/// journal. They tell its key from that of anybody else who has the token. The fifth wrong code rejects
/// the claim, and the node needs a new token.
#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// The node's name
    #[arg(value_parser = node_name)]
    name: NodeName,
    /// The six words that the node shows
    #[arg(long, value_name = "WORDS")]
    code: String,
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    state: PathBuf,
}

impl ListArgs {
    pub(super) fn run(&self, now: SystemTime) -> Result<Exit, CliError> {
        let store = open(&self.state)?;
        let tokens = store.newest_tokens().map_err(SiteError::Store)?;
        ui::print(&nodes_text::table(&tokens, seconds(now)));
        Ok(Exit::Holds)
    }
}

impl ApproveArgs {
    pub(super) fn run(&self, now: SystemTime) -> Result<Exit, CliError> {
        let Self { name, code, state } = self;
        let approved = open(state)?.approve(name, code, now).map_err(SiteError::Store)?;
        if approved != Approved::Yes {
            return Err(not_approved(name, approved));
        }
        ui::print(&format!("{name} is approved; it gets its certificate within seconds\n"));
        Ok(Exit::Holds)
    }
}

/// Why a code let nobody in, and what to do.
pub(super) fn not_approved(name: &NodeName, approved: Approved) -> CliError {
    let failed = |message: String| CliError::message(Exit::Failed, message);
    match approved {
        Approved::Wrong { left } => failed(format!(
            "that is not the code of the machine that waits as {name}"
        ))
        .hint(format!(
            "read the words on {name} itself; after {left} more wrong codes the claim is \
                 rejected. If they are right, somebody else has claimed its token: make a new one \
                 with `quorate node token {name}`, which ends this claim"
        )),
        Approved::Rejected => {
            failed(format!("that was one wrong code too many: the claim of {name} is rejected"))
                .hint(format!(
                    "make a new token with `quorate node token {name}`, and find out who claimed \
                     the old one: `quorate node list` says from which address it was"
                ))
        }
        Approved::Late => failed(format!("the claim of {name} has waited for more than a day"))
            .hint(format!("make a new token with `quorate node token {name}`")),
        Approved::Yes | Approved::NobodyWaits => {
            failed(format!("no claim for {name} waits for approval"))
                .hint("`quorate node list` shows how far each node is")
        }
    }
}

fn open(state: &std::path::Path) -> Result<Store, CliError> {
    Ok(Site::open(state)?.store()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_proto::trust::{EnrolCode, KeyDigest};

    use super::*;
    use crate::site::TokenTerms;
    use crate::spec::Role;
    use crate::store::{Approval, Claimant};

    #[test]
    fn a_code_lets_in_who_waits_and_a_wrong_one_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let site = Site::create(&state, now).unwrap();
        let name = NodeName::try_from("cp-1").unwrap();
        let key = KeyDigest([3; 32]);
        let approve = |code: &str| {
            ApproveArgs { name: name.clone(), code: code.to_owned(), state: state.clone() }.run(now)
        };
        let right = EnrolCode::of(&key).to_string();
        assert!(approve(&right).unwrap_err().text().contains("no claim for cp-1 waits"));

        let ttl = Duration::from_hours(1);
        let terms = TokenTerms { role: Role::ControlPlane, approval: Approval::Code, ttl };
        site.issue_token(&name, &terms, now).unwrap();
        let mut store = site.store().unwrap();
        let id = store.newest_tokens().unwrap()[0].id;
        let from = "10.0.0.11".to_owned();
        let claimant = Claimant { at: seconds(now), from, facts_json: "{}".to_owned() };
        store.claim(&id, &key, &claimant).unwrap();
        let wrong = approve("acid acid acid acid acid acid").unwrap_err();
        assert_eq!(wrong.exit, Exit::Failed);
        assert!(wrong.text().contains("after 4 more wrong codes"), "{}", wrong.text());
        assert_eq!(approve(&right.to_uppercase()).unwrap(), Exit::Holds);
        ListArgs { state: state.clone() }.run(now).unwrap();
    }
}
