//! The fake package system: what repositories offer, what the lists know, what is unpacked and
//! configured. An installation makes two changes for each package, and one that is interrupted between
//! them has to be repaired, as with the real dpkg.

use std::collections::{BTreeMap, BTreeSet};

use super::{State, complaint, printed};
use crate::host::{Command, HostError, Output};

/// While a package is unpacked and not configured, dpkg's journal is not empty.
const JOURNAL: &str = "/var/lib/dpkg/updates/0001";

/// Repositories and packages.
#[derive(Debug, Default)]
pub struct Apt {
    /// What the repositories have, by package.
    pub offered: BTreeMap<String, Vec<String>>,
    /// Addresses of repositories that answer.
    pub repositories: BTreeSet<String>,
    /// Which installed package has to go where another comes.
    pub conflicts: BTreeMap<String, String>,
    /// Another program holds the lock.
    pub locked: bool,
    known: BTreeMap<String, Vec<String>>,
    installed: BTreeMap<String, Installed>,
}

#[derive(Debug)]
struct Installed {
    version: String,
    configured: bool,
    held: bool,
}

impl Apt {
    /// Whether a program is there; those of packages come with them.
    pub(super) fn has_program(&self, program: &str) -> bool {
        let package = match program {
            "ctr" => "containerd",
            other => other,
        };
        let packaged = ["containerd", "haproxy", "kubeadm", "kubelet", "kubectl"];
        !packaged.contains(&package) || self.installed.contains_key(package)
    }

    /// Whether the lists that were fetched name a package.
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// The version that is installed, with a `*` where it is held.
    pub fn installed(&self, name: &str) -> Option<String> {
        let found = self.installed.get(name).filter(|found| found.configured)?;
        Some(format!("{}{}", found.version, if found.held { "*" } else { "" }))
    }
}

/// As after an installation: repositories have what a cluster needs, and the lists know nothing.
pub(super) fn install(state: &mut State) {
    let offers = [
        ("containerd", "1.6.20~ds1-1"),
        ("haproxy", "2.6.12-1"),
        ("kubeadm", "1.35.4-1.1"),
        ("kubeadm", "1.35.3-1.1"),
        ("kubelet", "1.35.4-1.1"),
        ("kubectl", "1.35.4-1.1"),
    ];
    for (name, version) in offers {
        state.apt.offered.entry(name.to_owned()).or_default().push(version.to_owned());
    }
    state.apt.repositories.insert("http://repository/".to_owned());
}

/// Installs packages in what version there is, uncounted.
pub(super) fn preinstall(state: &mut State, names: &[&str]) {
    for name in names {
        let offered = state.apt.offered.get(*name).and_then(|versions| versions.first());
        let version = offered.cloned().unwrap_or_default();
        let installed = Installed { version, configured: true, held: true };
        state.apt.installed.insert((*name).to_owned(), installed);
        state.systemd.installed(name, &state.files);
    }
}

pub(super) fn run(
    state: &mut State,
    command: &Command,
    args: &[&str],
) -> Result<Output, HostError> {
    let operands: Vec<&str> = match args.iter().position(|arg| *arg == "--") {
        Some(at) => args.iter().skip(at + 1).copied().collect(),
        None => Vec::new(),
    };
    match command.program.as_str() {
        "dpkg-query" => Ok(query(&state.apt, &operands)),
        "apt-cache" => Ok(madison(&state.apt, &operands)),
        "dpkg" if args.starts_with(&["--compare-versions"]) => {
            let newer = matches!(args, [_, installed, "gt", wanted] if installed > wanted);
            Ok(if newer { printed("") } else { complaint(1, "") })
        }
        _ if state.apt.locked => {
            Ok(complaint(100, "E: Could not get lock /var/lib/dpkg/lock-frontend\n"))
        }
        "dpkg" => configure(state),
        "apt-mark" => hold(state, args),
        _ if args.contains(&"update") => update(state, args),
        _ => get(state, args, &operands),
    }
}

