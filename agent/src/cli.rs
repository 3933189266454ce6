//! The command line. What each command does is in `main`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::settings;

/// Names standard input where a file is asked for.
pub const STDIN: &str = "-";

/// Prepares this node for Kubernetes, on the orders of `quorate`.
#[derive(Debug, Parser)]
#[command(name = "quorate-agent", version, arg_required_else_help = true)]
pub struct Cli {
    /// The agent's settings; defaults hold where the usual file does not exist
    #[arg(long, global = true, value_name = "FILE", default_value = settings::PATH, value_parser = file)]
    pub settings: String,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take orders from the network until stopped; systemd runs this, as the user quorate-agent
    Serve,
    /// Carry out what `serve` was ordered; systemd runs this, as root
    Execute,
    /// Get this node's certificate from the coordinator, with a join token
    ///
    /// The token comes from `quorate node token NAME`. It is never an argument: arguments are seen
    /// by every user of the machine.
    ///
    /// Where the coordinator lets nobody in without a person's approval, a code of six words is shown
    /// here, and the command waits until somebody has compared it there. Whatever interrupts it, the
    /// same command with the same token goes on with the same key.
    Enrol(EnrolArgs),
    /// Take this node's identity away, so that it can enrol again
    Reset {
        /// Removes key, certificate and roots; what this node is in its cluster stays as it is
        #[arg(long, required = true)]
        identity: bool,
    },
    /// Read the settings and show what holds
    CheckConfig,
}

/// What enrolment is told.
#[derive(Debug, clap::Args)]
pub struct EnrolArgs {
    /// Where `quorate serve` listens, such as 10.0.0.1:7444; several are tried in turn
    ///
    /// Without it, enrol.coordinators of the settings holds.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub coordinator: Vec<String>,
    /// Waits here for `quorate node claim`, where this node cannot reach the coordinator
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["coordinator", "wait"])]
    pub listen: Option<SocketAddr>,
    /// The file that holds the token, removed once it has served; `-` reads standard input
    ///
    /// A regular file that only its owner can read.
    #[arg(long, value_name = "FILE", default_value = STDIN, value_parser = file)]
    pub token_file: String,
    /// How long to wait for approval, such as 90s, 30m or 24h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = wait)]
    pub wait: Duration,
}

/// A file from where the command was given: the host reads from the root.
fn file(text: &str) -> Result<String, String> {
    if text == STDIN {
        return Ok(text.to_owned());
    }
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    path.to_str().map(str::to_owned).ok_or_else(|| format!("{} is not UTF-8", path.display()))
}

fn wait(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let parts = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let number = parts.and_then(|(number, seconds)| number.parse::<u32>().ok().zip(Some(seconds)));
    let wrong = || "a time is a number and s, m or h, such as 30m".to_owned();
    number
        .map(|(number, seconds)| Duration::from_secs(u64::from(number) * seconds))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_a_number_and_a_unit() {
        assert_eq!(wait("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(wait("30m"), Ok(Duration::from_mins(30)));
        assert_eq!(wait("24h"), Ok(Duration::from_hours(24)));
        for wrong in ["", "h", "1", "-1h", "1.5h", "soon", "99999999999h"] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_named_from_where_the_command_is_given() {
        let here = std::env::current_dir().unwrap();
        let given = |file| ["quorate-agent", "--settings", file, "enrol", "--token-file", file];
        for (file, meant) in [("token", here.join("token")), ("/run/token", "/run/token".into())] {
            let cli = Cli::try_parse_from(given(file)).unwrap();
            let Command::Enrol(args) = cli.command else { panic!("it is enrol") };
            assert_eq!(PathBuf::from(cli.settings), meant);
            assert_eq!(PathBuf::from(args.token_file), meant);
        }
        assert_eq!(file(STDIN), Ok(STDIN.to_owned()));
    }

    #[test]
    fn an_identity_is_not_reset_by_a_slip() {
        assert!(Cli::try_parse_from(["quorate-agent", "reset"]).is_err());
        assert!(Cli::try_parse_from(["quorate-agent", "reset", "--identity"]).is_ok());
    }

    #[test]
    fn a_token_cannot_be_an_argument() {
        let enrol = ["quorate-agent", "enrol", "--coordinator", "10.0.0.1:7444"];
        assert!(Cli::try_parse_from(enrol).is_ok());
        for extra in [["--token", "qrt1_x"].as_slice(), &["qrt1_x"]] {
            assert!(Cli::try_parse_from(enrol.iter().chain(extra)).is_err());
        }
    }
}
