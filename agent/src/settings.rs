//! The agent's own settings, /etc/quorate/agent.yaml. What holds for the cluster is not in them:
//! that comes with each order.

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;

use crate::host::{Files, HostError};
use crate::identity;

/// Where the settings are, unless the command line says otherwise.
pub const PATH: &str = "/etc/quorate/agent.yaml";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("reading the settings {path}")]
    Read {
        path: String,
        #[source]
        source: HostError,
    },
    #[error(
        "the settings {path} do not exist; write that file, or leave out --settings to have {PATH}"
    )]
    Missing { path: String },
    #[error("the settings {path} are not UTF-8 text; write the file anew")]
    Encoding { path: String },
    #[error("the settings {path} are wrong; correct this and run `quorate-agent check-config`")]
    Yaml {
        path: String,
        /// Says where, and shows the line.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    #[error("{path}: {key} is {value:?}, but has to be an absolute path")]
    Relative { path: String, key: &'static str, value: String },
}

/// The agent's settings. A file may leave out any of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Settings {
    /// Where orders are taken.
    pub listen: SocketAddr,
    /// The ledger is in it.
    pub state_folder: String,
    /// The node's key and certificate are in it.
    pub identity_folder: String,
    pub log_level: LogLevel,
    pub enrol: EnrolSettings,
}

/// How this node comes to its identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct EnrolSettings {
    /// Host name or address, and port, of each coordinator; tried in turn.
    pub coordinators: Vec<String>,
}

/// How much the agent writes to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], quorate_proto::AGENT_PORT)),
            state_folder: "/var/lib/quorate-executor".to_owned(),
            identity_folder: identity::FOLDER.to_owned(),
            log_level: LogLevel::Info,
            enrol: EnrolSettings::default(),
        }
    }
}

impl Settings {
    /// The settings in this file; the defaults where nobody named another than the usual one, and it is not there.
    pub async fn load(host: &dyn Files, path: &str) -> Result<Self, SettingsError> {
        match host.read(path).await {
            Ok(None) if path == PATH => Ok(Self::default()),
            Ok(None) => Err(SettingsError::Missing { path: path.to_owned() }),
            Ok(Some(bytes)) => match String::from_utf8(bytes) {
                Ok(text) => Self::parse(&text, path),
                Err(_) => Err(SettingsError::Encoding { path: path.to_owned() }),
            },
            Err(source) => Err(SettingsError::Read { path: path.to_owned(), source }),
        }
    }

    fn parse(text: &str, path: &str) -> Result<Self, SettingsError> {
        let path = path.to_owned();
        // A file of nothing but comments leaves out everything; to YAML it is a null.
        let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        if text.lines().all(blank) {
            return Ok(Self::default());
        }
        let settings: Self = match serde_saphyr::from_str(text) {
            Ok(settings) => settings,
            Err(source) => return Err(SettingsError::Yaml { path, source: Box::new(source) }),
        };
        let folders = [
            ("stateFolder", &settings.state_folder),
            ("identityFolder", &settings.identity_folder),
        ];
        for (key, folder) in folders {
            if !folder.starts_with('/') {
                return Err(SettingsError::Relative { path, key, value: folder.clone() });
            }
        }
        Ok(settings)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listen: {}", self.listen)?;
        writeln!(f, "stateFolder: {}", self.state_folder)?;
        writeln!(f, "identityFolder: {}", self.identity_folder)?;
        writeln!(f, "logLevel: {}", self.log_level)?;
        // In quotes, as YAML and Rust both write them.
        writeln!(f, "enrol: {{coordinators: {:?}}}", self.enrol.coordinators)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::in_one_line;

    use super::*;
    use crate::host::fake::FakeHost;

    const SAMPLE: &str = include_str!("../../packaging/agent.yaml");

    #[test]
    fn the_packaged_sample_shows_the_defaults() {
        assert_eq!(Settings::parse(SAMPLE, PATH).unwrap(), Settings::default());
        let shown: Vec<_> = SAMPLE.lines().filter_map(|line| line.strip_prefix("#")).collect();
        let shown = shown.into_iter().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>();
        let uncommented = Settings::parse(&shown.join("\n"), PATH).unwrap();
        assert_eq!(uncommented, Settings::default());
        assert_eq!(shown.join("\n") + "\n", Settings::default().to_string());
    }

    #[tokio::test]
    async fn a_file_that_was_named_has_to_be_there() {
        let host = FakeHost::bare();
        assert_eq!(Settings::load(&host, PATH).await.unwrap(), Settings::default());
        let missing = Settings::load(&host, "/etc/quorate/agnet.yaml").await.unwrap_err();
        assert!(missing.to_string().contains("/etc/quorate/agnet.yaml do not exist"), "{missing}");
    }

    #[test]
    fn a_setting_that_is_left_out_has_its_default() {
        let settings = Settings::parse("listen: '[::]:7000'\n", PATH).unwrap();
        let listen = "[::]:7000".parse().unwrap();
        assert_eq!(settings, Settings { listen, ..Settings::default() });
    }

    #[test]
    fn coordinators_read_back_as_they_are_shown() {
        let text = "enrol:\n  coordinators: [10.0.0.5:7444, '[fd00::5]:7444']\n";
        let settings = Settings::parse(text, PATH).unwrap();
        assert_eq!(settings.enrol.coordinators, ["10.0.0.5:7444", "[fd00::5]:7444"]);
        assert_eq!(Settings::parse(&settings.to_string(), PATH).unwrap(), settings);
        assert!(Settings::parse("enrol: {coordinator: a}\n", PATH).is_err());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let error = Settings::parse("logLevel: info\nlistens: 1.2.3.4:5\n", PATH).unwrap_err();
        let told = in_one_line(&error);
        assert!(told.contains("/etc/quorate/agent.yaml"), "{told}");
        assert!(told.contains("line 2 column 1: unknown field `listens`"), "{told}");
        for wrong in ["listen: 7443\n", "logLevel: loud\n", "stateFolder: state\n", "- a\n", "{"] {
            assert!(Settings::parse(wrong, PATH).is_err(), "{wrong}");
        }
    }
}
