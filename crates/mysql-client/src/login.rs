//! How passwords are proven: mixed with what the server has greeted with, never in clear but under TLS.

use crate::{Address, Wired, wrong};
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub(crate) const NATIVE: &str = "mysql_native_password";
pub(crate) const CACHING: &str = "caching_sha2_password";
pub(crate) const CLEAR: &str = "mysql_clear_password";

/// What proves the password to a plugin; none where there is no such plugin.
pub(crate) fn proof(plugin: &str, password: &[u8], nonce: &[u8], is_secured: bool) -> Option<Vec<u8>> {
    Some(match plugin {
        NATIVE | CACHING if password.is_empty() => Vec::new(),
        NATIVE => {
            let once = Sha1::digest(password);
            let twice = Sha1::digest(once);
            mixed(&once, &Sha1::new().chain_update(nonce).chain_update(twice).finalize())
        }
        CACHING => {
            let once = Sha256::digest(password);
            let twice = Sha256::digest(once);
            mixed(&once, &Sha256::new().chain_update(twice).chain_update(nonce).finalize())
        }
        CLEAR if is_secured => clear(password),
        _ => return None,
    })
}

/// The password as it is, for a server that has proven who it is.
pub(crate) fn clear(password: &[u8]) -> Vec<u8> {
    [password, &[0]].concat()
}

fn mixed(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// The password of an address, looked up anew.
pub(crate) fn password(address: &Address) -> Wired<String> {
    match address.password.as_deref() {
        None => Ok(String::new()),
        Some(given) => auth::secrets::resolved(given)
            .map_err(|error| wrong(format!("{}: {error}", address.options.password))),
    }
}

pub(crate) fn unknown(plugin: &str, address: &Address) -> crate::WireError {
    match plugin {
        CLEAR => {
            wrong(format!("the server wants the password in clear, which needs {}", address.options.tls))
        }
        _ => {
            let plugin: String = plugin.chars().take(60).collect();
            wrong(format!(
                "the server wants a way to log in that is not supported ('{plugin}'); {NATIVE} and {CACHING} are, and over TLS \
                 {CLEAR}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the server does: it keeps the password's hash of a hash, and finds the first one in the proof.
    #[test]
    fn the_server_finds_the_password_in_the_proof() {
        let nonce = b"abcdefghijklmnopqrst";
        let stored = Sha1::digest(Sha1::digest(b"secret"));
        let given = proof(NATIVE, b"secret", nonce, false).unwrap();
        let mask = Sha1::new().chain_update(nonce).chain_update(stored).finalize();
        assert_eq!(Sha1::digest(mixed(&given, &mask)), stored);
        // The stored hash as the server shows it for this password.
        assert_eq!(hex(&stored), "14e65567abdb5135d0cfd9a70b3032c179a49ee7");

        let stored = Sha256::digest(Sha256::digest(b"secret"));
        let given = proof(CACHING, b"secret", nonce, false).unwrap();
        let mask = Sha256::new().chain_update(stored).chain_update(nonce).finalize();
        assert_eq!(Sha256::digest(mixed(&given, &mask)), stored);
    }

    #[test]
    fn a_password_goes_in_clear_only_under_tls() {
        assert_eq!(proof(CLEAR, b"secret", b"", false), None);
        assert_eq!(proof(CLEAR, b"secret", b"", true), Some(b"secret\0".to_vec()));
        assert_eq!(proof(NATIVE, b"", b"abc", false), Some(Vec::new()));
        assert_eq!(proof("dialog", b"secret", b"", true), None);
    }
}
