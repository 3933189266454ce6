//! The command line. What each command does is in `main`.

use clap::{Parser, Subcommand};

use crate::settings;

/// Prepares this node for Kubernetes, on the orders of `quorate`.
#[derive(Debug, Parser)]
#[command(name = "quorate-agent", version, arg_required_else_help = true)]
pub struct Cli {
    /// The agent's settings; without this file, defaults hold
    #[arg(long, global = true, value_name = "FILE", default_value = settings::PATH)]
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
    Enrol {
        /// Where `quorate serve` listens, such as 10.0.0.1:7444
        #[arg(long, value_name = "ADDRESS:PORT")]
        coordinator: String,
        /// The file that holds the token, removed once it has served; `-` reads standard input
        #[arg(long, value_name = "FILE", default_value = "-")]
        token_file: String,
    },
    /// Read the settings and show what holds
    CheckConfig,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
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
