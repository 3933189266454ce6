//! `quorate verify`: whether everything that the specification asks for holds. Changes nothing.

use super::{CliError, ClusterArgs, Exit};
use crate::driver::{Checked, SETTLING, settled};
use crate::plan::{Findings, Observed, Outline};
use crate::ui::{self, Output, drift_text};

/// Checks everything that the specification asks for, and names each difference
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl VerifyArgs {
    /// Exit code 0 if all holds, 1 where there is drift, or a node that cannot tell.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let cluster = self.cluster.open()?;
        let spec = &cluster.loaded.spec;
        let (outline, findings, observed) = match settled(&cluster.fleet, spec, tell_wait).await {
            Ok(checked) => checked,
            // What stands against a plan is drift too: say it, with the nodes that are down.
            Err((observed, reasons)) => {
                ui::print(&drift_text::silent(&observed));
                let error = CliError::message(Exit::Failed, "the cluster is not as specified");
                return Err(error
                    .reasons(reasons)
                    .hint("see to the above, then run `quorate verify` again"));
            }
        };
        let holds = holds(&outline, &findings, &observed);
        if self.cluster.output == Output::Json {
            ui::print(&ui::json::verdict(holds, &outline, &findings, &observed));
        } else {
            ui::print(&drift_text::text(spec, &outline, &findings, &observed));
        }
        Ok(if holds { Exit::Holds } else { Exit::Failed })
    }
}

fn holds(outline: &Outline, findings: &Findings, observed: &Observed) -> bool {
    observed.silent().next().is_none()
        && observed.unspecified().next().is_none()
        && outline.differing(findings).next().is_none()
}

fn tell_wait((outline, findings, _): &Checked) {
    let differing = outline.differing(findings);
    let doing: Vec<String> = differing.map(|(step, _)| step.goal.doing()).collect();
    ui::complain(&format!("{} (up to {} s)\n", doing.join("; "), SETTLING.as_secs()));
}
