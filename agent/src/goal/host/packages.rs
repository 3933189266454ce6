//! Packages are installed; those with an exact version are held there, so that no upgrade of the
//! system takes the kubelet along. What an interrupted dpkg left is repaired first.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{Package, Packages};
use quorate_proto::{ActivityKind, Drift, Finding};

use crate::goal::{Ensure, Work};
use crate::host::{Command, Host, HostError, Profile, Unit};

/// Half an hour: a slow mirror is not an error.
const DEADLINE: Duration = Duration::from_secs(1800);

#[async_trait]
impl Ensure for Packages {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let states = states(host, &self.packages).await?;
        let drift = |package| drift(package, states.get(&package.name));
        Ok(Finding::from_drifts(self.packages.iter().filter_map(drift).collect()))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let mut states = states(host, &self.packages).await?;
        if repair(host, &states, work).await? {
            states = self::states(host, &self.packages).await?;
        }
        let lacking = |package: &&Package| {
            let state = states.get(&package.name).filter(|state| state.installed);
            state.is_none_or(|state| package.version.as_ref().is_some_and(|v| *v != state.version))
        };
        let lacking: Vec<&Package> = self.packages.iter().filter(lacking).collect();
        if !lacking.is_empty() {
            refuse_downgrades(host, &lacking, &states).await?;
            find_versions(host, &lacking, work).await?;
            install(host, &lacking, work).await?;
            // apt lets go of what it upgrades, also where that was held.
            states = self::states(host, &self.packages).await?;
        }
        let held = |name: &str| states.get(name).is_some_and(|state| state.held);
        let pinned = self.packages.iter().filter(|package| package.version.is_some());
        let hold: Vec<&str> =
            pinned.map(|package| package.name.as_str()).filter(|name| !held(name)).collect();
        if hold.is_empty() {
            return Ok(());
        }
        let args: Vec<&str> = std::iter::once("hold").chain(hold).collect();
        host.output_of(&Command::new("apt-mark", &args)).await.map(drop)
    }
}

/// What dpkg knows of a package.
#[derive(Debug, PartialEq, Eq)]
struct State {
    version: String,
    /// Unpacked and configured.
    installed: bool,
    held: bool,
}

fn drift(package: &Package, state: Option<&State>) -> Option<Drift> {
    let wanted = package.version.as_deref().map_or("any version", |version| version);
    let what = format!("package {}", package.name);
    let found = match state {
        None => "not installed".to_owned(),
        Some(state) if !state.installed => "half installed".to_owned(),
        Some(State { version, held, .. }) => match &package.version {
            None => return None,
            Some(wanted) if wanted != version => {
                return Some(Drift::new(what, version, wanted).in_use());
            }
            Some(_) if !held => format!("{version}, not held"),
            Some(_) => return None,
        },
    };
    Some(Drift::new(what, found, wanted))
}

/// Asks dpkg once for all packages.
async fn states(host: &dyn Host, of: &[Package]) -> Result<BTreeMap<String, State>, HostError> {
    let format = "--showformat=${Package}\\t${Version}\\t${db:Status-Abbrev}\\n";
    let names = of.iter().map(|package| package.name.as_str());
    let args: Vec<&str> = ["--show", format, "--"].into_iter().chain(names).collect();
    // Status 1 says that one of them is not known: it is missing from the answer then.
    Ok(parse_states(&host.run(&Command::new("dpkg-query", &args)).await?.stdout))
}

fn parse_states(listed: &str) -> BTreeMap<String, State> {
    let state = |line: &str| -> Option<(String, State)> {
        let mut fields = line.split('\t');
        let (name, version) = (fields.next()?, fields.next()?);
        let mut abbrev = fields.next()?.chars(); // wanted, status, and error if there is one
        let (held, status) = (abbrev.next() == Some('h'), abbrev.next()?);
        let known = !matches!(status, 'n' | 'c'); // not installed; only its configuration is left
        let installed = status == 'i' && abbrev.all(|error| error == ' ');
        known.then(|| (name.to_owned(), State { version: version.to_owned(), installed, held }))
    };
    listed.lines().filter_map(state).collect()
}

/// Finishes what an interrupted dpkg has begun; apt does nothing before that. Says whether it had to.
async fn repair(
    host: &dyn Host,
    states: &BTreeMap<String, State>,
    work: &Work<'_>,
) -> Result<bool, HostError> {
    let journal = host.list("/var/lib/dpkg/updates").await?;
    if journal.is_empty() && states.values().all(|state| state.installed) {
        return Ok(false);
    }
    let activity = "dpkg --configure -a, after an interruption";
    work.progress.doing(ActivityKind::Packages, activity);
    let options = ["--force-confdef", "--force-confold", "--configure", "--pending"];
    let mut command = Command::new("dpkg", &options).within(DEADLINE);
    command.env = environment();
    match run(host, &Unit::new(Profile::Packages, command), work).await {
        // What waits for a dependency that was never unpacked is left to apt.
        Ok(()) | Err(HostError::Failed { .. }) => {}
        Err(error) => return Err(error),
    }
    let command = apt_get(&["--fix-broken", "install"]);
    run(host, &Unit::new(Profile::Packages, command), work).await?;
    Ok(true)
}

