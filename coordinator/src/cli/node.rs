//! `quorate node`: lets nodes in. How one goes is in `remove`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use quorate_proto::{ENROL_PORT, NameError, NodeName, Secret};

pub use super::remove::RemoveArgs;
use crate::site::{Site, SiteError};

/// Lets nodes in, and takes them out
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    #[command(subcommand)]
    pub command: NodeCommand,
}

/// What can be done about a node.
#[derive(Debug, clap::Subcommand)]
pub enum NodeCommand {
    Token(TokenArgs),
    Remove(RemoveArgs),
}

/// Makes a token with which one node can enrol once, and prints it on standard output
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The node's name, as in the specification
    #[arg(value_parser = node_name)]
    pub name: NodeName,
    /// How long the token serves, 24h at most
    #[arg(long, default_value = "1h", value_parser = lifetime)]
    pub ttl: Duration,
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    pub state: PathBuf,
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
    pub fn run(&self, now: SystemTime) -> Result<TokenOutcome, SiteError> {
        let Self { name, ttl, state } = self;
        let token = Site::open(state)?.issue_token(name, *ttl, now)?;
        let replaces = if token.replaces {
            format!(
                "{name} is enrolled already: the token is for a machine that is set up anew, or \
                 whose identity was removed by hand\n"
            )
        } else {
            String::new()
        };
        let minutes = ttl.as_secs() / 60;
        let hint = format!(
            "{replaces}the token serves {name} once, for {minutes} min. With `quorate serve` \
             running here, run on {name} as root, and give it the token on standard input:\n\
             \x20 quorate-agent enrol --coordinator THIS-MACHINE:{ENROL_PORT} --token-file -\n"
        );
        Ok(TokenOutcome { token: token.text, hint })
    }
}

/// A node's name on the command line.
pub(super) fn node_name(text: &str) -> Result<NodeName, NameError> {
    text.try_into()
}

/// A time that a token or credentials are to live.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>();
    let parsed = parsed.map_err(|error| error.to_string())?;
    parsed.try_into().map_err(|_negative: jiff::Error| "a life is longer than nothing".to_owned())
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
        let args = TokenArgs { name, ttl: Duration::from_hours(1), state };
        let outcome = args.run(now).unwrap();
        assert!(outcome.token.expose().starts_with("qrt1_"));
        assert!(!format!("{outcome:?}").contains("qrt1_"));
        let forever = TokenArgs { ttl: Duration::from_hours(25), ..args };
        assert!(matches!(forever.run(now), Err(SiteError::Ttl(_))));
    }
}
