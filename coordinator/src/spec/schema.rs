//! The JSON schema of cluster.yaml: what editors complete by, and what `shape` holds files against.

use serde_json::Value;

use super::file;

/// The schema of the whole file.
pub(super) fn whole() -> Value {
    schemars::schema_for!(file::File).to_value()
}

/// The schema of one image archive.
pub(super) fn archive() -> Value {
    schemars::schema_for!(file::Archive).to_value()
}
