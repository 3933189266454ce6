//! `quorate node`: lets nodes in. Who waits is in `nodes`, how one goes in `remove`, how one is spared in
//! `cordon`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use quorate_proto::{ENROL_PORT, NodeName, Secret};

use super::args::{lifetime, node_name};
pub use super::claim::ClaimArgs;
pub use super::cordon::CordonArgs;
pub use super::nodes::{ApproveArgs, ListArgs};
pub use super::remove::RemoveArgs;
use super::{CliError, Exit, load};
use crate::site::{Site, TokenTerms};
use crate::spec::{NodeSpec, Role};
use crate::store::Approval;

/// Lets nodes in, takes them out, and keeps pods off them
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    #[command(subcommand)]
    pub command: NodeCommand,
}

/// What can be done about a node.
#[derive(Debug, clap::Subcommand)]
pub enum NodeCommand {
    Token(TokenArgs),
    List(ListArgs),
    Approve(ApproveArgs),
    Claim(ClaimArgs),
    Remove(RemoveArgs),
    /// Keeps new pods off a node; those that run there stay
    Cordon(CordonArgs),
    /// Lets new pods come to a node again
    Uncordon(CordonArgs),
}

/// Makes a token with which one node can enrol once, and prints it on standard output
///
/// A node that is to be a control plane is let in only once you approve of it: see `quorate node
/// approve`. What is not known to be a worker or a load balancer counts as a control plane.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The node's name, as in the specification
    #[arg(value_parser = node_name)]
    pub name: NodeName,
    /// How long the token serves, 24h at most
    #[arg(long, default_value = "1h", value_parser = lifetime)]
    pub ttl: Duration,
    /// What the node is to be
    #[arg(long, value_enum, conflicts_with = "file")]
    pub role: Option<RoleArg>,
    /// Takes the node's role from this specification
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What lets the node in beside the token: the code that it shows, or nothing more
    ///
    /// By default a code for control planes, nothing more for others. `auto` is for whoever takes the
    /// token to the node himself.
    #[arg(long, value_enum)]
    pub approve: Option<ApproveArg>,
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    pub state: PathBuf,
}

/// A role on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RoleArg {
    ControlPlane,
    Worker,
    LoadBalancer,
}

/// A kind of approval on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ApproveArg {
    Code,
    Auto,
}

/// What to print of a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOutcome {
    /// For standard output, alone on its line.
    pub token: Secret,
    /// For standard error.
    pub hint: String,
}

impl TokenArgs {
    /// Makes the token. It is kept nowhere.
    pub fn run(&self, now: SystemTime) -> Result<TokenOutcome, CliError> {
        let terms = self.terms()?;
        let Self { name, ttl, state, .. } = self;
        let token = Site::open(state)?.issue_token(name, &terms, now)?;
        let replaces = if token.replaces {
            format!(
                "{name} is enrolled already: the token is for a machine that is set up anew, or \
                 whose identity was removed by `quorate-agent reset --identity`\n"
            )
        } else {
            String::new()
        };
        let approval = match terms.approval {
            Approval::Auto => String::new(),
            Approval::Code => format!(
                "it will show six words and wait until you run `quorate node approve {name} --code \
                 \"SIX WORDS\"` here\n"
            ),
        };
        let minutes = ttl.as_secs() / 60;
        let hint = format!(
            "{replaces}the token serves {name} once, for {minutes} min. With `quorate serve` \
             running here, run on {name} as root, and give it the token on standard input:\n\
             \x20 quorate-agent enrol --coordinator THIS-MACHINE:{ENROL_PORT} --token-file -\n\
             {approval}"
        );
        Ok(TokenOutcome { token: token.text, hint })
    }

    fn terms(&self) -> Result<TokenTerms, CliError> {
        let role = match (self.role, &self.file) {
            (Some(RoleArg::Worker), _) => Role::Worker,
            (Some(RoleArg::LoadBalancer), _) => Role::LoadBalancer,
            (None, Some(file)) => self.specified(file)?,
            (Some(RoleArg::ControlPlane), _) | (None, None) => Role::ControlPlane,
        };
        let approval = match (self.approve, role) {
            (Some(ApproveArg::Code), _) | (None, Role::ControlPlane) => Approval::Code,
            (Some(ApproveArg::Auto), _) | (None, Role::Worker | Role::LoadBalancer) => {
                Approval::Auto
            }
        };
        Ok(TokenTerms { role, approval, ttl: self.ttl })
    }

    /// The role in a specification that matters most: a control plane may balance the load too.
    fn specified(&self, file: &Path) -> Result<Role, CliError> {
        let loaded = load(file, "no token was made")?;
        let named = |node: &&NodeSpec| node.name == self.name;
        let node = loaded.spec.nodes.iter().find(named).ok_or_else(|| {
            let message = format!("{} has no node {}", file.display(), self.name);
            CliError::message(Exit::Usage, message)
                .hint("no token was made; check the name, or add the node to the specification")
        })?;
        let roles = [Role::ControlPlane, Role::Worker, Role::LoadBalancer];
        let role = roles.into_iter().find(|role| node.roles.contains(role));
        Ok(role.unwrap_or(Role::ControlPlane))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: TokenArgs,
    }

    fn parse(ttl: &str) -> Result<Duration, clap::Error> {
        Line::try_parse_from(["token", "cp-1", "--ttl", ttl]).map(|line| line.args.ttl)
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(parse("1h").unwrap(), Duration::from_hours(1));
        assert_eq!(parse("1h 30m").unwrap(), Duration::from_mins(90));
        for bad in ["", "1", "-1h", "soon"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_token_is_in_no_hint() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        Site::create(&state, now).unwrap();
        let name = NodeName::try_from("cp-1").unwrap();
        let ttl = Duration::from_hours(1);
        let args = TokenArgs { name, ttl, role: None, file: None, approve: None, state };
        let outcome = args.run(now).unwrap();
        assert!(outcome.token.expose().starts_with("qrt1_"));
        assert!(!format!("{outcome:?}").contains("qrt1_"));
        let forever = TokenArgs { ttl: Duration::from_hours(25), ..args };
        assert_eq!(forever.run(now).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn what_is_not_known_to_be_less_is_a_control_plane_and_waits_for_a_person() {
        use Approval::{Auto, Code};
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.yaml");
        std::fs::write(&file, crate::cli::SPEC).unwrap();
        let file = file.to_str().unwrap();
        let terms = |words: &[&str]| {
            let args = Line::try_parse_from([&["token", "cp-1"], words].concat()).unwrap().args;
            args.terms().map(|terms| (terms.role, terms.approval))
        };
        assert_eq!(terms(&[]).unwrap(), (Role::ControlPlane, Code));
        assert_eq!(terms(&["--role", "worker"]).unwrap(), (Role::Worker, Auto));
        assert_eq!(terms(&["--role", "load-balancer"]).unwrap(), (Role::LoadBalancer, Auto));
        assert_eq!(terms(&["--approve", "auto"]).unwrap(), (Role::ControlPlane, Auto));
        let strict = ["--role", "worker", "--approve", "code"];
        assert_eq!(terms(&strict).unwrap(), (Role::Worker, Code));
        assert_eq!(terms(&["-f", file]).unwrap(), (Role::ControlPlane, Code));
        let other = Line::try_parse_from(["token", "cp-9", "-f", file]).unwrap().args.terms();
        assert_eq!(other.unwrap_err().exit, Exit::Usage);
    }
}
