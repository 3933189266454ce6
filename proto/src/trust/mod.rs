//! Who may speak to whom: identities, the two roots, join tokens, and TLS with both sides known.
//!
//! Nodes accept orders only from leaves of the operators' root; coordinators believe only leaves of
//! the nodes' root. So no node can command another, whatever its certificate says. The rules on
//! single use, time and rate of join tokens are the coordinator's; renewal and revocation have
//! their seam in [`Credentials`] behind an `ArcSwap`: the newest serve each new connection.

mod acceptor;
mod authority;
mod bounds;
mod bundle;
mod certificate;
mod channel;
mod claim;
mod code;
mod complaints;
mod credentials;
mod crowd;
mod error;
mod explain;
mod guests;
mod identity;
mod peer;
mod pem;
mod policy;
mod role;
mod roots;
mod seats;
mod tls;
mod token;
mod unclaimed;
mod verifier;
mod words;

#[cfg(test)]
mod tests;

pub use crate::generated::trust as calls;
pub use acceptor::{Connection, Room, incoming, incoming_within, listen};
pub use authority::{BACKDATE, IssuedCertificate, NodeKey, SigningRequest};
pub use bounds::Bounds;
pub use bundle::{BUNDLE_BYTES, Denial, Denied, SignedBundle, TrustBundle};
pub use certificate::{KeyDigest, Seen, read_leaf};
pub use channel::{enrol_channel, node_channel, node_channel_of};
pub use claim::{ClaimError, check_proof, enrol, prove};
pub use code::EnrolCode;
pub use complaints::Complaints;
pub use credentials::{Credentials, GrantedIdentity};
pub use error::{BundleError, TrustError};
pub use explain::{Contact, explain};
pub use identity::{Identity, IdentityError, OperatorName, SiteId, Who};
pub use peer::{ChannelBinding, Peer};
pub use policy::{Policy, party};
pub use role::{NoSuchRole, Right, Role};
pub use roots::{RootKeys, Roots, RootsPem};
pub use seats::{Full, Seat, Seats};
pub use tls::{
    client_config, enrol_client_config, enrol_server_config, server_config, server_config_with,
};
pub use token::{JoinToken, TokenError, TokenId, VerifyKey};
pub use unclaimed::{unclaimed_channel, unclaimed_server_config};
pub use verifier::NodeKeys;
