//! `quorate trust rotate`: new roots for a site that works.

use std::collections::BTreeMap;
use std::time::SystemTime;

use quorate_proto::NodeName;
use tokio::time::Instant;

use super::args::{RootKeysArgs, node_name};
use super::{CliError, ClusterArgs, Exit, load};
use crate::session::rotate;
use crate::site::{Phase, Rotation};
use crate::ui::{self, Output};

/// Changes both roots, while everything works: the old ones are trusted until --retire
///
/// Every step waits for all nodes. Run it again once those that it names answer, or if it was cut off.
#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// Lets the old roots go, once every node works with the new ones. There is no way back
    #[arg(long)]
    retire: bool,
    /// Says where the change stands and who is waited for, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// A node that is not waited for; it has to be enrolled anew. May be given several times
    #[arg(long, value_name = "NODE", value_parser = node_name)]
    without: Vec<NodeName>,
    #[command(flatten)]
    keys: RootKeysArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl RotateArgs {
    /// Blocked where nodes are waited for.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let began = Instant::now();
        self.cluster.site()?;
        let loaded = load(&self.cluster.file, "no root was changed")?;
        let without = self.without.iter().cloned().collect();
        let rotation = Rotation {
            state: &self.cluster.state,
            spec: &loaded.spec,
            root_keys: self.keys.root_keys.as_deref(),
            without: &without,
            retire: self.retire,
        };
        let output = self.cluster.output;
        if !self.dry_run {
            let outcome = rotate(&rotation, &loaded, began, output.view(false)).await?;
            return Ok(Exit::of(&outcome));
        }
        let (phase, late) = rotation.look(SystemTime::now()).await?;
        if output == Output::Json {
            ui::print(&ui::json::rotation(phase, &late));
        } else {
            ui::print(&format!("{}\nnext: {}\n", stands(phase), next(phase)));
            if !late.is_empty() {
                ui::print(&format!("these nodes would be waited for\n{}", names(&late)));
            }
        }
        Ok(if late.is_empty() { Exit::Holds } else { Exit::Blocked })
    }
}

fn stands(phase: Phase) -> &'static str {
    match phase {
        Phase::Standby => "no roots change",
        Phase::Announced => "new roots are made, and nodes are told of them; the old ones sign",
        Phase::InUse => "the new roots sign; the old ones are still trusted",
    }
}

fn next(phase: Phase) -> &'static str {
    match phase {
        Phase::Standby => "new roots are made; join tokens stay good until all nodes know of them",
        Phase::Announced => {
            "once all nodes know them the new roots sign: join tokens of before are void, and every node \
             gets a new certificate"
        }
        Phase::InUse => {
            "once every node works with them, `quorate trust rotate --retire` lets the old roots go; \
             issue credentials for other machines anew before"
        }
    }
}

fn names(late: &BTreeMap<NodeName, String>) -> String {
    late.iter().map(|(node, why)| format!("  {node}: {why}\n")).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use quorate_proto::RunId;

    use super::*;
    use crate::cli::{Cli, SPEC};
    use crate::driver::{LockHolder, RunLock, now_ms};
    use crate::site::Site;

    #[tokio::test]
    async fn roots_are_not_changed_beside_a_run_or_by_a_bad_specification() {
        let folder = tempfile::tempdir().unwrap();
        let (file, state) = (folder.path().join("cluster.yaml"), folder.path().join("state"));
        let site = Site::create(&state, SystemTime::now()).unwrap();
        let words = ["quorate", "trust", "rotate", "-f"].map(Into::into);
        let tail = [file.clone().into(), "--state".into(), state.clone().into()];
        let words: Vec<std::ffi::OsString> = words.into_iter().chain(tail).collect();
        let cli = Cli::try_parse_from(words).unwrap();
        std::fs::write(&file, "spec: [").unwrap();
        assert_eq!(cli.run().await.unwrap_err().exit, Exit::Spec);
        std::fs::write(&file, SPEC).unwrap();
        let holder = LockHolder { pid: 1, run: RunId("run-1".to_owned()), since_ms: now_ms() };
        let _lock = RunLock::take(&state, &holder).unwrap();
        assert_eq!(cli.run().await.unwrap_err().exit, Exit::Blocked);
        assert_eq!(
            (site.phase().unwrap(), site.bundle().unwrap().0.generation),
            (Phase::Standby, 1)
        );
    }
}
