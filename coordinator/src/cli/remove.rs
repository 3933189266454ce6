//! `quorate node remove`: takes a node out of the cluster that is gone for ever, or is to go.

use std::net::IpAddr;

use quorate_proto::{Machine, NodeName};
use tokio::time::Instant;

use super::args::node_name;
use super::procedure::{carry_out, show};
use super::{CliError, ClusterArgs, Exit};
use crate::plan::Blocked;
use crate::procedure::{Procedure, Removal};
use crate::session::SessionError;
use crate::site::SiteError;
use crate::store::{Store, StoreError};
use crate::ui::plan_text::Detail;

/// Takes a node out of the cluster: its member of etcd, its Node object and its system pods
///
/// For a machine that is gone for ever, or whose join was left half-way. Take the node out of the
/// specification first. Nothing is done on its machine.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// The node's name, which the specification must not have any more
    #[arg(value_parser = node_name)]
    name: NodeName,
    /// Where the node was, for a member of etcd that has never started and so has no name
    ///
    /// Where it is not given, the addresses are taken that the node told when it enrolled.
    #[arg(long)]
    address: Option<IpAddr>,
    /// Removes it although it runs; run `kubeadm reset` on its machine afterwards
    #[arg(long)]
    alive: bool,
    /// Shows what would be done, and does nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl RemoveArgs {
    /// Plans and carries out, as `apply` does, what takes the node out.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let began = Instant::now();
        let session = self.cluster.open()?;
        let node = self.name.clone();
        if session.loaded.spec.nodes.iter().any(|named| named.name == node) {
            let reasons = Blocked::StillSpecified { node }.reasons();
            return Err(SessionError::Blocked(reasons).into());
        }
        let Some(store) = &session.store else { return Err(needs_records()) };
        let removal = self.removal(store).map_err(SiteError::Store)?;
        let procedure = Procedure::Remove(removal);
        if self.dry_run {
            return show(&self.cluster, &session, &procedure, &[], Detail::Full).await;
        }
        carry_out(&self.cluster, session, procedure, began, false).await
    }

    fn removal(&self, store: &Store) -> Result<Removal, StoreError> {
        let addresses = match self.address {
            Some(address) => vec![address],
            None => enrolled_at(store, &self.name)?,
        };
        Ok(Removal { node: self.name.clone(), addresses, alive: self.alive })
    }
}

fn needs_records() -> CliError {
    let message = "this needs the site's state folder, which knows where the node was";
    CliError::message(Exit::Failed, message)
        .hint("nobody was asked for anything; run it where that folder is, without --credentials")
}

/// The addresses that a node told when it enrolled; none where it never did.
fn enrolled_at(store: &Store, node: &NodeName) -> Result<Vec<IpAddr>, StoreError> {
    let facts = store.enrolment_facts(node)?;
    let machine = facts.and_then(|facts| serde_json::from_str::<Machine>(&facts).ok());
    Ok(machine.map(|machine| machine.addresses).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use clap::Parser as _;
    use quorate_proto::trust::{KeyDigest, TokenId, VerifyKey};

    use super::*;
    use crate::cli::{Cli, SPEC};
    use crate::site::Site;
    use crate::spec::Role;
    use crate::store::{Approval, Claimant, StoredCertificate, TokenRecord, TokenState};

    fn site(folder: &Path) -> Vec<String> {
        let (file, state) = (folder.join("cluster.yaml"), folder.join("state"));
        std::fs::write(&file, SPEC).unwrap();
        Site::create(&state, SystemTime::now()).unwrap();
        let at = |path: &Path| path.to_str().unwrap().to_owned();
        vec!["-f".to_owned(), at(&file), "--state".to_owned(), at(&state)]
    }

    #[tokio::test]
    async fn a_node_that_is_still_specified_stays_before_anybody_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let mut words = ["quorate", "node", "remove", "cp-1"].map(str::to_owned).to_vec();
        words.extend(site(folder.path()));
        let error = Cli::try_parse_from(words).unwrap().run().await.unwrap_err();
        assert_eq!(error.exit, Exit::Blocked);
        assert!(error.text().contains("take cp-1 out of it first"), "{}", error.text());
    }

    /// A node that told this address when it came in.
    fn enrol(store: &mut Store, node: &str, address: &str) {
        let token = TokenRecord {
            id: TokenId([7; 10]),
            node: node.try_into().unwrap(),
            verify_key: VerifyKey([9; 32]),
            role: Role::ControlPlane,
            approval: Approval::Auto,
            issued_at: 0,
            not_after: i64::MAX,
            state: TokenState::Issued,
            claimant: None,
        };
        let key = KeyDigest([1; 32]);
        let certificate = StoredCertificate { der: Vec::new(), issued_at: 0, not_after: i64::MAX };
        let addresses = vec![address.parse().unwrap()];
        let facts = serde_json::to_string(&Machine { addresses, ..Machine::default() }).unwrap();
        store.add_token(&token).unwrap();
        let claimant = Claimant { at: 1, from: address.to_owned(), facts_json: facts.clone() };
        store.claim(&token.id, &key, &claimant).unwrap();
        assert!(store.sign(&token, &key, &certificate, &facts).unwrap());
    }

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: RemoveArgs,
    }

    #[test]
    fn a_given_address_outranks_those_of_the_enrolment() {
        let folder = tempfile::tempdir().unwrap();
        site(folder.path());
        let mut store = Store::open(&folder.path().join("state")).unwrap();
        enrol(&mut store, "cp-3", "10.0.0.13");
        let addresses = |words: &[&str]| {
            let line = Line::try_parse_from(words).unwrap();
            let addresses = line.args.removal(&store).unwrap().addresses;
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(addresses(&["remove", "cp-9"]), [""; 0], "it never enrolled");
        assert_eq!(addresses(&["remove", "cp-3"]), ["10.0.0.13"]);
        assert_eq!(addresses(&["remove", "cp-3", "--address", "10.0.0.14"]), ["10.0.0.14"]);
    }
}
