//! Why a host could not do or tell something.

use std::time::Duration;

/// Why the host could not do or tell something.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("{attempt}")]
    Io {
        /// Such as "reading /etc/fstab".
        attempt: String,
        #[source]
        source: std::io::Error,
    },
    /// A command ended with another status than zero.
    #[error("`{command}` ended with status {status}")]
    Failed { command: String, status: i32, output: Vec<String> },
    #[error("`{command}` did not end within {} s", deadline.as_secs())]
    Deadline { command: String, deadline: Duration, output: Vec<String> },
    /// A service did not answer: the Kubernetes API, etcd, a socket.
    #[error("{service} does not answer")]
    Silent {
        service: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The host is in a state in which the goal must not be applied. Says what to do.
    #[error("{0}")]
    Refused(String),
    /// Another try may do: a locked package database, a membership that is settling.
    #[error("{0}")]
    NotYet(String),
    /// What others were to bring about did not come, for as long as it may take.
    #[error("{0}")]
    InVain(String),
}

impl HostError {
    /// No answer came from a service, for this reason.
    pub fn silent(
        service: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Silent { service: service.to_owned(), source: source.into() }
    }

    /// The program that was to run is not on this machine.
    pub fn program_missing(&self) -> bool {
        match self {
            Self::Io { attempt, source } => {
                attempt.starts_with("running ") && source.kind() == std::io::ErrorKind::NotFound
            }
            Self::Failed { .. }
            | Self::Deadline { .. }
            | Self::Silent { .. }
            | Self::Refused(_)
            | Self::NotYet(_)
            | Self::InVain(_) => false,
        }
    }
}
