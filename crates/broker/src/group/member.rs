//! One member of a classic group: its offers, its assignment, its deadline and the answers it awaits.

use super::types::{ClientIdentity, Protocol, Ticket};
use bytes::Bytes;

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub id: String,
    pub instance_id: Option<String>,
    pub client: ClientIdentity,
    pub session_timeout_ms: i64,
    pub rebalance_timeout_ms: i64,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// When the member counts as dead, unless it is heard before.
    pub expires_at_ms: i64,
    pub awaiting_join: Option<Ticket>,
    pub awaiting_sync: Option<Ticket>,
    /// Has asked for its assignment in this generation.
    pub synced: bool,
    /// Joined, but has not yet been part of a generation.
    pub is_new: bool,
}

impl Member {
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|offer| offer.name == protocol)
            .map(|offer| offer.metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn offers(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|offer| offer.name == protocol)
    }

    /// Whether the session deadline applies now. A known member that waits for us cannot send
    /// heartbeats, so it is not expired for our slowness; a new one is, by its long join deadline,
    /// so that a client that gave up does not hold the group for ever.
    pub(super) fn can_expire(&self) -> bool {
        self.is_new || (self.awaiting_join.is_none() && self.awaiting_sync.is_none())
    }
}
