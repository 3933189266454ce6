//! What machines are given at their first boot: that the samples are YAML of the shape that cloud-init reads, and that none of
//! them leaves a token where others can read it.

use std::fs;
use std::path::Path;

use quorate_agent::settings;
use serde::Deserialize;

const TOKEN: &str = "/etc/quorate/enrol.token";
const START: [&str; 4] = ["systemctl", "start", "--no-block", "quorate-agent-enrol.service"];

/// As much of cloud-init's user-data as the samples have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserData {
    hostname: String,
    manage_etc_hosts: bool,
    #[serde(default)]
    mounts: Vec<Vec<String>>,
    write_files: Vec<File>,
    #[serde(default)]
    package_update: bool,
    #[serde(default)]
    packages: Vec<String>,
    runcmd: Vec<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    content: String,
    #[serde(default)]
    defer: bool,
    permissions: Option<String>,
}

#[derive(Deserialize)]
struct Installer {
    autoinstall: Autoinstall,
}

#[derive(Deserialize)]
struct Autoinstall {
    version: u32,
    #[serde(rename = "user-data")]
    user_data: UserData,
}

/// The agent's settings, as far as a first boot needs them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolling {
    enrol: Coordinators,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coordinators {
    coordinators: Vec<std::net::SocketAddr>,
}

fn text(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cloud-init");
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn cloud_config<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = text(name);
    // Without this first line cloud-init takes it for something else and ignores it.
    assert!(text.starts_with("#cloud-config\n"), "{name}");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn repository() -> UserData {
    cloud_config("user-data.yaml")
}

fn samples() -> [UserData; 2] {
    [repository(), cloud_config("user-data-local-file.yaml")]
}

#[test]
fn a_first_boot_writes_the_settings_and_the_token_and_starts_the_enrolment() {
    for sample in samples() {
        let file = |path| sample.write_files.iter().find(|file| file.path == path).unwrap();
        let settings = file(settings::PATH);
        let Enrolling { enrol } = serde_saphyr::from_str(&settings.content).unwrap();
        assert_eq!(enrol.coordinators.first().unwrap().port(), quorate_proto::ENROL_PORT);
        assert!(file(TOKEN).content.starts_with("qrt1_"));
        assert_eq!(sample.runcmd.last().unwrap(), &START);
    }
}

#[test]
fn the_token_is_for_root_alone_and_no_argument() {
    for sample in samples() {
        for file in &sample.write_files {
            let secret = file.content.contains("qrt1_");
            assert_eq!(secret, file.path == TOKEN, "{}", file.path);
            assert_eq!(secret, file.permissions.as_deref() == Some("0600"), "{}", file.path);
            // dpkg asks about files of the package that are there before it, and nobody answers.
            assert_eq!(file.defer, file.path.starts_with("/etc/quorate/"), "{}", file.path);
        }
        assert!(!sample.runcmd.concat().concat().contains("qrt1_"));
    }
    for installer in ["preseed.cfg", "kickstart.cfg"] {
        let text = text(installer);
        assert!(!text.contains("qrt1_"), "{installer}");
        assert!(text.contains("(umask 077;") || text.contains("( umask 077;"), "{installer}");
    }
}

#[test]
fn cloud_init_leaves_etc_hosts_to_the_agent() {
    assert!(samples().iter().all(|sample| !sample.manage_etc_hosts));
}

#[test]
fn the_installer_hands_on_the_same_user_data() {
    let Autoinstall { version, user_data } =
        cloud_config::<Installer>("autoinstall.yaml").autoinstall;
    assert_eq!((version, user_data), (1, repository()));
}
