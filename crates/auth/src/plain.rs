//! SASL PLAIN (RFC 4616), and HTTP's Basic (RFC 7617): a name and a password in one message; only TLS keeps it secret.

use crate::AuthError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What a client says in PLAIN.
pub struct Login {
    pub user: String,
    pub password: String,
}

impl Login {
    /// `[authzid] NUL authcid NUL passwd`; an authorization id must be the user's own, as in Kafka.
    pub fn decode(message: &[u8]) -> Result<Login, AuthError> {
        let wrong = || AuthError::new("the PLAIN message is not `[id] NUL user NUL password`");
        let text = std::str::from_utf8(message).map_err(|_| wrong())?;
        let mut parts = text.split('\0');
        let (Some(id), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        if user.is_empty() || password.is_empty() {
            return Err(AuthError::new("the PLAIN message has no user or no password"));
        }
        if !id.is_empty() && id != user {
            return Err(AuthError::new("the authorization id differs from the user"));
        }
        Ok(Login { user: user.to_string(), password: password.to_string() })
    }

    pub fn encode(user: &str, password: &str) -> Vec<u8> {
        format!("\0{user}\0{password}").into_bytes()
    }

    /// From HTTP's `Authorization: Basic …`.
    pub fn of_basic(value: &str) -> Option<Login> {
        let (scheme, rest) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = String::from_utf8(BASE64.decode(rest.trim()).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        let is_whole = !user.is_empty() && !password.is_empty();
        is_whole.then(|| Login { user: user.to_string(), password: password.to_string() })
    }

    /// For HTTP's `Authorization`.
    pub fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_comes_back_and_damaged_ones_are_refused() {
        let login = Login::decode(&Login::encode("alice", "päss")).unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("alice", "päss"));
        assert!(Login::decode(b"alice\0alice\0secret").is_ok());
        for damaged in [
            &b""[..],
            b"alice",
            b"\0alice",
            b"\0\0secret",
            b"\0alice\0",
            b"bob\0alice\0x",
            b"\0a\0b\0c",
            b"\0\xff\0x",
        ] {
            assert!(Login::decode(damaged).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn basic_credentials_come_back_and_damaged_ones_are_none() {
        for (user, password) in [("alice", "pass:word"), ("älice", "ü")] {
            let login = Login::of_basic(&Login::basic(user, password).replace("Basic", "bAsIc")).unwrap();
            assert_eq!((login.user.as_str(), login.password.as_str()), (user, password));
        }
        let without = |pair: &str| format!("Basic {}", BASE64.encode(pair));
        for damaged in ["", "Basic", "Basic ?", "Basic //8=", "Digest x", "Bearer a"] {
            assert!(Login::of_basic(damaged).is_none(), "{damaged}");
        }
        for pair in ["alice", ":x", "alice:"] {
            assert!(Login::of_basic(&without(pair)).is_none(), "{pair}");
        }
    }
}
