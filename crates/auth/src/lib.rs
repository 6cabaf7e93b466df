//! Who is on the other end: TLS from PEM files, names in certificates, SCRAM for both sides, signed tokens.
//!
//! Nothing here opens a socket but through the network that callers bring (`socket`, `https`), nor a file but the system's authorities and those that hold a secret; callers bring bytes. Secrets never appear in
//! an error or in what `Debug` prints.

pub mod assertion;
pub mod bearer;
pub mod https;
pub mod jwks;
pub mod jwt;
pub mod names;
pub mod nkeys;
pub mod plain;
pub mod scram;
pub mod secrets;
pub mod socket;
#[doc(hidden)]
pub mod testing;
pub mod tls;
pub mod webhook;

pub use scram::{Credential, Mechanism};

/// An exchange with the other side failed; the words may be shown to it and stand in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuthError(pub String);

impl AuthError {
    pub(crate) fn new(text: impl Into<String>) -> AuthError {
        AuthError(text.into())
    }
}
