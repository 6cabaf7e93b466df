//! Signed tokens (JWT, RFC 7519) and the check that a node makes of one, with the rules of Kafka's broker.
//!
//! A token counts if a key of the set signed it, with an algorithm of the list; if it has not expired, is for one of the
//! audiences and by the issuer that are expected; and if it says whom it is about. `none` and HMAC are refused before
//! anything else is looked at. The keys are replaced by whoever fetches them, and a token with a key that nobody
//! knows asks for that.

use crate::AuthError;
use crate::jwks::{Algorithm, KeySet};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of a token at most.
pub const TOKEN_BYTES_MAX: usize = 64 << 10;
const SUBJECT_BYTES_MAX: usize = 255;

/// What is asked of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// One of them must be named; without any, whom a token is for is not looked at.
    pub audiences: Vec<String>,
    pub issuer: Option<String>,
    pub scope_claim: String,
    pub subject_claim: String,
    /// How far the clocks of the issuer and of this node may be apart.
    pub clock_skew_seconds: i64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            audiences: Vec::new(),
            issuer: None,
            scope_claim: "scope".into(),
            subject_claim: "sub".into(),
            clock_skew_seconds: 30,
        }
    }
}

/// What a token that counts says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub subject: String,
    /// By the wall clock.
    pub expires_at_ms: i64,
    pub scopes: Vec<String>,
}

/// Checks tokens; shared by all connections.
#[derive(Debug)]
pub struct TokenVerifier {
    policy: Policy,
    keys: Mutex<Arc<KeySet>>,
    /// Whether a token named a key that is not in the set.
    missed: Mutex<bool>,
    changed: Condvar,
}

impl TokenVerifier {
    /// Without keys: no token counts until there are some.
    pub fn new(policy: Policy) -> TokenVerifier {
        TokenVerifier { policy, keys: Mutex::default(), missed: Mutex::new(false), changed: Condvar::new() }
    }

    pub fn replace_keys(&self, keys: KeySet) {
        *lock(&self.keys) = Arc::new(keys);
    }

    /// Waits until a token names an unknown key, `wake` is called, or the time is over; whether it was before that.
    pub fn wait_for_miss(&self, at_most: Duration) -> bool {
        let missed = lock(&self.missed);
        let waited = self.changed.wait_timeout_while(missed, at_most, |missed| !*missed);
        let (mut missed, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *missed)
    }

    pub fn wake(&self) {
        *lock(&self.missed) = true;
        self.changed.notify_all();
    }

    /// The token's content, if it counts; the reason is for the log, not for who sent it.
    pub fn verify(&self, token: &str, wall_ms: i64) -> Result<Token, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| refused("it has no signature"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| refused("it has not three parts"))?;
        if claims.contains('.') {
            return Err(refused("it has not three parts (encrypted tokens are not taken)"));
        }
        let header = object(header, "header")?;
        let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let algorithm = Algorithm::from_name(name).ok_or_else(|| {
            let shown: String = name.chars().take(20).flat_map(char::escape_debug).collect();
            refused(&format!("alg=\"{shown}\" is not taken: none and HMAC prove nothing here"))
        })?;
        if header.contains_key("crit") {
            return Err(refused("its header has extensions that must be understood (crit)"));
        }
        let id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.as_str()),
            Some(_) => return Err(refused("kid is not a text")),
        };
        let signature = decoded(signature, "signature")?;
        let keys = lock(&self.keys).clone();
        if !keys.signed(id, algorithm, signed.as_bytes(), &signature) {
            if id.is_some_and(|id| keys.knows(id)) {
                return Err(refused("the signature is wrong"));
            }
            // The issuer may have a new key.
            self.wake();
            return Err(refused("no known key made the signature"));
        }
        self.policy.check(&object(claims, "claims")?, wall_ms)
    }
}

