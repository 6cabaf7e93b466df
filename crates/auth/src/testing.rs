//! Who issues tokens, for tests here and in the crates above: keys of their own, and what they sign.

use crate::jwks::KeySet;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// An RSA key of 2048 bits that protects nothing.
pub const RSA_PEM: &str = include_str!("testing/rsa.pem");

/// Its public key as JWKS.
pub fn rsa_jwks(id: &str) -> String {
    const MODULUS: &str = concat!(
        "sSR17ZYzlEB_QAk__8pf0At30yMGLhjZaGCF_TM2HjjojIhnQ_rLkF5woo-FGy7FstbfwRoGJUw-8Ce2L3qCqucU7H1cI-dx09fw",
        "hGaz7WsMzqOnw5fKJS9ln0X_nZfN0uZWBJOAhlLmMh0vpYzQiaQXe8P6455bfScDoVuqr3zAYJtT9KN0hXT3DyKphfS1HdftrLgv",
        "YN7GQvZud5_Pjiamw0QSXviRE6wIBw-Z2k3a_eHX2DWQz2WJEYl4FtZBAk9GIDteG79OUp7pRCNDSx4ZmDajsCtvn_PryD3Yp2-R",
        "xozEeL9YihsDI0sPDsnyYk2S4zU7mcMWexzsMtD-iw"
    );
    json!({"keys": [{"kty": "RSA", "n": MODULUS, "e": "AQAB", "kid": id, "use": "sig", "alg": "RS256"}]})
        .to_string()
}

/// An issuer with one key.
pub struct Issuer {
    id: String,
    algorithm: &'static str,
    key: EcdsaKeyPair,
}

impl Issuer {
    pub fn p256(id: &str) -> Issuer {
        Issuer::new(id, "ES256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub fn p384(id: &str) -> Issuer {
        Issuer::new(id, "ES384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn new(id: &str, algorithm: &'static str, curve: &'static signature::EcdsaSigningAlgorithm) -> Issuer {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(curve, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(curve, document.as_ref(), &random).expect("its own form");
        Issuer { id: id.to_string(), algorithm, key }
    }

    /// The public key as JWKS.
    pub fn jwks(&self) -> String {
        let point = &self.key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let curve = if self.algorithm == "ES256" { "P-256" } else { "P-384" };
        let (x, y) = (BASE64URL.encode(x), BASE64URL.encode(y));
        let key = json!({"kty": "EC", "crv": curve, "x": x, "y": y, "kid": self.id, "use": "sig", "alg": self.algorithm});
        json!({ "keys": [key] }).to_string()
    }

    pub fn keys(&self) -> KeySet {
        KeySet::parse(self.jwks().as_bytes()).expect("a key that can be used")
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": self.algorithm, "kid": self.id}), claims)
    }

    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64URL.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", BASE64URL.encode(signature))
    }
}
