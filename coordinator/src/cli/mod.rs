//! The command line: one file a command. Commands ask, decide and hand over; `ui` prints.

mod apply;
mod args;
mod audit;
mod claim;
mod error;
pub mod init;
mod kubeconfig;
pub mod node;
mod nodes;
mod operator;
mod plan;
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
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use clap::{Parser, Subcommand};
pub use error::{CliError, Exit};
use quorate_proto::NodeName;
use quorate_proto::trust::Role;

use crate::driver::{Drawn, draw_up, survey};
use crate::fleet::{Anchored, Fleet, FleetError, GrpcFleet, Pushed, TrustCalls};
use crate::plan::{Blocked, Procedure};
use crate::site::{
    NodeCall, OperatorCredentials, Renewed, Site, SiteError, own_history, renew_all,
};
use crate::spec::{self as specification, ClusterSpec, Loaded, Role as NodeRole};
use crate::store::{Store, TokenRecord, role_text};
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

/// A cluster that commands can speak to.
struct OpenCluster {
    loaded: Loaded,
    /// The site's records; `None` where somebody works with credentials alone.
    store: Option<Store>,
    fleet: Arc<dyn Fleet>,
    operator: OperatorCredentials,
    /// Where the site is here.
    trust: Option<SiteTrust>,
}

/// What a command that gives orders tells the nodes before.
struct SiteTrust {
    site: Arc<Site>,
    calls: TrustCalls,
    generation: u64,
    bundle: String,
}

impl OpenCluster {
    /// Looks at all nodes, claiming none, and works out what is left of a procedure.
    async fn draw_up(&self, procedure: &Procedure) -> Result<Drawn, CliError> {
        let Self { loaded, fleet, .. } = self;
        if *procedure == Procedure::BringUp {
            self.judge_roles()?;
        }
        let seen = survey(fleet, &loaded.spec, None).await;
        let drawn = draw_up(fleet, &loaded.spec, procedure, seen).await;
        drawn.map_err(|reasons| plan::blocked(&reasons))
    }

    /// Gives the nodes that answer the newest trust bundle, and a new certificate where a third of theirs
    /// is over. What fails is said: the run needs neither.
    async fn keep_trust(&self) {
        let Some(SiteTrust { site, calls, generation, bundle }) = &self.trust else { return };
        let pushed = calls.push(*generation, bundle).await;
        let trouble = |(_, answer): &(NodeName, Result<Pushed, FleetError>)| match answer {
            Ok(Pushed::Ahead(_)) | Err(FleetError::Refused { .. }) => true,
            Ok(_) | Err(_) => false,
        };
        let answering = pushed.iter().filter(|(_, answer)| answer.is_ok());
        let answering = answering.map(|(node, _)| node.clone()).collect();
        let trouble: Vec<_> = pushed.into_iter().filter(trouble).collect();
        ui::complain(&ui::trust_text::pushed(*generation, &trouble));
        let now = SystemTime::now();
        let mut renewed = renew_all(site, calls, answering, NodeCall::WhenDue, now).await;
        renewed.retain(|(_, answer)| !matches!(answer, Ok(Renewed::NotDue(_))));
        ui::complain(&ui::trust_text::renewed(&renewed));
    }

    /// Refuses what the role does not allow, before a node has to.
    fn needs(&self, least: Role) -> Result<(), CliError> {
        let OperatorCredentials { name, role, .. } = &self.operator;
        if *role >= least {
            return Ok(());
        }
        let message = format!(
            "this takes the role {least}, and the credentials of {name} are {}'s",
            role.with_article()
        );
        Err(CliError::message(Exit::Failed, message).hint(format!(
            "nobody was asked for anything; whoever has the site's state folder gives the role: \
             `quorate operator issue {name} --role {least} --out FILE`"
        )))
    }

