//! Tokens that we sign ourselves (RFC 7523): what a service's account shows to be given another token.

use crate::AuthError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// Signs claims (RS256) with an RSA key in PEM (PKCS #8). No error shows anything of the key.
pub fn signed(pem: &str, key_id: Option<&str>, claims: &Value) -> Result<String, AuthError> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| AuthError::new("the private key has no `BEGIN PRIVATE KEY` (PKCS #8) in it"))?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
        .map_err(|_| AuthError::new("the private key is no RSA key of 2048 to 4096 bits"))?;
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    let encode = |value: &Value| BASE64URL.encode(value.to_string());
    let message = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
        .map_err(|_| AuthError::new("nothing can be signed with the private key"))?;
    Ok(format!("{message}.{}", BASE64URL.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwks::KeySet;
    use crate::jwt::{Policy, TokenVerifier};
    use crate::testing::{RSA_PEM, rsa_jwks};

    #[test]
    fn what_is_signed_is_believed_by_who_knows_the_public_key() {
        let claims = json!({"iss": "me", "sub": "me", "aud": "you", "iat": 100, "exp": 200});
        let token = signed(RSA_PEM, Some("k1"), &claims).unwrap();
        let verifier = TokenVerifier::new(Policy { audiences: vec!["you".into()], ..Policy::default() });
        verifier.replace_keys(KeySet::parse(rsa_jwks("k1").as_bytes()).unwrap());
        let said = verifier.verify(&token, 150_000).unwrap();
        assert_eq!((said.subject.as_str(), said.expires_at_ms), ("me", 200_000));
        let (head, _) = token.rsplit_once('.').unwrap();
        assert!(verifier.verify(&format!("{head}.AAAA"), 150_000).is_err());
    }

    #[test]
    fn what_is_no_key_is_told_without_it() {
        let other = RSA_PEM.replace("PRIVATE KEY", "RSA PRIVATE KEY");
        let cut = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "c2VjcmV0".repeat(4));
        for (pem, words) in [("secret", "PKCS #8"), (&other, "PKCS #8"), (&cut, "no RSA key")] {
            let error = signed(pem, None, &json!({})).unwrap_err().0;
            assert!(error.contains(words) && !error.contains("secret") && !error.contains("c2Vj"), "{error}");
        }
    }
}
