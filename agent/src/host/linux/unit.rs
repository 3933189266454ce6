//! Long commands as transient units of systemd: they outlive the agent, and an agent that was
//! restarted finds them and follows them to their end.
//!
//! A unit has a folder in /run/quorate/units with what it reads and what it prints. systemd removes
//! the folder when the unit ends, whether or not an agent lives; that is also how a follower, which
//! holds the output open, learns of the end. What became of it systemd tells: it forgets a unit that
//! succeeded and keeps one that failed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_proto::{Redactor, Secret};
use tokio::{task, time};

use super::output::{Lines, Told};
use super::{LinuxHost, command, files};
use crate::host::{Command, Commands as _, Files as _, HostError, Profile, Unit};
use crate::progress::Progress;

/// The agent's own unit, quorate-agent.service, must not look like one of these.
const PREFIX: &str = "quorate-run-";
const FOLDER: &str = "/run/quorate/units";

/// How often a follower looks: a few microseconds each time, and a tenth of what kubeadm's shortest
/// phase takes is never lost.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs a command as a unit and follows it to its end.
pub(super) async fn run(
    host: &LinuxHost,
    unit: &Unit,
    progress: &Progress,
) -> Result<(), HostError> {
    let line = unit.command.line();
    if !command::program(&unit.command, &host.path).is_absolute() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(HostError::Io { attempt: format!("running {line}"), source });
    }
    let name = new_name(&unit.command.program);
    let folder = prepare(host, &name, unit).await?;
    let lines = open(host, &name, progress.redactor()).await?;
    let started = host.run(&systemd_run(&name, unit)).await.and_then(|ran| {
        // The line is that of the unit's command: systemd-run's own would tell nobody anything.
        ran.success(&unit.command)
    });
    if let Err(error) = started {
        remove(folder).await?;
        return Err(error);
    }
    watch(host, &name, &line, lines, progress).await
}

/// Follows a unit that an earlier agent started, or that this one lost sight of.
pub(super) async fn follow(
    host: &LinuxHost,
    name: &str,
    progress: &Progress,
) -> Result<(), HostError> {
    let lines = open(host, name, progress.redactor()).await?;
    watch(host, name, name, lines, progress).await
}

/// Units that run. Clears away what ended unseen, so it must not be asked while one is started.
pub(super) async fn under_way(host: &LinuxHost) -> Result<Vec<String>, HostError> {
    let pattern = format!("{PREFIX}*.service");
    let args = ["list-units", "--all", "--plain", "--full", "--no-legend", "--no-pager", &pattern];
    let listed = host.output_of(&Command::new("systemctl", &args)).await?;
    let (mut running, mut failed) = (Vec::new(), Vec::new());
    for line in listed.lines() {
        let mut words = line.split_whitespace();
        let (name, state) = (words.next(), words.nth(1));
        match (name, state) {
            (Some(name), Some("failed")) => failed.push(name.to_owned()),
            (Some(name), Some("active" | "activating" | "deactivating")) => {
                running.push(name.to_owned());
            }
            _ => {}
        }
    }
    for name in failed {
        forget(host, &name).await?;
    }
    for name in host.list(FOLDER).await?.into_iter().filter(|name| !running.contains(name)) {
        remove(host.at(FOLDER).join(name)).await?;
    }
    Ok(running)
}

/// Ends a unit before its time; systemd asks it to end, and kills it if it does not.
pub(super) async fn stop(host: &LinuxHost, name: &str) -> Result<(), HostError> {
    let command = Command::new("systemctl", &["stop", "--", name]).within(Duration::from_secs(100));
    let output = host.run(&command).await?;
    if output.status == 5 { Ok(()) } else { output.success(&command).map(drop) } // 5: not loaded
}

fn new_name(program: &str) -> String {
    let short = program.rsplit('/').next().unwrap_or(program);
    // Two units of one name would need two starts in one nanosecond; systemd would refuse the second.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{PREFIX}{short}-{now:x}.service")
}

