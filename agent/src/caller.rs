//! Who asked for something, as records have it.

use std::net::SocketAddr;

use quorate_proto::trust::OperatorName;
use serde::{Deserialize, Serialize};

/// Who calls, in the front end's words: for records, and for no decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// From the verified certificate.
    pub operator: OperatorName,
    pub address: SocketAddr,
}
