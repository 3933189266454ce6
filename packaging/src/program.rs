//! A program as its pages and completions need it: its command line, the section of its pages, and
//! what a command line does not say.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

/// What the packages install.
pub(crate) const PROGRAMS: &[Program] = &[
    Program {
        command: quorate::cli::Cli::command,
        section: "1",
        manual: "quorate",
        rest: include_str!("../man/quorate.roff"),
    },
    Program {
        command: quorate_agent::cli::Cli::command,
        section: "8",
        manual: "quorate",
        rest: include_str!("../man/quorate-agent.roff"),
    },
];

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

pub(crate) struct Program {
    pub(crate) command: fn() -> Command,
    section: &'static str,
    manual: &'static str,
    /// Further sections of the first page, as roff.
    rest: &'static str,
}

impl Program {
    /// Writes a page for each command, and completions for each shell.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let pages = folder.join("man");
        fs::create_dir_all(&pages)?;
        let mut command = (self.command)().disable_help_subcommand(true);
        command.build();
        self.pages(&command, &pages)?;
        let page = pages.join(format!("{}.{}", command.get_name(), self.section));
        File::options().append(true).open(page)?.write_all(self.rest.as_bytes())?;

        let completions = folder.join("completions");
        fs::create_dir_all(&completions)?;
        for shell in SHELLS {
            let mut command = (self.command)();
            let name = command.get_name().to_owned();
            generate_to(shell, &mut command, name, &completions)?;
        }
        Ok(())
    }

    /// The pages of a command and of those below it.
    fn pages(&self, command: &Command, folder: &Path) -> io::Result<()> {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            self.pages(below, folder)?;
        }
        let version = env!("CARGO_PKG_VERSION");
        Man::new(command.clone())
            .section(self.section)
            .source(format!("quorate {version}"))
            .manual(self.manual)
            .generate_to(folder)?;
        Ok(())
    }
}
