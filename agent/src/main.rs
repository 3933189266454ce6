//! The program `quorate-agent`: arguments, settings, runtime, exit code.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use quorate_agent::cli::{Cli, Command, EnrolArgs, STDIN};
use quorate_agent::enrol::{self, EnrolError, Enrolment, Remedy, settle, unclaimed};
use quorate_agent::execute::{self, ExecuteError};
use quorate_agent::executor;
use quorate_agent::host::Host;
use quorate_agent::host::linux::LinuxHost;
use quorate_agent::host::linux::user::{self, UserError};
use quorate_agent::identity::{self, NodeIdentity, NodeIdentityError};
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
/// The same command may do later; systemd tries the enrolment of a first boot again.
const EX_TEMPFAIL: u8 = 75;
/// Of `enrol` alone, for scripts.
const TOKEN_IS_NO_GOOD: u8 = 2;
const NOT_OUR_COORDINATOR: u8 = 3;
const REFUSED: u8 = 4;
const ENROLLED_ALREADY: u8 = 5;

/// Why a command failed, as the exit code needs to know it.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error(transparent)]
    Reset(NodeIdentityError),
    #[error("leaving the identity to the user of the agent")]
    User(#[from] UserError),
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
            | Self::Serve(ServeError::NotEnrolled { .. } | ServeError::Identity(_))
            | Self::Execute(ExecuteError::Socket(_) | ExecuteError::Admission(_)) => EX_CONFIG,
            Self::Enrol(error) => match error.remedy() {
                Remedy::Token => TOKEN_IS_NO_GOOD,
                Remedy::Stranger => NOT_OUR_COORDINATOR,
                Remedy::NewToken => REFUSED,
                Remedy::Reset => ENROLLED_ALREADY,
                Remedy::Again => EX_TEMPFAIL,
                Remedy::Usage => EX_USAGE,
                Remedy::Machine => 1,
            },
            Self::Serve(_)
            | Self::Execute(_)
            | Self::Reset(_)
            | Self::User(_)
            | Self::Stdin(_)
            | Self::Runtime(_) => 1,
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
        Command::Execute => {
            log(settings.log_level);
            Ok(execute::execute(&settings, host).await?)
        }
        Command::Enrol(args) => {
            log(settings.log_level);
            enrol(&*host, &settings, args).await
        }
        Command::Reset { .. } => {
            let folder = &settings.identity_folder;
            let removed = identity::remove(&*host, folder).await.map_err(CommandError::Reset)?;
            host.remove(settle::MARKER).await.ok();
            say(if removed {
                "this node has no identity any more; next: systemctl stop quorate-agent, and \
                 quorate-agent enrol with a new token\n"
            } else {
                "this node had no identity\n"
            });
            Ok(())
        }
        Command::CheckConfig => {
            say(&settings.to_string());
            Ok(())
        }
    }
}

/// Trades the token for an identity, and sees to it that the token is left nowhere.
async fn enrol(host: &dyn Host, settings: &Settings, args: &EnrolArgs) -> Result<(), CommandError> {
    let token = token(host, &args.token_file).await?;
    let folder = &settings.identity_folder;
    let tell = |text: &str| say(&format!("{text}\n"));
    // The identity is the front end's, and so is its folder: root does not write there.
    user::act_as(executor::USER)?;
    let obtained = if let Some(address) = args.listen {
        let listener = unclaimed::listen(address).await?;
        unclaimed::wait(host, listener, &token, folder, &tell).await
    } else {
        let given = !args.coordinator.is_empty();
        let coordinators = if given { &args.coordinator } else { &settings.enrol.coordinators };
        let (wait, token) = (args.wait, &token);
        let enrolment = Enrolment { coordinators, token, folder, wait, tell: &tell };
        enrol::enrol(host, &enrolment).await
    };
    user::act_as_root()?;
    let identity = obtained?;
    let file = Some(args.token_file.as_str()).filter(|file| *file != STDIN && !lent(file));
    let copies = settle::settle(host, &identity, &token, file, &settings.state_folder).await;
    for file in &copies.cleaned {
        say(&format!("the token is gone from {file}\n"));
    }
    for left in &copies.left {
        tracing::warn!("a copy of the spent token may be left: {left}");
    }
    let NodeIdentity { node, .. } = identity;
    say(&format!("enrolled as {node}; next: systemctl enable --now quorate-agent\n"));
    Ok(())
}

/// More than any token.
const LONGEST: u64 = 4096;

async fn token(host: &dyn Host, file: &str) -> Result<JoinToken, CommandError> {
    if lent(file) {
        settle::check_token_file(host).await?;
    }
    if file != STDIN {
        return Ok(enrol::read_token(host, file).await?);
    }
    let mut text = String::new();
    std::io::stdin().take(LONGEST).read_to_string(&mut text).map_err(CommandError::Stdin)?;
    Ok(Secret::new(text).expose().parse().map_err(EnrolError::Token)?)
}

/// Whether systemd lends us the file for as long as we run, and takes it away itself.
fn lent(file: &str) -> bool {
    let folder = std::env::var("CREDENTIALS_DIRECTORY").unwrap_or_default();
    !folder.is_empty() && std::path::Path::new(file).starts_with(folder)
}

/// To standard error, where the journal adds the time. Libraries speak of trouble alone,
/// and h2 of less: what it warns of is up to whoever is at the other end.
fn log(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let ours = ["quorate_agent", "quorate_proto"].map(|name| (name, level));
    let filter = Targets::new()
        .with_targets(ours)
        .with_target("h2", LevelFilter::ERROR)
        .with_default(level.min(LevelFilter::WARN));
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
