//! What the packages promise: that the files they list exist, that samples are read as they are, and
//! that scripts speak of the folders that the programs use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use quorate::spec;
use quorate_agent::cli::Cli;
use quorate_agent::enrol::settle;
use quorate_agent::executor::{SOCKET, USER};
use quorate_agent::settings::{self, Settings};
use serde::Deserialize;
use tempfile::TempDir;

use super::*;

const MADE: &str = "target/packages/made/";

/// As much of nfpm's description as is looked at.
#[derive(Deserialize)]
struct Description {
    changelog: String,
    contents: Vec<Entry>,
    overrides: BTreeMap<String, Override>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    src: String,
    dst: String,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Override {
    #[serde(default)]
    scripts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Change {
    semver: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn description(package: &str) -> Description {
    serde_saphyr::from_str(&text(&format!("packaging/{package}.nfpm.yaml"))).unwrap()
}

fn descriptions() -> [Description; 2] {
    ["quorate", "quorate-agent"].map(description)
}

/// What `packaging/build` lays out: the programs, what this program writes, its pages packed, and
/// what `packaging/components` writes.
fn made() -> (TempDir, BTreeSet<String>) {
    let folder = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        program.write(folder.path()).unwrap();
    }
    let mut made = BTreeSet::new();
    for program in ["quorate", "quorate-agent"] {
        made.insert(format!("bin/{program}"));
        made.insert(format!("{program}/third-party.txt.gz"));
        made.insert(format!("{program}/sbom.json"));
    }
    for (kind, suffix) in [("man", ".gz"), ("completions", "")] {
        for entry in fs::read_dir(folder.path().join(kind)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            made.insert(format!("{kind}/{name}{suffix}"));
        }
    }
    (folder, made)
}

/// Whether a path, whose last part may begin with `*`, names this file.
fn names(path: &str, file: &str) -> bool {
    path.split_once('*')
        .map_or(path == file, |(before, after)| file.starts_with(before) && file.ends_with(after))
}

#[test]
fn every_file_that_a_package_lists_exists() {
    let (_folder, made) = made();
    for package in descriptions() {
        let scripts = package.overrides.into_values().flat_map(|form| form.scripts.into_values());
        let listed =
            package.contents.into_iter().filter(|entry| entry.kind != "dir").map(|entry| entry.src);
        for path in listed.chain(scripts).chain([package.changelog]) {
            let exists = match path.strip_prefix(MADE) {
                Some(path) => made.iter().any(|file| names(path, file)),
                None => root().join(&path).is_file(),
            };
            assert!(exists, "{path}");
        }
    }
}

#[test]
fn everything_that_is_made_is_in_a_package() {
    let listed: Vec<_> = descriptions().into_iter().flat_map(|package| package.contents).collect();
    for file in made().1 {
        let lists =
            |entry: &Entry| entry.src.strip_prefix(MADE).is_some_and(|path| names(path, &file));
        assert!(listed.iter().any(lists), "{file}");
    }
}

#[test]
fn the_installed_units_are_those_in_this_folder_and_start_an_installed_program() {
    let agent = description("quorate-agent");
    let source = |dst: &str| {
        agent.contents.iter().find(|entry| entry.dst == dst).map(|entry| entry.src.as_str())
    };
    for name in ["quorate-agent.service", "quorate-executor.service", "quorate-executor.socket"] {
        let unit = format!("packaging/{name}");
        let installed = format!("/usr/lib/systemd/system/{name}");
        assert_eq!(source(&installed), Some(unit.as_str()));
        let unit = text(&unit);
        let Some(start) = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")) else {
            assert!(name.ends_with(".socket"), "{unit}");
            continue;
        };
        let mut words = start.split_whitespace();
        let program = words.next().unwrap();
        assert_eq!(source(program), Some("target/packages/made/bin/quorate-agent"));
        let role = words.next().unwrap();
        assert!(Cli::command().find_subcommand(role).is_some(), "{role}");
    }
}

#[test]
fn the_units_know_the_socket_and_the_user_of_the_agent() {
    let agent = text("packaging/quorate-agent.service");
    assert!(agent.contains(&format!("\nUser={USER}\n")), "{agent}");
    let chain =
        format!("\nConditionPathExists={}/chain.pem\n", Settings::default().identity_folder);
    assert!(agent.contains(&chain), "{agent}");
    let socket = text("packaging/quorate-executor.socket");
    assert!(socket.contains(&format!("\nListenStream={SOCKET}\n")), "{socket}");
    assert!(socket.contains(&format!("\nSocketGroup={USER}\n")), "{socket}");
    for file in ["sysusers", "tmpfiles"] {
        let line = text(&format!("packaging/quorate-agent.{file}"));
        assert!(line.contains(USER), "{line}");
    }
}

#[test]
fn the_unit_of_first_boots_waits_for_the_token_and_spares_an_enrolled_node() {
    let agent = description("quorate-agent");
    let unit = "packaging/quorate-agent-enrol.service";
    assert!(agent.contents.iter().any(|entry| entry.src == unit));
    let unit = text(unit);
    let token = settle::TOKEN_FILE;
    assert!(unit.contains(&format!("\nConditionPathExists={token}\n")), "{unit}");
    assert!(unit.contains(&format!("\nLoadCredential=enrol.token:{token}\n")), "{unit}");
    let identity = Settings::default().identity_folder;
    assert!(unit.contains(&format!("\nConditionPathExists=!{identity}/chain.pem\n")), "{unit}");
    // The command line is one that the program takes.
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words = start.split(' ');
    Cli::try_parse_from(words).unwrap();
}

#[test]
fn the_settings_are_where_the_agent_looks_and_belong_to_the_administrator() {
    let settings: Vec<_> = description("quorate-agent")
        .contents
        .into_iter()
        .filter(|entry| entry.dst.starts_with("/etc/") && entry.kind != "dir")
        .map(|entry| (entry.src, entry.dst, entry.kind))
        .collect();
    let sample = ("packaging/agent.yaml", settings::PATH, "config|noreplace");
    assert_eq!(settings, [(sample.0.to_owned(), sample.1.to_owned(), sample.2.to_owned())]);
}

#[test]
fn a_purge_takes_the_folders_that_the_agent_writes_to() {
    let Settings { state_folder, identity_folder, .. } = Settings::default();
    let script = text("packaging/scripts/deb-postrm");
    let owned = identity_folder.strip_suffix("/identity").unwrap();
    assert!(script.contains(&format!("for folder in {owned} {state_folder};")), "{script}");
    for (unit, folder) in [("agent", owned), ("executor", state_folder.as_str())] {
        let unit = text(&format!("packaging/quorate-{unit}.service"));
        let folder = folder.strip_prefix("/var/lib/").unwrap();
        assert!(unit.contains(&format!("StateDirectory={folder}\n")), "{unit}");
    }
}

#[test]
fn the_sample_for_real_machines_is_valid_and_costs_no_warning() {
    let folder = tempfile::tempdir().unwrap();
    let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n";
    fs::write(folder.path().join("Release.key"), key).unwrap();
    let file = folder.path().join("cluster.yaml");
    fs::write(&file, text("packaging/production.yaml")).unwrap();
    let loaded = spec::load(&file).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let warnings: Vec<_> = loaded.warnings.iter().map(|warning| warning.render(false)).collect();
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn the_packages_changelog_begins_with_this_version() {
    let changes: Vec<Change> = serde_saphyr::from_str(&text("packaging/changelog.yaml")).unwrap();
    let newest = &changes.first().unwrap().semver;
    assert_eq!(newest.split_once('-').unwrap().0, env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_command_has_a_page_and_is_completed() {
    let (folder, made) = made();
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    for pages in ["quorate.1", "quorate-node-token.1", "quorate-agent.8", "quorate-agent-enrol.8"] {
        let page = read(folder.path().join("man").join(pages));
        assert!(page.contains("\n.SH NAME\n") && page.contains("\n.SH SYNOPSIS\n"), "{page}");
    }
    for program in PROGRAMS {
        let command = (program.command)();
        let name = command.get_name().to_owned();
        for below in command.get_subcommands() {
            let page = format!("man/{name}-{}.", below.get_name());
            assert!(made.iter().any(|file| file.starts_with(&page)), "{page}");
            for file in [format!("{name}.bash"), format!("_{name}"), format!("{name}.fish")] {
                let completions = read(folder.path().join("completions").join(&file));
                assert!(completions.contains(below.get_name()), "{file}: {}", below.get_name());
            }
        }
    }
}
