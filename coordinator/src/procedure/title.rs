//! The words for a run: how it is announced, how it ends, and which command repeats it.

use quorate_proto::NodeName;
use serde::{Deserialize, Serialize};

/// Stored with its run, so that a run is shown by any version as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Title {
    /// Carries the run on, such as `quorate apply`.
    pub command: String,
    /// The node that the run is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<NodeName>,
    /// Follows the announcement, such as "to remove cp-3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// True once the run is complete, such as "cluster lab is as specified".
    pub done: String,
    /// True where there was nothing to do.
    pub idle: String,
    /// What remains for a person once the run is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What else a person can do about a run that is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
}

impl Title {
    /// Of a change of the site's roots, which has no steps.
    pub fn rotation(cluster: &str) -> Self {
        let done = format!("the roots of cluster {cluster} are changed");
        Self {
            command: "quorate trust rotate".to_owned(),
            purpose: Some("to change the site's roots".to_owned()),
            idle: done.clone(),
            done,
            blocked: Some(
                "--without NODE leaves one behind, which has to be enrolled again".to_owned(),
            ),
            ..Self::default()
        }
    }
}
