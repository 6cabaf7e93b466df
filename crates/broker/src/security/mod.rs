//! Who may do what: users and access rules as a fold of the log, the log-in of a connection, and the
//! one table of what each API needs.
//!
//! Rules are Kafka's: deny goes before allow, and where no rule fits, the answer is no. They are
//! enforced as soon as the listener asks clients who they are, or a user or a rule exists.

mod access;
pub mod acl;
mod config;
mod needs;
mod rules;
mod session;
mod throttle;
mod visitor;

#[cfg(test)]
mod tests;

pub(crate) use access::{Access, not_internal, permit_name};
pub use acl::{Acl, AclFilter, Operation, PatternType, Permission, ResourceType};
pub use config::{KeySource, SaslMechanism, SecurityConfig, TokenConfig};
pub(crate) use config::{OPTIONS, options as config_options};
pub use rules::{Rules, RulesChange, SharedRules, USERS_LAYER};
pub use session::Session;
pub(crate) use session::{Challenge, Checks, Gate};
pub(crate) use throttle::Throttle;
pub use throttle::network_of;
pub use visitor::{NotAdmitted, Proof, Visitor};

/// Who has not said who they are.
pub const ANONYMOUS: &str = "User:ANONYMOUS";

const USER_NAME_BYTES_MAX: usize = 255;

/// Whether a user may have this name; else why not.
pub fn check_user_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > USER_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err("a user's name has 1 to 255 bytes and no control characters");
    }
    Ok(())
}

/// A name that may stand in a log line: the client chose it.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