    /// Whoever wrote the specification does not make a control plane of a node that no person let in as
    /// one. Without the site's records nobody here knows how nodes came in.
    fn judge_roles(&self) -> Result<(), CliError> {
        let Some(store) = &self.store else { return Ok(()) };
        let spent = store.spent_tokens().map_err(SiteError::Store)?;
        let reasons = let_in_as_less(&self.loaded.spec, &spent);
        if reasons.is_empty() { Ok(()) } else { Err(plan::blocked(&reasons)) }
    }

    /// Says what the specification costs, where something is about to be built by it.
    fn warn(&self) {
        for warning in &self.loaded.warnings {
            ui::complain(&format!("{}\n", warning.render(ui::colours())));
        }
    }
}

impl ClusterArgs {
    /// Reads the specification, opens the state folder and prepares the fleet. Calls nobody yet.
    fn open(&self) -> Result<OpenCluster, CliError> {
        let loaded = load(&self.file, "nothing was changed")?;
        Ok(self.fleet(loaded)?)
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

    fn fleet(&self, loaded: Loaded) -> Result<OpenCluster, SiteError> {
        let now = SystemTime::now();
        let (operator, site) = match &self.credentials {
            Some(path) => (OperatorCredentials::read(path, now)?, None),
            None => {
                let site = Site::open(&self.state)?;
                (site.run_credentials(now)?, Some(site))
            }
        };
        let site = site.map(Arc::new);
        let known = site.as_deref().map(Site::known_keys).transpose()?.unwrap_or_default();
        let credentials = Arc::new(ArcSwap::from_pointee(operator.credentials.clone()));
        let (spec, id) = (&loaded.spec, &operator.identity.site);
        let fleet = GrpcFleet::knowing(spec, id, &credentials, &known);
        let fleet = fleet.map_err(SiteError::Trust)?;
        let fleet: Arc<dyn Fleet> = match self.anchors()? {
            Some(anchors) => Arc::new(Anchored::new(fleet, anchors)),
            None => Arc::new(fleet),
        };
        let store = site.as_deref().map(Site::store).transpose()?;
        let trust = |site: Arc<Site>| {
            let (bundle, signed) = site.bundle()?;
            let calls =
                TrustCalls::new(spec, id, &credentials, &known).map_err(SiteError::Trust)?;
            let (generation, bundle) = (bundle.generation, signed.to_json());
            Ok(SiteTrust { site, calls, generation, bundle })
        };
        let trust = site.map(trust).transpose()?;
        Ok(OpenCluster { loaded, store, fleet, operator, trust })
    }

    /// Where a run is recorded: with the site, which [`Self::open`] has found whole, or on a machine
    /// without it in a folder of its own.
    fn history(&self) -> Result<Store, SiteError> {
        if self.credentials.is_none() {
            return Store::open(&self.state).map_err(SiteError::Store);
        }
        own_history(&self.state)
    }

    /// Where it is kept what was seen of the nodes' audit logs: with the runs. A machine without any
    /// gets no folder for a mere look.
    fn anchors(&self) -> Result<Option<Store>, SiteError> {
        if self.credentials.is_some() && !Store::exists(&self.state) {
            return Ok(None);
        }
        self.history().map(Some)
    }
}

/// Control planes of the specification whose tokens said otherwise.
fn let_in_as_less(spec: &ClusterSpec, spent: &[TokenRecord]) -> Vec<String> {
    let is_control_plane = |token: &&TokenRecord| {
        let named = spec.nodes.iter().find(|node| node.name == token.node);
        named.is_some_and(|node| node.roles.contains(&NodeRole::ControlPlane))
    };
    let less = spent.iter().filter(|token| token.role != NodeRole::ControlPlane);
    let blocked = less.filter(is_control_plane).flat_map(|token| {
        Blocked::LetInAsLess { node: token.node.clone(), said: role_text(token.role) }.reasons()
    });
    blocked.collect()
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
const SPEC: &str = "\
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