impl Policy {
    fn check(&self, claims: &Map<String, Value>, wall_ms: i64) -> Result<Token, AuthError> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if seconds.is_finite() => Ok(Some((seconds * 1_000.0) as i64)),
                _ => Err(refused(&format!("{name} is not a number of seconds"))),
            },
        };
        let skew_ms = self.clock_skew_seconds.saturating_mul(1_000);
        let expires_at_ms = time("exp")?.ok_or_else(|| refused("it has no expiration (exp)"))?;
        let issued_at_ms = time("iat")?.ok_or_else(|| refused("it has no time of issue (iat)"))?;
        let not_before_ms = time("nbf")?;
        if wall_ms.saturating_sub(skew_ms) >= expires_at_ms {
            return Err(refused("it has expired"));
        }
        if not_before_ms.is_some_and(|from_ms| wall_ms.saturating_add(skew_ms) < from_ms) {
            return Err(refused("it does not count yet (nbf)"));
        }
        if expires_at_ms < issued_at_ms.max(not_before_ms.unwrap_or(i64::MIN)) {
            return Err(refused("it expires before it begins"));
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if let Some(issuer) = &self.issuer
            && text("iss") != Some(issuer)
        {
            return Err(refused("it is by another issuer (iss)"));
        }
        let audiences =
            texts(claims.get("aud")).ok_or_else(|| refused("aud is neither a text nor a list of texts"))?;
        if !self.audiences.is_empty() && !self.audiences.iter().any(|known| audiences.contains(known)) {
            return Err(refused("it is for another audience (aud)"));
        }
        let subject = text(&self.subject_claim).unwrap_or_default();
        let may_be_a_name = !subject.trim().is_empty()
            && subject.len() <= SUBJECT_BYTES_MAX
            && !subject.chars().any(char::is_control);
        if !may_be_a_name {
            return Err(refused(&format!(
                "{} is not a name of 1 to {SUBJECT_BYTES_MAX} bytes",
                self.subject_claim
            )));
        }
        let scopes = texts(claims.get(&self.scope_claim))
            .ok_or_else(|| refused(&format!("{} is neither a text nor a list of texts", self.scope_claim)))?;
        Ok(Token { subject: subject.to_string(), expires_at_ms, scopes })
    }
}

fn refused(reason: &str) -> AuthError {
    AuthError::new(format!("the token is refused: {reason}"))
}

/// A text or a list of texts; none for something else.
fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None => Some(Vec::new()),
        Some(Value::String(text)) => Some(vec![text.clone()]),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_string)).collect(),
        Some(_) => None,
    }
}

fn decoded(part: &str, what: &str) -> Result<Vec<u8>, AuthError> {
    BASE64URL.decode(part).map_err(|_| refused(&format!("its {what} is not base64url")))
}

