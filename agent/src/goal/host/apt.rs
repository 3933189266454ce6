//! apt and dpkg. A repository is a file of its own: /etc/apt/sources.list.d/NAME.sources.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{Package, PackageSource};
use quorate_proto::{ActivityKind, Secret};

use super::package_manager::{PackageManager, SourceFile, State, Versions};
use crate::goal::Work;
use crate::host::{Command, Host, HostError, Profile, Unit};

/// Half an hour: a slow mirror is not an error.
const DEADLINE: Duration = Duration::from_secs(1800);
/// Fetching lists takes seconds; a mirror that is this slow will not deliver packages either.
const LISTS_DEADLINE: Duration = Duration::from_secs(600);

pub(super) struct Apt;

#[async_trait]
impl PackageManager for Apt {
    async fn states(
        &self,
        host: &dyn Host,
        of: &[Package],
    ) -> Result<BTreeMap<String, State>, HostError> {
        let format = "--showformat=${Package}\\t${Version}\\t${db:Status-Abbrev}\\n";
        let names = of.iter().map(|package| package.name.as_str());
        let args: Vec<&str> = ["--show", format, "--"].into_iter().chain(names).collect();
        // Status 1 says that one of them is not known: it is missing from the answer then.
        Ok(parse_states(&host.run(&Command::new("dpkg-query", &args)).await?.stdout))
    }

    async fn repair(
        &self,
        host: &dyn Host,
        states: &BTreeMap<String, State>,
        work: &Work<'_>,
    ) -> Result<bool, HostError> {
        // apt does nothing before dpkg has come to an end.
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

    async fn is_newer(
        &self,
        host: &dyn Host,
        version: &str,
        than: &str,
    ) -> Result<bool, HostError> {
        let compare = ["--compare-versions", version, "gt", than];
        Ok(host.run(&Command::new("dpkg", &compare)).await?.status == 0)
    }

    async fn versions(&self, host: &dyn Host, of: &[&Package]) -> Result<Versions, HostError> {
        let names = of.iter().map(|package| package.name.as_str());
        let args: Vec<&str> = ["madison", "--"].into_iter().chain(names).collect();
        Ok(parse_madison(&host.run(&Command::new("apt-cache", &args)).await?.stdout))
    }

    async fn refresh(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Packages, "apt-get update");
        run(host, &Unit::new(Profile::Packages, apt_get(&["update"])), work).await
    }

    async fn install(
        &self,
        host: &dyn Host,
        lacking: &[&Package],
        work: &Work<'_>,
    ) -> Result<(), HostError> {
        let named = |package: &&Package| match &package.version {
            Some(version) => format!("{}={version}", package.name),
            None => package.name.clone(),
        };
        let names: Vec<String> = lacking.iter().map(named).collect();
        work.progress.doing(ActivityKind::Packages, format!("apt-get install {}", names.join(" ")));
        let mut args =
            vec!["--no-install-recommends", "--allow-change-held-packages", "install", "--"];
        args.extend(names.iter().map(String::as_str));
        run(host, &Unit::new(Profile::Packages, apt_get(&args)), work).await
    }

    async fn hold(&self, host: &dyn Host, names: &[&str]) -> Result<(), HostError> {
        let args: Vec<&str> = std::iter::once(&"hold").chain(names).copied().collect();
        host.output_of(&Command::new("apt-mark", &args)).await.map(drop)
    }

    fn source_file(&self, source: &PackageSource) -> SourceFile {
        SourceFile {
            folder: "/etc/apt/sources.list.d",
            name: format!("{}.sources", source.name),
            text: stanza(source),
            url_after: "URIs: ",
        }
    }

    async fn try_source(
        &self,
        host: &dyn Host,
        source: &PackageSource,
        file: &SourceFile,
        work: &Work<'_>,
    ) -> Result<(), HostError> {
        let text = format!("apt-get update, from {}", source.url);
        work.progress.doing(ActivityKind::Packages, text);
        let list = format!("Dir::Etc::SourceList={{dir}}/{}", file.name);
        // Only this source, and the lists of all others stay as they are.
        let command = apt_get(&[
            "-o",
            &list,
            "-o",
            "Dir::Etc::SourceParts=-",
            "-o",
            "APT::Get::List-Cleanup=0",
            "-o",
            "APT::Update::Error-Mode=any",
            "update",
        ]);
        let files = vec![(file.name.clone(), Secret::new(file.text.clone()))];
        let command = command.within(LISTS_DEADLINE);
        run(host, &Unit::new(Profile::Packages, command).with_files(files), work).await
    }
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

/// Reads lines such as `kubeadm | 1.35.4-1.1 | https://pkgs.k8s.io/... Packages`.
fn parse_madison(listed: &str) -> Versions {
    let mut versions = Versions::new();
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

/// apt-get as it behaves where nobody answers questions: it waits for a lock that another holds, keeps
/// configuration files that somebody changed, and ends before anything where a package would have to go.
fn apt_get(args: &[&str]) -> Command {
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
async fn run(host: &dyn Host, unit: &Unit, work: &Work<'_>) -> Result<(), HostError> {
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

/// The source in apt's deb822 form, with the key inside (sources.list(5), apt 2.4 and later).
fn stanza(source: &PackageSource) -> String {
    let PackageSource { url, suite, .. } = source;
    let components = if suite.ends_with('/') {
        String::new()
    } else {
        format!("Components: {}\n", source.components.join(" "))
    };
    let lines = source.key.trim().lines().map(str::trim_end);
    let key: String =
        lines.map(|line| format!(" {}\n", if line.is_empty() { "." } else { line })).collect();
    format!(
        "# Written by quorate: changes are overwritten.\n\
         Types: deb\nURIs: {url}\nSuites: {suite}\n{components}Signed-By:\n{key}"
    )
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
    fn madison_lists_each_version_once_and_no_sources() {
        let listed = "   kubeadm | 1.35.4-1.1 | https://pkgs.k8s.io/core:/stable:/v1.35/deb  Packages\n\
                      kubeadm | 1.35.4-1.1 | http://mirror ./ Packages\n\
                      kubeadm | 1:1.34.0~rc1-1.1 | http://mirror ./ Packages\n\
                      kubeadm | 1.33.0 | http://mirror ./ Sources\nN: nonsense\n\n";
        let versions = parse_madison(listed);
        assert_eq!(versions["kubeadm"], ["1.35.4-1.1", "1:1.34.0~rc1-1.1"]);
        assert_eq!(versions.len(), 1);
    }

    #[test]
    fn a_flat_repository_has_no_components_and_a_key_keeps_its_empty_line() {
        let mut source = PackageSource {
            name: "kubernetes".to_owned(),
            url: "https://pkgs.k8s.io/core:/stable:/v1.35/deb/".to_owned(),
            suite: "/".to_owned(),
            components: Vec::new(),
            key:
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQEN\n-----END PGP PUBLIC KEY BLOCK-----\n"
                    .to_owned(),
        };
        let wanted = "# Written by quorate: changes are overwritten.\nTypes: deb\n\
                      URIs: https://pkgs.k8s.io/core:/stable:/v1.35/deb/\nSuites: /\nSigned-By:\n \
                      -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQEN\n \
                      -----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(stanza(&source), wanted);
        source.suite = "bookworm".to_owned();
        source.components = vec!["main".to_owned(), "contrib".to_owned()];
        assert!(stanza(&source).contains("Suites: bookworm\nComponents: main contrib\n"));
    }
}