/// The unit's folder, as its program finds it.
fn inside(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Lays out the unit's folder.
async fn prepare(host: &LinuxHost, name: &str, unit: &Unit) -> Result<PathBuf, HostError> {
    let folder = host.at(FOLDER).join(name);
    let placed = |text: &Secret| Secret::new(text.expose().replace("{dir}", &inside(name)));
    let files = unit.files.iter().map(|(path, text)| (path.clone(), placed(text)));
    let stdin = unit.command.stdin.clone().map(|stdin| ("stdin".to_owned(), stdin));
    let contents: Vec<(String, Secret)> = files.chain(stdin).collect();
    let into = folder.clone();
    files::blocking(format!("preparing the unit {name}"), move || {
        files::private_folder(&into)?;
        files::private_file(&into.join("output"), b"")?;
        for (path, content) in &contents {
            files::private_file(&into.join(path), content.expose().as_bytes())?;
        }
        Ok(())
    })
    .await?;
    Ok(folder)
}

async fn remove(folder: PathBuf) -> Result<(), HostError> {
    let attempt = format!("removing {}", folder.display());
    files::blocking(attempt, move || files::remove_folder(&folder)).await
}

/// The command that starts the unit and returns once its program runs.
fn systemd_run(name: &str, unit: &Unit) -> Command {
    let folder = inside(name);
    let mut args = vec![
        "--quiet".to_owned(),
        format!("--unit={name}"),
        format!("--description=quorate: {}", unit.command.program),
        "--property=Type=exec".to_owned(),
        "--property=WorkingDirectory=/".to_owned(),
        format!("--property=StandardOutput=append:{folder}/output"),
        format!("--property=StandardError=append:{folder}/output"),
        format!("--property=RuntimeMaxSec={}", unit.command.deadline.as_secs()),
        format!("--property=ExecStopPost=/bin/rm -rf {folder}"),
        "--setenv=LANG=C.UTF-8".to_owned(),
        "--setenv=HOME=/root".to_owned(),
    ];
    args.extend(restrictions(unit.profile).map(|property| format!("--property={property}")));
    args.extend(unit.command.env.iter().map(|(name, value)| format!("--setenv={name}={value}")));
    if unit.command.stdin.is_some() {
        args.push(format!("--property=StandardInput=file:{folder}/stdin"));
    }
    args.push("--".to_owned());
    args.push(unit.command.program.clone());
    // systemd puts variables for `$`, and one dollar for two.
    let literal = |arg: &String| arg.replace("{dir}", &folder).replace('$', "$$");
    args.extend(unit.command.args.iter().map(literal));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Command::new("systemd-run", &args)
}

/// What systemd keeps a unit from. Units are children of PID 1, so nothing that confines the agent
/// reaches them; what is not taken away here, the program needs or may need.
fn restrictions(profile: Profile) -> impl Iterator<Item = &'static str> {
    const EVERY: &[&str] = &["LimitCORE=0", "LockPersonality=yes", "RestrictRealtime=yes"];
    let more: &[&str] = match profile {
        // It starts the kubelet by systemd, so that nothing of this reaches the kubelet.
        Profile::Kubeadm => &["NoNewPrivileges=yes", "ProtectHome=yes", "PrivateTmp=yes"],
        // Maintainer scripts use what they find. dpkg is given time to end what it is at.
        Profile::Packages => &["KillMode=mixed", "TimeoutStopSec=120"],
        Profile::Client => &["NoNewPrivileges=yes", "ProtectHome=read-only"],
    };
    EVERY.iter().chain(more).copied()
}

/// Opens what a unit prints; nothing where its folder is gone, which means that it has ended.
async fn open(
    host: &LinuxHost,
    name: &str,
    redactor: &Redactor,
) -> Result<Option<Lines>, HostError> {
    let (path, redactor) = (host.at(FOLDER).join(name).join("output"), redactor.clone());
    let attempt = format!("opening the output of {name}");
    files::blocking(attempt, move || Lines::open(&path, redactor)).await
}

/// Passes on the unit's lines until it ends, then says how.
async fn watch(
    host: &LinuxHost,
    name: &str,
    command: &str,
    lines: Option<Lines>,
    progress: &Progress,
) -> Result<(), HostError> {
    let mut told = Told::default();
    if let Some(mut lines) = lines {
        loop {
            let ended = lines.file_is_gone(); // asked before the reading, so nothing is missed
            while let Some(read) = lines.read() {
                read.into_iter().for_each(|line| told.take(line, progress));
                // A program that prints without a pause must not keep the agent from its callers.
                task::yield_now().await;
            }
            if ended {
                lines.finish().into_iter().for_each(|line| told.take(line, progress));
                break;
            }
            time::sleep(LOOK_EVERY).await;
        }
    }
    let output = told.finish(progress);
    let end = end_of(host, name).await?;
    if end != End::Succeeded {
        forget(host, name).await?;
    }
    let command = command.to_owned();
    match end {
        End::Succeeded => Ok(()),
        End::Failed { status } => Err(HostError::Failed { command, status, output }),
        End::TimedOut { deadline } => Err(HostError::Deadline { command, deadline, output }),
    }
}