/// An older version than the installed one is not quorate's to bring about.
async fn refuse_downgrades(
    host: &dyn Host,
    lacking: &[&Package],
    states: &BTreeMap<String, State>,
) -> Result<(), HostError> {
    for package in lacking {
        let (Some(wanted), Some(state)) = (&package.version, states.get(&package.name)) else {
            continue;
        };
        let compare = ["--compare-versions", &state.version, "gt", wanted];
        if host.run(&Command::new("dpkg", &compare)).await?.status == 0 {
            return Err(HostError::Refused(format!(
                "{} {} is installed, which is newer than the {wanted} that is asked for, and \
                 quorate does not downgrade: ask for the installed version, or downgrade the \
                 package by hand",
                package.name, state.version
            )));
        }
    }
    Ok(())
}

/// Makes sure that apt knows the versions; fetches its lists once if it does not.
async fn find_versions(
    host: &dyn Host,
    lacking: &[&Package],
    work: &Work<'_>,
) -> Result<(), HostError> {
    let missing = |known: &BTreeMap<String, Vec<String>>| {
        let unknown = |package: &&&Package| {
            let known = known.get(&package.name);
            known.is_none_or(|known| package.version.as_ref().is_some_and(|v| !known.contains(v)))
        };
        lacking.iter().find(unknown).copied()
    };
    if missing(&versions(host, lacking).await?).is_none() {
        return Ok(());
    }
    work.progress.doing(ActivityKind::Packages, "apt-get update");
    let command = apt_get(&["update"]);
    run(host, &Unit::new(Profile::Packages, command), work).await?;
    let known = versions(host, lacking).await?;
    // A name without any version may be a virtual package: apt knows.
    let pinned = lacking.iter().filter_map(|package| Some((package, package.version.as_ref()?)));
    for (Package { name, .. }, wanted) in pinned {
        let offered = known.get(name).map(Vec::as_slice).unwrap_or_default();
        if !offered.contains(wanted) {
            let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
            return Err(HostError::Refused(format!(
                "no package source of this node has {name} {wanted}; versions that they have: \
                 {offered}. Ask for one of these in spec.packages.kubernetes, or name the source \
                 that has it in spec.packages.repository"
            )));
        }
    }
    Ok(())
}

/// The versions that apt could install, by package.
async fn versions(
    host: &dyn Host,
    of: &[&Package],
) -> Result<BTreeMap<String, Vec<String>>, HostError> {
    let names = of.iter().map(|package| package.name.as_str());
    let args: Vec<&str> = ["madison", "--"].into_iter().chain(names).collect();
    Ok(parse_madison(&host.run(&Command::new("apt-cache", &args)).await?.stdout))
}

/// Reads lines such as `kubeadm | 1.35.4-1.1 | https://pkgs.k8s.io/... Packages`.
fn parse_madison(listed: &str) -> BTreeMap<String, Vec<String>> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in listed.lines() {
        let mut columns = line.split('|').map(str::trim);
        if let (Some(name), Some(version), Some(from)) =
            (columns.next(), columns.next(), columns.next())
            && from.ends_with("Packages")
        {
            let known = versions.entry(name.to_owned()).or_default();
            if !known.iter().any(|seen| seen == version) {
                known.push(version.to_owned());
            }
        }
    }
    versions
}

async fn install(host: &dyn Host, lacking: &[&Package], work: &Work<'_>) -> Result<(), HostError> {
    let named = |package: &&Package| match &package.version {
        Some(version) => format!("{}={version}", package.name),
        None => package.name.clone(),
    };
    let names: Vec<String> = lacking.iter().map(named).collect();
    work.progress.doing(ActivityKind::Packages, format!("apt-get install {}", names.join(" ")));
    let mut args = vec!["--no-install-recommends", "--allow-change-held-packages", "install", "--"];
    args.extend(names.iter().map(String::as_str));
    run(host, &Unit::new(Profile::Packages, apt_get(&args)), work).await
}

/// apt-get as it behaves where nobody answers questions: it waits for a lock that another holds, keeps
/// configuration files that somebody changed, and ends before anything where a package would have to go.
pub(super) fn apt_get(args: &[&str]) -> Command {
    let ours = [
        "--assume-yes",
        "--quiet",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Dpkg::Use-Pty=0",
        // Of a container runtime, or of systemd, no installation is to make away with.
        "-o",
        "APT::Get::Remove=false",
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Dpkg::Options::=--force-confold",
    ];
    let args: Vec<&str> = ours.into_iter().chain(args.iter().copied()).collect();
    let mut command = Command::new("apt-get", &args).within(DEADLINE);
    command.env = environment();
    command
}

