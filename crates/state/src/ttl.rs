//! How long state lives after it was last written.
//!
//! The moment of expiry lies in front of the stored value, so that it survives with it. The clock is
//! that of the steps, which the journal holds: a replay forgets exactly what the first run forgot.

/// The time to live of a table, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeToLive {
    ttl_ms: Option<u64>,
}

/// When a value that is written now expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    /// The bytes that stand in front of the value.
    At([u8; 8]),
}

const STAMP_BYTES: usize = 8;

impl TimeToLive {
    pub(crate) fn new(ttl_ms: Option<u64>) -> TimeToLive {
        TimeToLive { ttl_ms }
    }

    pub(crate) fn is_set(self) -> bool {
        self.ttl_ms.is_some()
    }

    /// Bytes in front of a stored value.
    pub(crate) fn stamp_bytes(self) -> usize {
        if self.is_set() { STAMP_BYTES } else { 0 }
    }

    /// The first moment (ms) at which a value written now is gone.
    pub(crate) fn expires_at(self, now_ms: i64) -> i64 {
        self.ttl_ms.map_or(i64::MAX, |ttl_ms| now_ms.saturating_add_unsigned(ttl_ms))
    }

    pub(crate) fn expiry(self, now_ms: i64) -> Expiry {
        if self.is_set() { Expiry::At(self.expires_at(now_ms).to_le_bytes()) } else { Expiry::Never }
    }

    /// The value without its stamp, unless it has expired.
    pub(crate) fn live(self, stored: &[u8], now_ms: i64) -> Option<&[u8]> {
        if !self.is_set() {
            return Some(stored);
        }
        (self.expires(Some(stored)) > now_ms).then(|| stored.get(STAMP_BYTES..).unwrap_or_default())
    }

    /// When a stored value expires; a deletion never does.
    pub(crate) fn expires(self, stored: Option<&[u8]>) -> i64 {
        let stamp = stored.filter(|_| self.is_set()).and_then(|stored| stored.first_chunk::<STAMP_BYTES>());
        stamp.map_or(i64::MAX, |stamp| i64::from_le_bytes(*stamp))
    }
}