/// Asks systemd until the unit has ended. A systemd that is being upgraded does not answer at once.
async fn end_of(host: &LinuxHost, name: &str) -> Result<End, HostError> {
    let mut silences = 0;
    loop {
        match state(host, name).await {
            Ok(State::Ended(end)) => return Ok(end),
            Ok(State::Running) => {}
            Err(error) if silences == SILENCES_BORNE => return Err(error),
            Err(_) => silences += 1,
        }
        time::sleep(LOOK_EVERY).await;
    }
}

/// At least ten seconds of them; a systemd that is upgraded is back after one.
const SILENCES_BORNE: u32 = 1000;

/// Where a unit is, as systemd tells.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Running,
    Ended(End),
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Succeeded,
    Failed { status: i32 },
    TimedOut { deadline: Duration },
}

async fn state(host: &LinuxHost, name: &str) -> Result<State, HostError> {
    let properties = "--property=ActiveState,Result,ExecMainCode,ExecMainStatus,RuntimeMaxUSec";
    let command = Command::new("systemctl", &["show", properties, "--", name]);
    Ok(parse_state(&host.output_of(&command).await?))
}

/// Reads `systemctl show`. A unit that systemd has forgotten reads as inactive, which is right: it
/// forgets those that succeeded.
fn parse_state(shown: &str) -> State {
    let value = |key: &str| {
        shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
    };
    match value("ActiveState") {
        "active" | "activating" | "deactivating" | "reloading" => return State::Running,
        "failed" => {}
        _ => return State::Ended(End::Succeeded),
    }
    if value("Result") == "timeout" {
        let deadline = seconds(value("RuntimeMaxUSec"));
        return State::Ended(End::TimedOut { deadline });
    }
    let number = value("ExecMainStatus").parse().unwrap_or(-1);
    let killed = matches!(value("ExecMainCode"), "2" | "3"); // CLD_KILLED, CLD_DUMPED
    State::Ended(End::Failed { status: if killed { 128 + number } else { number } })
}

/// Reads a span as systemd prints it, such as `1h 30min 5s`.
fn seconds(span: &str) -> Duration {
    let part = |part: &str| {
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        let (number, unit) = part.split_at_checked(digits)?;
        let seconds = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "min" => 60,
            "s" => 1,
            _ => 0,
        };
        Some(number.parse::<u64>().ok()? * seconds)
    };
    Duration::from_secs(span.split_whitespace().filter_map(part).sum())
}

/// Lets systemd forget a unit that failed, once it has told how.
async fn forget(host: &LinuxHost, name: &str) -> Result<(), HostError> {
    // Another may have done so: that is as good.
    host.run(&Command::new("systemctl", &["reset-failed", "--", name])).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_tells_how_a_unit_ended() {
        let state = |active: &str, result: &str, code: &str, status: &str| {
            parse_state(&format!(
                "Result={result}\nActiveState={active}\nExecMainCode={code}\n\
                 ExecMainStatus={status}\nRuntimeMaxUSec=1h 30min 5s\n"
            ))
        };
        assert_eq!(state("deactivating", "success", "1", "0"), State::Running);
        assert_eq!(state("inactive", "success", "0", "0"), State::Ended(End::Succeeded));
        let failed = |status| State::Ended(End::Failed { status });
        assert_eq!(state("failed", "exit-code", "1", "203"), failed(203));
        assert_eq!(state("failed", "signal", "2", "9"), failed(137));
        let deadline = Duration::from_secs(5405);
        let timed_out = State::Ended(End::TimedOut { deadline });
        assert_eq!(state("failed", "timeout", "2", "15"), timed_out);
    }

    #[test]
    fn a_unit_reads_its_files_and_keeps_dollars() {
        let command = Command::new("kubeadm", &["--config={dir}/config.yaml", "a$HOME"]);
        let unit = Unit::new(Profile::Kubeadm, command);
        let line = systemd_run("quorate-run-x.service", &unit).line();
        let end =
            "-- kubeadm --config=/run/quorate/units/quorate-run-x.service/config.yaml a$$HOME";
        assert!(line.ends_with(end), "{line}");
        assert!(!line.contains("StandardInput"), "{line}");
        assert!(line.contains(" --property=PrivateTmp=yes "), "{line}");
        assert!(line.contains(" --property=LimitCORE=0 "), "{line}");
    }
}
