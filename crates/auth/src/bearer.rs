//! SASL OAUTHBEARER (RFC 7628): one message with a token; only TLS keeps it secret.
//!
//! A refusal is told in two steps: the node answers with a JSON object, the client with one byte, and then comes the end.

use crate::AuthError;

/// What a client sends after the refusal's words.
pub const ACKNOWLEDGEMENT: &[u8] = &[SEPARATOR];
/// The words of every refusal: why, is for the log.
pub const INVALID_TOKEN: &str = r#"{"status":"invalid_token"}"#;
const SEPARATOR: u8 = 1;

/// What a client says in OAUTHBEARER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Whom the client wants to be, if it says so: it must be whom the token is about.
    pub user: Option<String>,
    pub token: String,
}

impl Login {
    /// `n,[a=USER],\x01auth=Bearer TOKEN\x01[KEY=VALUE\x01…]\x01`; further pairs are extensions, which mean nothing here.
    pub fn decode(message: &[u8]) -> Result<Login, AuthError> {
        let wrong = |what: &str| AuthError::new(format!("the OAUTHBEARER message is damaged: {what}"));
        let text = std::str::from_utf8(message).map_err(|_| wrong("it is not UTF-8"))?;
        let rest = text
            .strip_prefix("n,")
            .ok_or_else(|| wrong("it begins without 'n,': channel binding is not there"))?;
        let (user, rest) = rest.split_once(',').ok_or_else(|| wrong("its head has no end"))?;
        let user = match user.strip_prefix("a=") {
            None if user.is_empty() => None,
            Some(name) if !name.is_empty() => Some(unescaped(name).ok_or_else(|| wrong("the user's name"))?),
            _ => return Err(wrong("the user's name")),
        };
        let pairs = rest.strip_prefix('\x01').and_then(|rest| rest.strip_suffix("\x01\x01"));
        let pairs = pairs.ok_or_else(|| wrong("its pairs are not between separators"))?;
        let mut token = None;
        for pair in pairs.split('\x01') {
            let (key, value) = pair.split_once('=').ok_or_else(|| wrong("a pair has no '='"))?;
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(wrong("a key is not made of letters"));
            }
            if key == "auth" && token.replace(value).is_some() {
                return Err(wrong("there are two tokens"));
            }
        }
        let token = of_scheme(token.ok_or_else(|| wrong("it has no 'auth'"))?);
        Ok(Login { user, token: token.ok_or_else(|| wrong("'auth' is not 'Bearer TOKEN'"))?.to_string() })
    }

    pub fn encode(token: &str) -> Vec<u8> {
        format!("n,,\x01auth=Bearer {token}\x01\x01").into_bytes()
    }
}

/// The token of `Bearer TOKEN`, as it stands in HTTP's `Authorization` too.
pub fn of_scheme(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    let body = token.trim_end_matches('=');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    (scheme.eq_ignore_ascii_case("bearer") && !body.is_empty() && body.bytes().all(is_token)).then_some(token)
}

/// A name in which `=2C` stands for a comma and `=3D` for an equals sign.
fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut out = parts.next()?.to_string();
    for part in parts {
        let (escape, rest) = part.split_at_checked(2)?;
        out.push(match escape {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        out.push_str(rest);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_comes_back_and_damaged_ones_are_refused() {
        let login = Login::decode(&Login::encode("a.b-c_d.e==")).unwrap();
        assert_eq!(login, Login { user: None, token: "a.b-c_d.e==".into() });
        let login =
            Login::decode(b"n,a=al=2Cice=3D,\x01host=x\x01auth=bearer  tok\x01port=1\x01\x01").unwrap();
        assert_eq!(login, Login { user: Some("al,ice=".into()), token: "tok".into() });
        for damaged in [
            &b""[..],
            b"n",
            b"n,",
            b"n,,",
            b"n,,\x01",
            b"n,,\x01\x01",
            b"y,,\x01auth=Bearer a\x01\x01",
            b"n,a=,\x01auth=Bearer a\x01\x01",
            b"n,b=c,\x01auth=Bearer a\x01\x01",
            b"n,a=x=2,\x01auth=Bearer a\x01\x01",
            b"n,,\x01auth=Bearer a\x01",
            b"n,,\x01auth=Basic a\x01\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"n,,\x01auth=Bearer a b\x01\x01",
            b"n,,\x01auth=Bearer\x01\x01",
            b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            b"n,,\x01a1=x\x01auth=Bearer a\x01\x01",
            b"n,,\x01auth=Bearer \xff\x01\x01",
        ] {
            assert!(Login::decode(damaged).is_err(), "{damaged:?}");
        }
    }
}