fn environment() -> Vec<(String, String)> {
    let set = [
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("NEEDRESTART_MODE", "l"), // Ubuntu's needrestart would restart services of the cluster
    ];
    set.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Runs apt or dpkg; a database that another keeps locked is worth another try. What apt would remove is
/// named.
pub(super) async fn run(host: &dyn Host, unit: &Unit, work: &Work<'_>) -> Result<(), HostError> {
    match host.run_unit(unit, work.progress).await {
        Err(HostError::Failed { output, .. }) if output.iter().any(|line| locked(line)) => {
            let line = output.iter().rfind(|line| locked(line)).map_or("", |line| line.as_str());
            Err(HostError::NotYet(format!(
                "another program uses the package database, such as an automatic upgrade ({line}): \
                 apply again when it has ended"
            )))
        }
        Err(HostError::Failed { output, .. }) if output.iter().any(|line| removes(line)) => {
            Err(HostError::Refused(format!(
                "apt would have to remove {} for this, and quorate has no package removed; nothing was \
                 installed. Decide which is to stay: ask for another package or version in the \
                 specification, or remove by hand, with `apt-get remove`, what may go",
                to_remove(&output)
            )))
        }
        other => other,
    }
}

/// How apt ends where a package would have to go and none may.
fn removes(line: &str) -> bool {
    line.contains("Packages need to be removed but remove is disabled")
}

/// The packages that apt lists as those to go, indented, below a line of their own.
fn to_remove(output: &[String]) -> String {
    let lists = output.iter().skip_while(|line| !line.contains("packages will be REMOVED"));
    let names = lists.skip(1).take_while(|line| line.starts_with("  "));
    let names: Vec<&str> = names.flat_map(|line| line.split_whitespace()).collect();
    if names.is_empty() { "other packages".to_owned() } else { names.join(", ") }
}

fn locked(line: &str) -> bool {
    line.contains("Could not get lock") || line.contains("lock was locked by another process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dpkg_tells_versions_states_and_holds() {
        let listed = "kubelet\t1.35.4-1.1\thi \nkubeadm\t1.35.4-1.1\tii \nhaproxy\t2.6\tiF \n\
                      gone\t\tun \nold\t1.0\trc \nbroken\t1\tiiR\nno tabs here\n";
        let states = parse_states(listed);
        let state =
            |version: &str, installed, held| State { version: version.to_owned(), installed, held };
        assert_eq!(states["kubelet"], state("1.35.4-1.1", true, true));
        assert_eq!(states["kubeadm"], state("1.35.4-1.1", true, false));
        assert_eq!(states["haproxy"], state("2.6", false, false));
        assert_eq!(states["broken"], state("1", false, false));
        assert_eq!(states.len(), 4);
    }

    #[test]
    fn apt_names_what_it_would_remove_on_lines_of_their_own() {
        let said = "Suggested packages:\n  bootchart2\nThe following packages will be REMOVED:\n  \
                    containerd.io docker-ce\n  systemd-sysv\nThe following NEW packages will be \
                    installed:\n  containerd\n";
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(to_remove(&lines(said)), "containerd.io, docker-ce, systemd-sysv");
        assert_eq!(to_remove(&lines("E: it did not say")), "other packages");
    }

    #[test]
    fn a_package_drifts_by_version_by_hold_and_by_state() {
        let pinned = Package { name: "kubelet".to_owned(), version: Some("1.2".to_owned()) };
        let found = |version: &str, installed, held| {
            let state = State { version: version.to_owned(), installed, held };
            drift(&pinned, Some(&state)).map(|drift| drift.found)
        };
        assert_eq!(found("1.2", true, true), None);
        assert_eq!(found("1.2", true, false).unwrap(), "1.2, not held");
        assert_eq!(found("1.1", true, true).unwrap(), "1.1");
        assert_eq!(found("1.2", false, true).unwrap(), "half installed");
        assert_eq!(drift(&pinned, None).unwrap().found, "not installed");
        let any = Package { name: "socat".to_owned(), version: None };
        let state = State { version: "1".to_owned(), installed: true, held: false };
        assert_eq!(drift(&any, Some(&state)), None);
    }

    #[test]
    fn madison_lists_each_version_once_and_no_sources() {
        let listed = "   kubeadm | 1.35.4-1.1 | https://pkgs.k8s.io/core:/stable:/v1.35/deb  Packages\n\
                      kubeadm | 1.35.4-1.1 | http://mirror ./ Packages\n\
                      kubeadm | 1:1.34.0~rc1-1.1 | http://mirror ./ Packages\n\
                      kubeadm | 1.33.0 | http://mirror ./ Sources\nN: nonsense\n\n";
        let versions = parse_madison(listed);
        assert_eq!(versions["kubeadm"], ["1.35.4-1.1", "1:1.34.0~rc1-1.1"]);
        assert_eq!(versions.len(), 1);
    }
}