fn object(part: &str, what: &str) -> Result<Map<String, Value>, AuthError> {
    match serde_json::from_slice(&decoded(part, what)?) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(refused(&format!("its {what} is not a JSON object"))),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Issuer;
    use serde_json::json;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn claims() -> Value {
        json!({"sub": "alice", "iat": 1_799_999_900, "exp": 1_800_000_060, "scope": ["a", "b"]})
    }

    fn changed(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    #[test]
    fn a_signed_token_says_who_it_is_about_and_until_when() {
        for issuer in [Issuer::p256("k1"), Issuer::p384("k1")] {
            let verifier = TokenVerifier::new(Policy::default());
            verifier.replace_keys(issuer.keys());
            let token = verifier.verify(&issuer.sign(&claims()), NOW_MS).unwrap();
            let scopes = vec!["a".to_string(), "b".to_string()];
            assert_eq!(token, Token { subject: "alice".into(), expires_at_ms: 1_800_000_060_000, scopes });
        }
    }

    #[test]
    fn whatever_does_not_count_is_refused() {
        // Bad input 11.
        let issuer = Issuer::p256("k1");
        let policy = Policy {
            audiences: vec!["kafka".into(), "eventwright".into()],
            issuer: Some("https://issuer".into()),
            ..Policy::default()
        };
        let verifier = TokenVerifier::new(policy.clone());
        verifier.replace_keys(issuer.keys());
        let mut good = claims();
        good["aud"] = json!(["other", "kafka"]);
        good["iss"] = json!("https://issuer");
        verifier.verify(&issuer.sign(&good), NOW_MS).unwrap();
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value,
            }
            verifier.verify(&issuer.sign(&claims), NOW_MS).map_err(|error| error.0)
        };
        with("aud", json!("kafka")).unwrap();
        with("exp", json!(1_799_999_971)).unwrap();
        with("exp", json!(1_800_000_000.5)).unwrap();
        with("nbf", json!(1_800_000_030)).unwrap();
        with("scope", Value::Null).unwrap();
        for (name, value, words) in [
            ("aud", json!("other"), "audience"),
            ("aud", json!([1]), "aud"),
            ("aud", Value::Null, "audience"),
            ("iss", json!("https://other"), "issuer"),
            ("iss", Value::Null, "issuer"),
            ("exp", json!(1_799_999_970), "expired"),
            ("exp", json!("1900000000"), "exp"),
            ("exp", Value::Null, "exp"),
            ("iat", Value::Null, "iat"),
            ("iat", json!(1_800_000_061), "before it begins"),
            ("nbf", json!(1_800_000_031), "nbf"),
            ("sub", Value::Null, "sub"),
            ("sub", json!(""), "sub"),
            ("sub", json!(7), "sub"),
            ("sub", json!("a\nb"), "sub"),
            ("sub", json!("x".repeat(256)), "sub"),
            ("scope", json!(7), "scope"),
        ] {
            let error = with(name, value.clone()).unwrap_err();
            assert!(error.contains(words), "{name}={value}: {error}");
        }
        let other = TokenVerifier::new(Policy { subject_claim: "client_id".into(), ..Policy::default() });
        other.replace_keys(issuer.keys());
        let token = other.verify(&issuer.sign(&changed("client_id", json!("billing"))), NOW_MS).unwrap();
        assert_eq!(token.subject, "billing");
    }

    #[test]
    fn signatures_that_prove_nothing_are_refused() {
        let issuer = Issuer::p256("k1");
        let verifier = TokenVerifier::new(Policy::default());
        let good = issuer.sign(&claims());
        verifier.verify(&good, NOW_MS).unwrap_err();
        verifier.replace_keys(issuer.keys());
        verifier.verify(&good, NOW_MS).unwrap();
        let parts: Vec<&str> = good.split('.').collect();
        let encode = |value: Value| BASE64URL.encode(value.to_string());
        let refused = |token: &str, words: &str| {
            let error = verifier.verify(token, NOW_MS).unwrap_err();
            assert!(error.0.contains(words), "{token}: {error}");
        };
        for name in ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "ES512", "RS1"] {
            let header = encode(json!({"alg": name, "kid": "k1"}));
            refused(&format!("{header}.{}.", parts[1]), "is not taken");
            refused(&format!("{header}.{}.{}", parts[1], parts[2]), "is not taken");
        }
        refused(&format!("{}.{}.{}", encode(json!({"kid": "k1"})), parts[1], parts[2]), "is not taken");
        refused(&format!("{}.{}.", parts[0], parts[1]), "signature");
        let other = encode(changed("sub", json!("admin")));
        refused(&format!("{}.{other}.{}", parts[0], parts[2]), "signature is wrong");
        let header = |more: Value| {
            let mut header = json!({"alg": "ES256", "kid": "k1"});
            header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            header
        };
        refused(&issuer.sign_with(&header(json!({"crit": ["exp"]})), &claims()), "crit");
        refused(&issuer.sign_with(&header(json!({"kid": 7})), &claims()), "kid");
        // The same key, said to be another kind.
        refused(&issuer.sign_with(&header(json!({"alg": "ES384"})), &claims()), "signature");
        refused(&issuer.sign_with(&header(json!({"alg": "RS256"})), &claims()), "signature");
        // Somebody else's key under the same id.
        refused(&Issuer::p256("k1").sign(&claims()), "signature is wrong");
        for token in
            ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d.e", "\0.\0.\0", &"x".repeat(TOKEN_BYTES_MAX + 1)]
        {
            verifier.verify(token, NOW_MS).unwrap_err();
        }
        for end in 0..good.len() {
            verifier.verify(&good[..end], NOW_MS).unwrap_err();
        }
    }

    #[test]
    fn a_new_key_is_asked_for_once_it_is_needed() {
        let (old, new) = (Issuer::p256("k1"), Issuer::p256("k2"));
        let verifier = TokenVerifier::new(Policy::default());
        verifier.replace_keys(old.keys());
        verifier.verify(&old.sign(&claims()), NOW_MS).unwrap();
        assert!(!verifier.wait_for_miss(Duration::ZERO));
        verifier.verify(&new.sign(&claims()), NOW_MS).unwrap_err();
        assert!(verifier.wait_for_miss(Duration::ZERO));
        assert!(!verifier.wait_for_miss(Duration::ZERO));
        verifier.replace_keys(new.keys());
        verifier.verify(&new.sign(&claims()), NOW_MS).unwrap();
        verifier.verify(&old.sign(&claims()), NOW_MS).unwrap_err();
    }
}
