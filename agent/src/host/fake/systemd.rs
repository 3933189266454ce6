//! The fake systemd: services that packages bring, and the configuration that each run of them read.

use std::collections::BTreeMap;

use super::{State, cluster, complaint, printed};
use crate::host::{HostError, Output};

/// Services by name, without `.service`, and units of our own.
#[derive(Debug, Default)]
pub struct Systemd {
    pub services: BTreeMap<String, Service>,
    /// Names of transient units that run, as after the agent was restarted.
    pub under_way: Vec<String>,
    /// What the journal of any unit holds.
    pub journal: String,
    invocations: u32,
}

/// One service.
#[derive(Debug, Default)]
pub struct Service {
    pub active: bool,
    pub enabled: bool,
    /// What its configuration file held when it was started or reloaded.
    pub read: Option<Vec<u8>>,
    invocation: u32,
}

impl Systemd {
    /// A package brought its service. Debian's packages enable and start theirs; the kubelet's does
    /// neither.
    pub(super) fn installed(&mut self, package: &str, files: &BTreeMap<String, Vec<u8>>) {
        if package == "kubelet" {
            self.services.entry(package.to_owned()).or_default();
        }
        if ["containerd", "haproxy"].contains(&package) {
            self.services.entry(package.to_owned()).or_default().enabled = true;
            self.start(package, files);
        }
    }

    /// Whether a service runs.
    pub fn active(&self, name: &str) -> bool {
        self.services.get(name).is_some_and(|service| service.active)
    }

    fn start(&mut self, name: &str, files: &BTreeMap<String, Vec<u8>>) {
        self.invocations += 1;
        if let Some(service) = self.services.get_mut(name) {
            service.active = true;
            service.invocation = self.invocations;
            service.read = config_of(name).and_then(|path| files.get(path).cloned());
        }
    }
}

/// The file that a service reads when it starts.
pub fn config_of(service: &str) -> Option<&'static str> {
    match service {
        "containerd" => Some("/etc/containerd/config.toml"),
        "haproxy" => Some("/etc/haproxy/haproxy.cfg"),
        _ => None,
    }
}

pub(super) fn run(state: &mut State, args: &[&str]) -> Result<Output, HostError> {
    let unit = args.last().copied().unwrap_or_default();
    let name = unit.strip_suffix(".service").unwrap_or(unit).to_owned();
    match args {
        ["daemon-reload"] => return Ok(printed("")), // changes nothing that is modelled
        ["show", ..] => return Ok(printed(show(&state.systemd, &name))),
        _ if !state.systemd.services.contains_key(&name) => {
            return Ok(complaint(5, format!("Unit {name}.service not found.\n")));
        }
        ["enable", ..] => {
            state.change(format!("enabling {name}"))?;
            if let Some(service) = state.systemd.services.get_mut(&name) {
                service.enabled = true;
            }
        }
        ["start", ..] if state.systemd.active(&name) => {}
        ["start" | "restart", ..] => {
            state.change(format!("starting {name}"))?;
            state.systemd.start(&name, &state.files);
            if name == "kubelet" {
                cluster::kubelet_started(state)?;
            }
        }
        ["stop", ..] => {
            state.change(format!("stopping {name}"))?;
            if let Some(service) = state.systemd.services.get_mut(&name) {
                service.active = false;
            }
        }
        ["reload", ..] => {
            state.change(format!("reloading {name}"))?;
            state.haproxy.reloading = name == "haproxy";
        }
        _ => return Ok(complaint(1, format!("systemctl: {args:?} is not modelled\n"))),
    }
    Ok(printed(""))
}

fn show(systemd: &Systemd, name: &str) -> String {
    let Some(service) = systemd.services.get(name) else {
        return "LoadState=not-found\nActiveState=inactive\nUnitFileState=\nInvocationID=\n".into();
    };
    format!(
        "LoadState=loaded\nActiveState={}\nUnitFileState={}\nInvocationID={:032x}\n",
        if service.active { "active" } else { "inactive" },
        if service.enabled { "enabled" } else { "disabled" },
        service.invocation,
    )
}
