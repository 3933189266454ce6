//! `quorate operator`: lets people in who do not have the state folder.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use quorate_proto::trust::{NoSuchRole, OperatorName, Role};

use super::args::{lifetime, operator_name};
use super::{CliError, Exit};
use crate::site::{Site, SiteError};
use crate::ui;

/// Lets people work with the cluster who do not have the state folder
#[derive(Debug, clap::Args)]
pub(super) struct OperatorArgs {
    #[command(subcommand)]
    command: OperatorCommand,
}

#[derive(Debug, clap::Subcommand)]
enum OperatorCommand {
    Issue(IssueArgs),
}

/// Writes credentials with which a person can work on another machine, with --credentials FILE
///
/// A viewer can use `status`, `verify` and `plan`; an operator `apply` as well; an admin also
/// `kubeconfig`. The state folder itself acts as an admin and needs no such file.
#[derive(Debug, clap::Args)]
struct IssueArgs {
    /// Who will hold them, for records
    #[arg(value_parser = operator_name)]
    name: OperatorName,
    /// What they allow: viewer, operator or admin
    #[arg(long, value_parser = role)]
    role: Role,
    /// How long they serve, 24h at most
    #[arg(long = "for", value_name = "TIME", default_value = "8h", value_parser = lifetime)]
    lifetime: Duration,
    /// The file to write, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    state: PathBuf,
}

impl OperatorArgs {
    pub(super) fn run(&self) -> Result<Exit, CliError> {
        let OperatorCommand::Issue(issue) = &self.command;
        let told = issue.run(SystemTime::now())?;
        ui::complain(&told);
        Ok(Exit::Holds)
    }
}

impl IssueArgs {
    /// Gives what to tell the person.
    fn run(&self, now: SystemTime) -> Result<String, SiteError> {
        let Self { name, role, lifetime, out, state } = self;
        let issued = Site::open(state)?.issue_operator(name, *role, *lifetime, now)?;
        issued.write(out)?;
        let file = out.display();
        Ok(format!(
            "{name} is {held} for {} min with {file}; the file holds a key: hand it over \
             where nobody else can read it\n\
             next, on {name}'s machine: quorate status --credentials {file}\n",
            lifetime.as_secs() / 60,
            held = role.with_article(),
        ))
    }
}

fn role(text: &str) -> Result<Role, NoSuchRole> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, SPEC};

    fn words(folder: &Path, command: &[&str], more: &[&str]) -> Vec<String> {
        let (spec, file) = (folder.join("cluster.yaml"), folder.join("alice.json"));
        std::fs::write(&spec, SPEC).unwrap();
        let mut words = vec!["quorate".to_owned()];
        words.extend(command.iter().copied().map(str::to_owned));
        words.extend(["-f".to_owned(), spec.display().to_string()]);
        words.extend(["--credentials".to_owned(), file.display().to_string()]);
        words.extend(["--state".to_owned(), folder.join("own").display().to_string()]);
        words.extend(more.iter().copied().map(str::to_owned));
        words
    }

    fn issue(folder: &Path, role: Role) {
        let state = folder.join("state");
        let site = Site::open(&state).or_else(|_| Site::create(&state, SystemTime::now())).unwrap();
        let alice = OperatorName::try_from("alice").unwrap();
        let lifetime = Duration::from_hours(1);
        let issued = site.issue_operator(&alice, role, lifetime, SystemTime::now()).unwrap();
        issued.write(&folder.join("alice.json")).unwrap();
    }

    async fn refused(folder: &Path, command: &[&str], more: &[&str]) -> String {
        let cli = Cli::try_parse_from(words(folder, command, more)).unwrap();
        cli.run().await.unwrap_err().text()
    }

    #[tokio::test]
    async fn what_the_role_does_not_allow_is_said_before_anybody_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        issue(folder, Role::Viewer);
        let text = refused(folder, &["apply"], &[]).await;
        assert!(
            text.starts_with(
                "error: this takes the role operator, and the credentials of alice are a viewer's"
            ),
            "{text}"
        );
        assert!(text.contains("operator issue alice --role operator --out FILE`"), "{text}");
        issue(folder, Role::Operator);
        let text = refused(folder, &["kubeconfig"], &[]).await;
        assert!(text.starts_with("error: this takes the role admin"), "{text}");
    }

    #[tokio::test]
    async fn what_needs_the_sites_records_says_so() {
        let folder = tempfile::tempdir().unwrap();
        issue(folder.path(), Role::Admin);
        let text = refused(folder.path(), &["node", "remove", "cp-9"], &[]).await;
        assert!(text.contains("needs the site's state folder"), "{text}");
    }

    #[test]
    fn issuing_says_who_may_do_what_and_for_how_long() {
        let folder = tempfile::tempdir().unwrap();
        let (state, out) = (folder.path().join("state"), folder.path().join("bob.json"));
        Site::create(&state, SystemTime::now()).unwrap();
        let args = IssueArgs {
            name: operator_name("bob").unwrap(),
            role: Role::Admin,
            lifetime: Duration::from_hours(8),
            out,
            state,
        };
        let told = args.run(SystemTime::now()).unwrap();
        assert!(told.starts_with("bob is an admin for 480 min with "), "{told}");
    }
}
