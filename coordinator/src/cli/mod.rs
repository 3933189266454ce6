//! The command line: one file a command. Commands ask, decide and hand over; `ui` prints.

mod apply;
mod args;
mod audit;
mod claim;
mod cordon;
mod error;
pub mod init;
mod kubeconfig;
pub mod node;
mod nodes;
mod operator;
mod plan;
mod procedure;
mod remove;
mod renew;
mod rotate;
mod runs;
pub mod serve;
mod site;
pub mod spec;
mod status;
mod trust;
mod verify;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Parser, Subcommand};
pub use error::{CliError, Exit};

use crate::fleet::TrustCalls;
use crate::session::{Paths, Session};
use crate::site::Site;
use crate::spec::{self as specification, Loaded};
use crate::ui::{self, Output};

/// Builds and operates highly available Kubernetes clusters with kubeadm
#[derive(Debug, Parser)]
#[command(name = "quorate", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Verify(verify::VerifyArgs),
    Status(status::StatusArgs),
    Runs(runs::RunsArgs),
    Audit(audit::AuditArgs),
    Kubeconfig(kubeconfig::KubeconfigArgs),
    Spec(spec::SpecArgs),
    Init(init::InitArgs),
    Node(node::NodeArgs),
    Operator(operator::OperatorArgs),
    Trust(trust::TrustArgs),
    Serve(serve::ServeArgs),
}

impl Cli {
    /// Runs the command that was given.
    pub async fn run(&self) -> Result<Exit, CliError> {
        match &self.command {
            Command::Plan(args) => args.run().await,
            Command::Apply(args) => args.run().await,
            Command::Verify(args) => args.run().await,
            Command::Status(args) => args.run().await,
            Command::Runs(args) => args.run(),
            Command::Audit(args) => args.run().await,
            Command::Kubeconfig(args) => args.run().await,
            Command::Spec(args) => Ok(spec(args)),
            Command::Init(args) => site::init(args),
            Command::Node(args) => site::node(args).await,
            Command::Operator(args) => args.run(),
            Command::Trust(args) => args.run().await,
            Command::Serve(args) => site::serve(args).await,
        }
    }
}

fn spec(args: &spec::SpecArgs) -> Exit {
    let answer = spec::run(args, ui::colours());
    if answer.valid {
        ui::print(&answer.text);
        return Exit::Holds;
    }
    ui::complain(&answer.text);
    Exit::Spec
}

/// The state folder, unless told otherwise.
const STATE: &str = "/var/lib/quorate";

/// What every command about a cluster takes.
#[derive(Debug, clap::Args)]
struct ClusterArgs {
    /// The specification
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = STATE, env = "QUORATE_STATE")]
    state: PathBuf,
    /// Credentials of `quorate operator issue`, where this machine does not have the site's folder
    ///
    /// Runs made with them are kept in the folder of --state, for this machine's own `quorate runs`.
    #[arg(long, value_name = "FILE", env = "QUORATE_CREDENTIALS")]
    credentials: Option<PathBuf>,
    /// How things are shown: a terminal's lines, plain lines, or JSON
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

impl ClusterArgs {
    /// Reads the specification and opens a session. Calls no node yet.
    fn open(&self) -> Result<Session, CliError> {
        let loaded = load(&self.file, "nothing was changed")?;
        Ok(Session::open(loaded, self.paths())?)
    }

    /// The site, for what only whoever has its folder may do.
    fn site(&self) -> Result<Site, CliError> {
        if self.credentials.is_some() {
            let message = "this needs the site's state folder, which signs and records";
            return Err(CliError::message(Exit::Failed, message)
                .hint("nobody was asked for anything; run it there, without --credentials"));
        }
        Ok(Site::open(&self.state)?)
    }

    /// The calls about trust to the nodes of the specification.
    fn trust_calls(&self, site: &Site) -> Result<TrustCalls, CliError> {
        let spec = load(&self.file, "no node was asked")?.spec;
        Ok(site.run_calls(&spec, SystemTime::now())?)
    }

    fn paths(&self) -> Paths {
        Paths { state: self.state.clone(), credentials: self.credentials.clone() }
    }
}

/// Says what the specification costs, where something is about to be built by it.
fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        ui::complain(&format!("{}\n", warning.render(ui::colours())));
    }
}

/// Reads a specification; `untouched` says what was not done where it cannot be used.
fn load(file: &Path, untouched: &str) -> Result<Loaded, CliError> {
    specification::load(file).map_err(|problems| {
        ui::complain(&problems.render(ui::colours()));
        CliError::message(Exit::Spec, format!("{} cannot be used as it is", file.display()))
            .hint(format!("{untouched}; see to the above and run the same command again"))
    })
}

/// The smallest specification, for tests of the commands.
#[cfg(test)]
pub(crate) const SPEC: &str = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  kubernetes: {version: v1.35.4}
  endpoint: {host: 10.0.0.11}
  network: {plugin: none}
  nodes:
  - {name: cp-1, address: 10.0.0.11, roles: [control-plane]}
";
