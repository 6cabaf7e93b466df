//! PostgreSQL's protocol, version 3: bytes to requests, answers to bytes.
//!
//! Nothing here knows what a request means. Lengths and counts are checked before anything is allocated for them; what a
//! client sends is never a reason to panic.

mod answer;
mod fields;
mod request;
mod startup;

pub use answer::{Answer, Column, Format, TransactionStatus};
pub use fields::WireError;
pub use request::{Bind, Parse, Request, Target, split};
pub use startup::{Startup, first_packet};

/// Bytes of one message of a client that has logged in.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of one message of a client that has yet to say who it is; PostgreSQL's limit for the first packet.
pub const FIRST_BYTES_MAX: usize = 10_000;
/// Parameters of a statement; the protocol counts them in 16 bits.
pub const PARAMETERS_MAX: usize = u16::MAX as usize;
