//! The public keys that tokens are signed with: a JSON Web Key Set (RFC 7517), and signatures by RFC 7518.
//!
//! RSA keys of 2048 bits and more, and the curves P-256 and P-384. Symmetric keys are never taken: whoever can check
//! such a signature can make one. Keys of other kinds, and those meant for encryption, are passed over.

use crate::AuthError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

/// Bytes of a key set at most.
pub const KEY_SET_BYTES_MAX: usize = 1 << 20;
/// A token without a key's id is tried with each key that fits, so there must not be too many.
const KEYS_MAX: usize = 64;
const RSA_BYTES_MIN: usize = 2_048 / 8;

/// How a token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
}

impl Algorithm {
    pub const ALL: [Algorithm; 8] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es256,
        Algorithm::Es384,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
        }
    }

    /// `none`, HMAC and whatever else is not in the list have no number here.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only one it may be used with, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// From JSON; an error if there is no key in it that could be used.
    pub fn parse(json: &[u8]) -> Result<KeySet, AuthError> {
        let wrong = |what: &str| AuthError::new(format!("it is not a set of keys (JWKS): {what}"));
        if json.len() > KEY_SET_BYTES_MAX {
            return Err(wrong(&format!("it is longer than {KEY_SET_BYTES_MAX} bytes")));
        }
        let value: Value = serde_json::from_slice(json).map_err(|error| wrong(&error.to_string()))?;
        let keys = value["keys"].as_array().ok_or_else(|| wrong("there is no list 'keys'"))?;
        let usable: Vec<Key> = keys.iter().filter_map(key).take(KEYS_MAX + 1).collect();
        match usable.len() {
            0 => {
                Err(wrong("no key is an RSA key of 2048 bits or more, or on P-256 or P-384, for signatures"))
            }
            count if count > KEYS_MAX => Err(wrong(&format!("there are more than {KEYS_MAX} keys"))),
            _ => Ok(KeySet(usable)),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a key of this id.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether a key of this id, without an id any key, made the signature.
    pub(crate) fn signed(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let meant = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let fitting = meant.filter(|key| key.algorithm.is_none_or(|only| only == algorithm));
        fitting.into_iter().any(|key| key.material.signed(algorithm, message, signature))
    }
}

impl Material {
    fn signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let rsa = match algorithm {
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::Es256 | Algorithm::Es384 => {
                let (curve, point) = match (algorithm, self) {
                    (Algorithm::Es256, Material::P256(point)) => (&signature::ECDSA_P256_SHA256_FIXED, point),
                    (Algorithm::Es384, Material::P384(point)) => (&signature::ECDSA_P384_SHA384_FIXED, point),
                    _ => return false,
                };
                return UnparsedPublicKey::new(curve, point).verify(message, signature).is_ok();
            }
        };
        let Material::Rsa { modulus, exponent } = self else { return false };
        RsaPublicKeyComponents { n: modulus, e: exponent }.verify(rsa, message, signature).is_ok()
    }
}

/// None for a key that cannot be used.
fn key(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if let Some(operations) = value.get("key_ops").and_then(Value::as_array)
        && !operations.iter().any(|operation| operation == "verify")
    {
        return None;
    }
    let algorithm = match value.get("alg") {
        None => None,
        // A key for something that is not in the list.
        Some(name) => Some(Algorithm::from_name(name.as_str()?)?),
    };
    let number = |name: &str| BASE64URL.decode(text(name)?.trim_end_matches('=')).ok();
    let material = match text("kty")? {
        "RSA" => {
            let trimmed =
                |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
            let (modulus, exponent) = (trimmed(number("n")?), trimmed(number("e")?));
            if modulus.len() < RSA_BYTES_MIN || exponent.is_empty() {
                return None;
            }
            Material::Rsa { modulus, exponent }
        }
        "EC" => {
            let (curve, bytes): (fn(Vec<u8>) -> Material, usize) = match text("crv")? {
                "P-256" => (Material::P256, 32),
                "P-384" => (Material::P384, 48),
                _ => return None,
            };
            let (x, y) = (number("x")?, number("y")?);
            if x.len() != bytes || y.len() != bytes {
                return None;
            }
            curve([vec![4], x, y].concat())
        }
        _ => return None,
    };
    Some(Key { id: text("kid").map(str::to_string), algorithm, material })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// RFC 7515, A.2: the key and what it signed.
    const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

    fn rsa() -> Value {
        json!({"kty": "RSA", "n": MODULUS, "e": "AQAB"})
    }

    fn set(keys: Value) -> Result<KeySet, AuthError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn the_rfcs_signature_is_right_and_changed_ones_are_not() {
        let keys = set(json!([rsa()])).unwrap();
        let signature = BASE64URL.decode(SIGNATURE).unwrap();
        let message = SIGNED.as_bytes();
        assert!(keys.signed(None, Algorithm::Rs256, message, &signature));
        assert!(!keys.signed(Some("k"), Algorithm::Rs256, message, &signature));
        for other in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Rs256) {
            assert!(!keys.signed(None, other, message, &signature), "{}", other.name());
        }
        for at in [0, 100, 255] {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(!keys.signed(None, Algorithm::Rs256, message, &changed));
        }
        assert!(!keys.signed(None, Algorithm::Rs256, &message[1..], &signature));
        assert!(!keys.signed(None, Algorithm::Rs256, message, &[]));
    }

    #[test]
    fn a_key_is_used_for_what_it_is_for() {
        let with = |name: &str, value: Value| {
            let mut key = rsa();
            key[name] = value;
            set(json!([key]))
        };
        let signature = BASE64URL.decode(SIGNATURE).unwrap();
        let signs = |keys: KeySet| keys.signed(None, Algorithm::Rs256, SIGNED.as_bytes(), &signature);
        assert!(signs(with("use", json!("sig")).unwrap()));
        assert!(signs(with("key_ops", json!(["verify"])).unwrap()));
        assert!(signs(with("alg", json!("RS256")).unwrap()));
        assert!(!signs(with("alg", json!("PS256")).unwrap()));
        for (name, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt"])),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("kty", json!("oct")),
            ("n", json!(MODULUS[..200])),
            ("n", json!("?")),
            ("n", json!(7)),
            ("e", json!("")),
        ] {
            with(name, value).unwrap_err();
        }
    }

    #[test]
    fn damaged_sets_are_errors() {
        for text in ["", "[]", "{}", r#"{"keys": 1}"#, r#"{"keys": []}"#, r#"{"keys": [1, {}, null]}"#] {
            KeySet::parse(text.as_bytes()).unwrap_err();
        }
        KeySet::parse(&vec![b'['; 100_000]).unwrap_err();
        KeySet::parse(&vec![b' '; KEY_SET_BYTES_MAX + 1]).unwrap_err();
        assert!(set(json!(vec![rsa(); 65])).unwrap_err().0.contains("more than 64"));
        set(json!([{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}])).unwrap_err();
        set(json!([{"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}])).unwrap_err();
        // A point that is on no curve fails when it is used.
        let zeros = BASE64URL.encode([0; 32]);
        let keys = set(json!([{"kty": "EC", "crv": "P-256", "x": zeros, "y": zeros}])).unwrap();
        assert!(!keys.signed(None, Algorithm::Es256, b"x", &[1; 64]));
    }
}
