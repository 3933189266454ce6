//! What several commands take.

use std::path::PathBuf;
use std::time::Duration;

use quorate_proto::trust::{IdentityError, OperatorName};
use quorate_proto::{NameError, NodeName};

/// Where a change of who is trusted finds the roots' keys.
#[derive(Debug, clap::Args)]
pub(super) struct RootKeysArgs {
    /// Where the keys of the roots are; in the state folder, unless they were moved
    #[arg(long, value_name = "DIR")]
    pub(super) root_keys: Option<PathBuf>,
}

/// A node's name on the command line.
pub(super) fn node_name(text: &str) -> Result<NodeName, NameError> {
    text.try_into()
}

/// A time that a token or credentials are to live.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    span(text, "a life is longer than nothing")
}

/// An operator's name on the command line.
pub(super) fn operator_name(text: &str) -> Result<OperatorName, IdentityError> {
    text.try_into()
}

/// A stretch of time on the command line; `negative` is said of one that goes back.
pub(super) fn span(text: &str, negative: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>();
    let parsed = parsed.map_err(|error| error.to_string())?;
    parsed.try_into().map_err(|_negative: jiff::Error| negative.to_owned())
}
