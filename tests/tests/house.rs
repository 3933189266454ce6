//! The rules of the house that no lint knows: sizes, openings, and who may touch what.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quorate_proto::goal::Kind;

/// A source file: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn sources() -> Vec<Source> {
    let mut folders: Vec<PathBuf> = ["proto", "agent", "coordinator", "packaging", "tests"]
        .iter()
        .map(|member| root().join(member))
        .collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().display().to_string();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

/// Lines of code: what a comment says does not count.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    (1..).zip(text.lines()).filter(move |(_, line)| !is_comment(line))
}

/// Every place where a file that `applies` names something that it must not.
fn named(applies: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| applies(&source.path)) {
        for (number, line) in code(&source.text) {
            let words = words.iter().filter(|word| line.contains(*word));
            found.extend(words.map(|word| format!("{}:{number} names {word}", source.path)));
        }
    }
    found
}

const NONE: Vec<String> = Vec::new();

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> =
        sources().into_iter().filter(|source| !source.text.starts_with("//! ")).collect();
    assert_eq!(silent.iter().map(|source| &source.path).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn no_file_is_too_long_to_read() {
    let long = |source: &Source| source.text.lines().count() > 600;
    let long: Vec<_> = sources().into_iter().filter(long).map(|source| source.path).collect();
    assert_eq!(long, NONE);
}

#[test]
fn plans_the_engine_and_the_machine_are_pure() {
    let rooms = ["plan/", "procedure/", "engine", "run/machine"];
    let pure = |path: &str| {
        let path =
            path.strip_prefix("coordinator/src/").filter(|path| !path.ends_with("/tests.rs"));
        path.is_some_and(|path| rooms.iter().any(|room| path.starts_with(room)))
    };
    let impure = [
        "tokio",
        "async ",
        "std::time",
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "TcpStream",
        "UdpSocket",
        "SystemTime",
        "Instant",
        "rand::",
        "println!",
    ];
    assert_eq!(named(pure, &impure), NONE);
}

#[test]
fn only_host_and_clients_touch_the_machine() {
    let agent = |path: &str| {
        let rooms = ["agent/src/host/linux", "agent/src/clients/"];
        let may = rooms.iter().any(|room| path.starts_with(room)) || path.ends_with("/tests.rs");
        path.starts_with("agent/src/") && !may
    };
    let effects = [
        "std::fs",
        "tokio::fs",
        "process::Command",
        "use nix",
        "sysinfo",
        "SystemTime",
        "Instant",
        "TcpStream",
        "UdpSocket",
        "UnixStream",
    ];
    assert_eq!(named(agent, &effects), NONE);
}

#[test]
fn no_work_is_left_for_later_without_an_issue() {
    let any = |path: &str| path != "tests/tests/house.rs";
    assert_eq!(named(any, &["todo!", "unimplemented!"]), NONE);
    let loose = |line: &&str| line.contains("TODO") && !line.contains("TODO(#");
    for source in sources().iter().filter(|source| any(&source.path)) {
        assert_eq!(source.text.lines().find(loose), None, "{}", source.path);
    }
}

#[test]
fn a_file_is_named_for_what_is_in_it() {
    let vague = [
        "util", "utils", "helper", "helpers", "manager", "handler", "handlers", "common", "misc",
        "context", "task", "job", "action", "stage",
    ];
    let is_vague = |source: &Source| {
        Path::new(&source.path).components().any(|part| {
            let part = Path::new(part.as_os_str()).file_stem().and_then(|stem| stem.to_str());
            part.is_some_and(|part| vague.contains(&part))
        })
    };
    let found: Vec<_> = sources().into_iter().filter(is_vague).map(|source| source.path).collect();
    assert_eq!(found, NONE);
}

/// The names of all test functions.
fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
            return None;
        }
        let name = line.trim_start_matches("async ").strip_prefix("fn ")?.split('(').next()?;
        std::mem::take(&mut is_test).then_some(name)
    })
}

