//! The daemon `quorate-agent`: arguments, settings, runtime, exit code.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use quorate_agent::cli::{Cli, Command};
use quorate_agent::enrol::{self, EnrolError, Enrolment};
use quorate_agent::host::Host;
use quorate_agent::host::linux::LinuxHost;
use quorate_agent::identity::NodeIdentity;
use quorate_agent::serve::{self, ServeError};
use quorate_agent::settings::{LogLevel, Settings, SettingsError};
use quorate_proto::trust::JoinToken;
use quorate_proto::{Secret, in_one_line, redact};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// As sysexits.h numbers them; systemd does not start the agent again after either.
const EX_USAGE: u8 = 64;
const EX_CONFIG: u8 = 78;

/// Why a command failed, as the exit code needs to know it.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error("reading the join token from standard input")]
    Stdin(#[source] std::io::Error),
    #[error("starting the runtime")]
    Runtime(#[source] std::io::Error),
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(SettingsError::Read { .. }) => 1,
            Self::Settings(_)
            | Self::Serve(ServeError::NotEnrolled { .. } | ServeError::Identity(_)) => EX_CONFIG,
            Self::Serve(_) | Self::Enrol(_) | Self::Stdin(_) | Self::Runtime(_) => 1,
        }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where even the message cannot be written, the status is all that is left to say it.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "quorate-agent: {}", in_one_line(&error)).ok();
            ExitCode::from(error.exit_code())
        }
    }
}

/// For files: one may be at a large archive's digest while another reads what a check asks.
const FILE_THREADS: usize = 2;

/// One thread for the work: an agent waits nearly all of its time.
fn run(cli: &Cli) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(FILE_THREADS)
        .enable_all()
        .build();
    runtime.map_err(CommandError::Runtime)?.block_on(command(cli))
}

async fn command(cli: &Cli) -> Result<(), CommandError> {
    let host: Arc<dyn Host> = Arc::new(LinuxHost::new());
    let settings = Settings::load(&*host, &cli.settings).await?;
    match &cli.command {
        Command::Serve => {
            log(settings.log_level);
            Ok(serve::serve(&settings, host).await?)
        }
        Command::Enrol { coordinator, token_file } => {
            log(settings.log_level);
            let token = token(&*host, token_file).await?;
            let folder = &settings.identity_folder;
            let file = Some(token_file.as_str()).filter(|file| *file != STDIN);
            let enrolment = Enrolment { coordinator, token: &token, token_file: file, folder };
            let NodeIdentity { node, .. } = enrol::enrol(&*host, &enrolment).await?;
            say(&format!("enrolled as {node}; next: systemctl enable --now quorate-agent\n"));
            Ok(())
        }
        Command::CheckConfig => {
            say(&settings.to_string());
            Ok(())
        }
    }
}

/// Names standard input where a file is asked for.
const STDIN: &str = "-";

async fn token(host: &dyn Host, file: &str) -> Result<JoinToken, CommandError> {
    if file != STDIN {
        return Ok(enrol::read_token(host, file).await?);
    }
    let mut text = String::new();
    std::io::stdin().read_line(&mut text).map_err(CommandError::Stdin)?;
    Ok(Secret::new(text).expose().trim().parse().map_err(EnrolError::Token)?)
}

/// To standard error, where the journal adds the time. Libraries speak of trouble alone.
fn log(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let ours = ["quorate_agent", "quorate_proto"].map(|name| (name, level));
    let filter = Targets::new().with_targets(ours).with_default(level.min(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| redact::Log(std::io::stderr()))
        .with_ansi(false)
        .without_time()
        .with_target(false);
    tracing_subscriber::registry().with(lines).with(filter).init();
}

fn say(text: &str) {
    // A reader that is gone has what it wanted.
    std::io::stdout().write_all(text.as_bytes()).ok();
}
