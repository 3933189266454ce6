//! Which keys the nodes may show, as the site's store has it at each connection: a renewal may come
//! between two of them, by this process or by another.

use std::sync::{Arc, Mutex, PoisonError};

use quorate_proto::trust::{NodeKeys, TrustError};
use quorate_proto::{NodeName, in_one_line};

use crate::store::Store;

/// The keys of the site's nodes. The default knows nothing: the root alone decides, as for those who
/// work with credentials on another machine.
#[derive(Debug, Clone, Default)]
pub struct KnownKeys(Option<Arc<Mutex<Store>>>);

impl KnownKeys {
    /// As this store has them.
    pub fn of(store: Store) -> Self {
        Self(Some(Arc::new(Mutex::new(store))))
    }

    /// What a node may show at this moment. A node that the store knows nothing of may show whatever
    /// the site's root signed.
    pub fn of_node(&self, node: &NodeName) -> Result<NodeKeys, TrustError> {
        let Some(store) = &self.0 else { return Ok(NodeKeys::default()) };
        // A read that panicked has changed nothing.
        let keys = store.lock().unwrap_or_else(PoisonError::into_inner).keys_of(node);
        let unread =
            |error| TrustError::KeysUnread { node: node.clone(), why: in_one_line(&error) };
        let known = keys.map_err(unread)?.map(|keys| keys.into_iter().collect());
        Ok(NodeKeys { known, ended_too: false })
    }
}
