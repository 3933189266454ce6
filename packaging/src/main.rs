//! Writes what the packages hold beside the programs, into the folder given: man pages and shell
//! completions, made from the command lines themselves. What goes where is in `*.nfpm.yaml`.

mod program;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use program::PROGRAMS;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        writeln!(std::io::stderr(), "usage: quorate-packaging FOLDER").ok();
        return ExitCode::from(2);
    };
    for program in PROGRAMS {
        if let Err(error) = program.write(&folder) {
            let folder = folder.display();
            writeln!(std::io::stderr(), "writing into {folder}: {error}").ok();
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod first_boot;
#[cfg(test)]
mod tests;