#[test]
fn what_the_security_document_says_is_shown_is_shown_by_tests_that_exist() {
    let sources = sources();
    let tests: BTreeSet<&str> = sources.iter().flat_map(|source| tests_of(&source.text)).collect();
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let text = std::fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let (mut cases, mut unknown) = (BTreeSet::new(), Vec::new());
    for row in rows {
        cases.extend(cases_of(row.split('|').next().unwrap()));
        let shown_by = row.rsplit('|').next().unwrap();
        for name in shown_by.split('`').skip(1).step_by(2) {
            let exists = match name.strip_prefix("make ") {
                Some(target) => makefile.contains(&format!("\n{target}:")),
                None => tests.contains(name),
            };
            unknown.extend((!exists).then_some(name));
        }
    }
    assert_eq!(unknown, [""; 0], "neither a test nor a target of make");
    assert_eq!(cases, (1..=142).collect(), "each case of bad input has its row");
}

/// The numbers of `B1, B3 to B5`.
fn cases_of(cell: &str) -> Vec<u32> {
    let number = |text: &str| text.trim().strip_prefix('B').and_then(|rest| rest.parse().ok());
    let ranges = cell.split(',').filter_map(|range| {
        let (first, last) = range.split_once(" to ").unwrap_or((range, range));
        Some(number(first)?..=number(last)?)
    });
    ranges.flatten().collect()
}

/// Where any goal may be named: its data and its row, its module and sample, and the steps of a procedure.
const OF_GOALS: [&str; 3] = ["proto/src/goal/", "agent/src/goal/", "coordinator/src/procedure/"];

/// Where goals of the membership, of joins and of removals are named beside that.
const OF_SOME_GOALS: [(&str, &[Kind]); 9] = [
    ("coordinator/src/plan/membership.rs", &[Kind::EtcdMember, Kind::EtcdHealthy]),
    ("coordinator/src/plan/membership/removal.rs", &[Kind::EtcdMember, Kind::EtcdMemberRemoved]),
    ("coordinator/src/plan/mod.rs", &[Kind::EtcdMemberRemoved, Kind::NodeRemoved]),
    ("coordinator/src/plan/pending.rs", &[Kind::JoinOffered]),
    ("tests/src/sim/agent.rs", &[Kind::EtcdMember, Kind::KubeletCertificate]),
    ("tests/src/sim/facts.rs", &[Kind::StaticPods, Kind::KubeletCertificate]),
    (
        "tests/src/sim/invariants.rs",
        &[Kind::EtcdMember, Kind::KubeletStarted, Kind::KubeletCertificate],
    ),
    (
        "tests/src/sim/world.rs",
        &[
            Kind::KubeletCertificate,
            Kind::StaticPods,
            Kind::ClusterConfig,
            Kind::JoinAccess,
            Kind::Addons,
            Kind::Network,
        ],
    ),
    (
        "tests/src/sim/truth.rs",
        &[
            Kind::LoadBalancer,
            Kind::BackendsUp,
            Kind::EtcdMember,
            Kind::EtcdHealthy,
            Kind::EtcdMemberRemoved,
            Kind::Certificates,
            Kind::Kubeconfigs,
            Kind::ApiServerReady,
            Kind::KubeletCertificate,
            Kind::Addons,
            Kind::Network,
            Kind::JoinOffered,
            Kind::JoinWithdrawn,
            Kind::NodesReady,
            Kind::SystemPodsReady,
            Kind::ClusterDns,
            Kind::EndpointReady,
            Kind::NodeRemoved,
        ],
    ),
];

/// The kinds of goals that code names, as `HostGoal::SwapOff` or `Kind::SwapOff`.
fn goals_of(text: &str) -> BTreeSet<Kind> {
    let mut found = BTreeSet::new();
    for (_, line) in code(text) {
        let paths = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let names = paths.filter_map(|path| path.rsplit_once("::"));
        let names = names.filter(|(of, _)| *of == "Kind" || of.ends_with("Goal"));
        let names: Vec<&str> = names.map(|(_, name)| name).collect();
        found.extend(Kind::ALL.iter().filter(|kind| names.contains(&&*format!("{kind:?}"))));
    }
    found
}

#[test]
fn new_goal_touches_no_other_file() {
    let is_test =
        |path: &str| ["/tests/", "/benches/", "tests.rs"].iter().any(|part| path.contains(part));
    let mut found = Vec::new();
    for Source { path, text } in sources() {
        if is_test(&path) || OF_GOALS.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        let allowed = OF_SOME_GOALS.iter().find(|(place, _)| *place == path);
        let named = goals_of(code);
        let other = named.into_iter().filter(|kind| !allowed.is_some_and(|it| it.1.contains(kind)));
        found.extend(other.map(|kind| format!("{path} names {kind:?}")));
    }
    assert_eq!(found, NONE);
}
