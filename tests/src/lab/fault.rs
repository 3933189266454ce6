//! What is killed at a moment, and how it comes back.

use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::run::Run;
use super::site::Lab;

/// A fault that ends something at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `quorate apply` gets SIGKILL.
    Coordinator,
    /// Both roles of the node's agent get SIGKILL; systemd starts them again.
    Agent,
    /// apt installs a newer version of the agent's package.
    Upgrade,
    /// The program that the agent runs gets SIGKILL, so long after it has started.
    Program { name: &'static str, after: Duration },
    /// PID 1 of the node gets SIGKILL; the node is booted again.
    Node,
}

/// In which the program that is to be killed must appear.
const PATIENCE: Duration = Duration::from_secs(10);

/// Programs that run many times in one moment, mostly for a few milliseconds.
const REPEATED: [&str; 1] = ["dpkg"];

impl Fault {
    /// A program, soon after it began.
    pub const fn program(name: &'static str) -> Self {
        Self::Program { name, after: Duration::from_millis(10) }
    }

    /// kubeadm, so many milliseconds into its phase.
    pub const fn kubeadm(after_ms: u64) -> Self {
        Self::Program { name: "kubeadm", after: Duration::from_millis(after_ms) }
    }

    /// Strikes. What is said is why it could not.
    ///
    /// # Errors
    /// Where the program that was to be killed had ended, or never appeared.
    pub fn strike(self, lab: &Lab, node: &str, run: &mut Run) -> Result<(), String> {
        match self {
            Self::Coordinator => run.kill(),
            Self::Agent => kill_in(lab, node, "quorate-agent", Duration::ZERO)?,
            Self::Upgrade => {
                lab.lab(&["upgrade", node]);
            }
            Self::Program { name, after } => kill_in(lab, node, name, after)?,
            Self::Node => {
                lab.lab(&["kill", node]);
                lab.lab(&["boot", node]);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator killed"),
            Self::Agent => f.write_str("agent killed"),
            Self::Upgrade => f.write_str("agent upgraded"),
            Self::Program { name, after } => {
                write!(f, "{name} killed after {} ms", after.as_millis())
            }
            Self::Node => f.write_str("node killed"),
        }
    }
}

/// Kills a program of a node, by its process id on this machine: nothing in the node is asked.
fn kill_in(lab: &Lab, node: &str, name: &str, after: Duration) -> Result<(), String> {
    let init = lab.init_of(node).ok_or_else(|| format!("{node} is down"))?;
    let since = Instant::now();
    loop {
        let pids = processes(init, name);
        if !pids.is_empty() {
            std::thread::sleep(after);
            let killed = pids.into_iter().filter(|pid| kill(*pid)).count();
            if killed > 0 {
                return Ok(());
            }
            if !REPEATED.contains(&name) {
                return Err(format!("{name} had ended within {} ms", after.as_millis()));
            }
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("{name} was not seen to run"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(pid: u32) -> bool {
    let kill = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
    kill.is_ok_and(|kill| kill.status.success())
}

/// Processes of a program in the node whose PID 1 has this process id here.
fn processes(init: u32, name: &str) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(node) = namespace(init) else { return Vec::new() };
    let here = fs::read_dir("/proc").expect("/proc can be read").flatten();
    let pids = here.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_named = |pid: &u32| {
        let program: Option<PathBuf> = fs::read_link(format!("/proc/{pid}/exe")).ok();
        // A program that was replaced since is shown as deleted.
        program.is_some_and(|path| {
            let file = path.file_name().map(|file| file.as_bytes().to_vec()).unwrap_or_default();
            file == name.as_bytes() || file == format!("{name} (deleted)").into_bytes()
        })
    };
    pids.filter(is_named).filter(|pid| namespace(*pid).as_ref() == Some(&node)).collect()
}