fn query(apt: &Apt, names: &[&str]) -> Output {
    let mut output = printed("");
    for name in names {
        if let Some(found) = apt.installed.get(*name) {
            let wanted = if found.held { 'h' } else { 'i' };
            let status = if found.configured { 'i' } else { 'U' };
            let line = format!("{name}\t{}\t{wanted}{status} \n", found.version);
            output.stdout.push_str(&line);
        } else {
            output.status = 1;
            let line = format!("dpkg-query: no packages found matching {name}\n");
            output.stderr.push_str(&line);
        }
    }
    output
}

fn madison(apt: &Apt, names: &[&str]) -> Output {
    let mut output = printed("");
    for name in names {
        for version in apt.known.get(*name).into_iter().flatten() {
            let line = format!("{name:>10} | {version} | http://repository ./ Packages\n");
            output.stdout.push_str(&line);
        }
    }
    output
}

/// A source that was given on the command line has to answer.
fn update(state: &mut State, args: &[&str]) -> Result<Output, HostError> {
    let list = args.iter().find_map(|arg| arg.strip_prefix("Dir::Etc::SourceList="));
    if let Some(list) = list.map(|list| state.text(list)) {
        let url = list.lines().find_map(|line| line.strip_prefix("URIs: ")).unwrap_or_default();
        if !state.apt.repositories.contains(url) {
            return Ok(complaint(100, format!("E: Failed to fetch {url}InRelease\n")));
        }
    }
    state.change("apt-get update")?;
    state.apt.known = state.apt.offered.clone();
    Ok(printed("Reading package lists...\n"))
}

fn get(state: &mut State, args: &[&str], operands: &[&str]) -> Result<Output, HostError> {
    if state.files.contains_key(JOURNAL) {
        let message = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'\n";
        return Ok(complaint(100, message));
    }
    let gone: Vec<String> = operands
        .iter()
        .filter_map(|operand| state.apt.conflicts.get(operand.split('=').next()?))
        .filter(|other| state.apt.installed.contains_key(*other))
        .cloned()
        .collect();
    if !gone.is_empty() && args.contains(&"APT::Get::Remove=false") {
        let stdout = format!("The following packages will be REMOVED:\n  {}\n", gone.join(" "));
        let stderr = "E: Packages need to be removed but remove is disabled.\n".to_owned();
        return Ok(Output { status: 100, stdout, stderr });
    }
    for name in &gone {
        state.change(format!("removing {name}"))?;
        state.apt.installed.remove(name);
    }
    for operand in operands {
        let (name, version) = match operand.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (*operand, None),
        };
        let known = state.apt.known.get(name).map(Vec::as_slice).unwrap_or_default();
        let matching = |known: &&String| version.is_none_or(|version| *known == version);
        let Some(version) = known.iter().find(matching).cloned() else {
            return Ok(complaint(100, format!("E: Unable to locate package {operand}\n")));
        };
        state.change(format!("unpacking {name} {version}"))?;
        let installed = Installed { version, configured: false, held: false };
        state.apt.installed.insert(name.to_owned(), installed);
        state.put(JOURNAL, "");
        configure(state)?;
    }
    Ok(printed(""))
}

fn configure(state: &mut State) -> Result<Output, HostError> {
    let pending = state.apt.installed.iter().filter(|(_, found)| !found.configured);
    let pending: Vec<String> = pending.map(|(name, _)| name.clone()).collect();
    for name in pending {
        state.change(format!("configuring {name}"))?;
        if let Some(found) = state.apt.installed.get_mut(&name) {
            found.configured = true;
        }
        if name == "haproxy" && !state.files.contains_key("/etc/haproxy/haproxy.cfg") {
            state.put("/etc/haproxy/haproxy.cfg", "frontend debian\n");
        }
        state.systemd.installed(&name, &state.files);
    }
    state.files.remove(JOURNAL);
    Ok(printed(""))
}

fn hold(state: &mut State, args: &[&str]) -> Result<Output, HostError> {
    for name in args.iter().skip(1) {
        if !state.apt.installed.contains_key(*name) {
            return Ok(complaint(100, format!("E: Unable to locate package {name}\n")));
        }
        state.change(format!("holding {name}"))?;
        if let Some(found) = state.apt.installed.get_mut(*name) {
            found.held = true;
        }
    }
    Ok(printed(""))
}
