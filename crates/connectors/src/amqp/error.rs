//! What the conditions mean with which a server closes connections, sessions and links, and refuses messages.

use crate::messages::ServerError;
use base::ErrorKind;

/// Why something ended or was refused (section 2.8.14 of the specification).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub name: String,
    pub description: String,
}

impl Condition {
    /// As the user reads it.
    pub(super) fn told(&self) -> String {
        let Condition { name, description } = self;
        match (name.is_empty(), description.is_empty()) {
            (true, _) => "it says no reason".into(),
            (false, true) => format!("the server says: {name}"),
            (false, false) => format!("the server says: {description} ({name})"),
        }
    }

    /// What it means for a connection.
    pub(super) fn error(&self) -> ServerError {
        ServerError::new(self.kind(), self.told())
    }

    fn kind(&self) -> ErrorKind {
        let says = |words: &[&str]| words.iter().any(|word| self.description.contains(word));
        match self.name.as_str() {
            "amqp:not-found" => ErrorKind::NotFound,
            // Our own connection of before may still be there.
            "amqp:invalid-field" if says(&["already", "in use", "InvalidClientID", "clientID"]) => {
                ErrorKind::Unavailable
            }
            "amqp:unauthorized-access"
            | "amqp:decode-error"
            | "amqp:not-allowed"
            | "amqp:invalid-field"
            | "amqp:not-implemented"
            | "amqp:precondition-failed"
            | "amqp:frame-size-too-small"
            | "amqp:link:message-size-exceeded"
            | "com.microsoft:auth-failed"
            | "com.microsoft:argument-error"
            | "com.microsoft:entity-disabled" => ErrorKind::Invalid,
            // Whether it is gone for good is seen when it is asked for again.
            "amqp:resource-deleted" => ErrorKind::Retry,
            _ => ErrorKind::Unavailable,
        }
    }

    /// Whether a message that is refused so is never taken.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.kind(), ErrorKind::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let cases = [
            ("amqp:not-found", "no such queue", ErrorKind::NotFound),
            ("amqp:unauthorized-access", "", ErrorKind::Invalid),
            ("amqp:invalid-field", "Broker: b - Client: c already connected", ErrorKind::Unavailable),
            ("amqp:invalid-field", "selector", ErrorKind::Invalid),
            ("amqp:resource-limit-exceeded", "AMQ229102: Address \"a\" is full.", ErrorKind::Unavailable),
            ("amqp:link:detach-forced", "the link was idle", ErrorKind::Unavailable),
            ("com.microsoft:server-busy", "", ErrorKind::Unavailable),
            ("of:somebody", "", ErrorKind::Unavailable),
        ];
        for (name, description, kind) in cases {
            let condition = Condition { name: name.into(), description: description.into() };
            assert_eq!(condition.kind(), kind, "{condition:?}");
        }
        assert_eq!(
            Condition { name: "a:b".into(), description: String::new() }.told(),
            "the server says: a:b"
        );
    }
}
