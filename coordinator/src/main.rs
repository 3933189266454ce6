//! The command line `quorate`: arguments, runtime, and the one place where errors are printed.

use std::process::ExitCode;

use clap::Parser as _;
use quorate::cli::{Cli, CliError, Exit};
use quorate::ui;

fn main() -> ExitCode {
    // Prints usage errors, help and version itself; clap's code for usage is ours too.
    let cli = Cli::parse();
    // One thread follows the nodes, one serves signals and the terminal meanwhile.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(cli.run());
            // After a second Ctrl-C calls are still open: nobody waits for them.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(CliError::new(Exit::Bug, &error)
            .hint("quorate could not start a thread; see `ulimit -u` and free memory")),
    };
    let exit = result.unwrap_or_else(|error| {
        ui::complain(&error.text());
        error.exit
    });
    ExitCode::from(exit.code())
}
