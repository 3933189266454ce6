//! `quorate plan`: what `apply` would do, and why. Changes nothing.

use super::{CliError, ClusterArgs, Exit};
use crate::plan::Procedure;
use crate::ui::{self, Output, plan_text};

/// Shows what `apply` would do on each node, and why
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl PlanArgs {
    /// Looks at all nodes and prints what is left.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let cluster = self.cluster.open()?;
        cluster.warn();
        let spec = &cluster.loaded.spec;
        let drawn = cluster.draw_up(&Procedure::BringUp).await?;
        let defaults = &cluster.loaded.defaults;
        if self.cluster.output == Output::Json {
            ui::print(&ui::json::plan(&drawn.plan, defaults));
        } else {
            ui::print(&plan_text::text(spec, &drawn.plan));
            ui::print(&plan_text::defaults(defaults));
        }
        Ok(Exit::Holds)
    }
}

/// The error of a plan that must not be made. Each reason says itself what to do.
pub(super) fn blocked(reasons: &[String]) -> CliError {
    let error = CliError::message(Exit::Blocked, "this must not be begun now; nothing was changed");
    error.reasons(reasons.iter().cloned()).hint("see to the above, then run the same command again")
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
    async fn a_node_that_was_let_in_as_a_worker_becomes_no_control_plane() {
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

        let words = ["quorate".as_ref(), "plan".as_ref(), "-f".as_ref(), file.as_os_str()];
        let state = ["--state".as_ref(), state.as_os_str()];
        let error = Cli::try_parse_from(words.into_iter().chain(state)).unwrap().run().await;
        let error = error.unwrap_err();
        assert_eq!(error.exit, Exit::Blocked);
        let text = error.text();
        assert!(text.contains(
            "- cp-1 is a control plane in the specification, and was let in as a worker"
        ));
        assert!(text.contains("`quorate node token cp-1 --role control-plane`"), "{text}");
    }

    #[test]
    fn a_plan_that_must_not_be_made_is_told_with_each_reason() {
        let error = blocked(&["cp-1: this".to_owned(), "cp-2: that".to_owned()]);
        assert_eq!(error.exit.code(), 4);
        let text = "\
error: this must not be begun now; nothing was changed
  - cp-1: this
  - cp-2: that
hint: see to the above, then run the same command again
";
        assert_eq!(error.text(), text);
    }
}
