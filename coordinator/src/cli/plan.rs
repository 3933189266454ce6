//! `quorate plan`: what `apply` would do, and why. Changes nothing.

use super::procedure::show;
use super::{CliError, ClusterArgs, Exit, warn};
use crate::procedure::Procedure;
use crate::ui::plan_text::Detail;

/// Shows what `apply` would do on each node, and why
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Shows each step of each node, also where many nodes have the same
    #[arg(long)]
    full: bool,
}

impl PlanArgs {
    /// Looks at all nodes and prints what is left.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let session = self.cluster.open()?;
        warn(&session.loaded);
        let detail = if self.full { Detail::Full } else { Detail::Grouped };
        show(&self.cluster, &session, &Procedure::BringUp, &session.loaded.defaults, detail).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use clap::Parser as _;
    use quorate_proto::NodeName;
    use quorate_proto::trust::KeyDigest;

    use super::*;
    use crate::cli::{Cli, SPEC};
    use crate::site::{Site, TokenTerms};
    use crate::spec::Role;
    use crate::store::{Approval, Claimant, StoredCertificate, seconds};

    #[tokio::test]
    async fn control_plane_enrolled_as_worker_is_blocked() {
        let folder = tempfile::tempdir().unwrap();
        let (file, state) = (folder.path().join("cluster.yaml"), folder.path().join("state"));
        std::fs::write(&file, SPEC).unwrap();
        let now = SystemTime::now();
        let site = Site::create(&state, now).unwrap();
        let ttl = Duration::from_hours(1);
        let terms = TokenTerms { role: Role::Worker, approval: Approval::Auto, ttl };
        let node = NodeName::try_from("cp-1").unwrap();
        site.issue_token(&node, &terms, now).unwrap();
        let mut store = site.store().unwrap();
        let token = store.newest_tokens().unwrap().remove(0);
        let key = KeyDigest([3; 32]);
        let (at, from) = (seconds(now), "10.0.0.11".to_owned());
        let claimant = Claimant { at, from, facts_json: "{}".to_owned() };
        store.claim(&token.id, &key, &claimant).unwrap();
        let certificate = StoredCertificate { der: Vec::new(), issued_at: at, not_after: i64::MAX };
        assert!(store.sign(&token, &key, &certificate, "{}").unwrap());

        for command in [&["plan"][..], &["node", "remove", "cp-9", "--dry-run"]] {
            let words = ["quorate"].iter().chain(command).map(AsRef::as_ref);
            let paths = ["-f".as_ref(), file.as_os_str(), "--state".as_ref(), state.as_os_str()];
            let cli = Cli::try_parse_from(words.chain(paths)).unwrap();
            let error = cli.run().await.unwrap_err();
            assert_eq!(error.exit, Exit::Blocked);
            let text = error.text();
            assert!(text.contains("`quorate node token cp-1 --role control-plane`"), "{text}");
        }
    }
}
