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
    use super::*;

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
