//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL asks for it, from the client's side.
//!
//! Passwords are taken as they are: those outside of ASCII must be in the form that the server normalised them to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";

/// `c=` of a client that binds no channel: base64 of `n,,`.
const NO_CHANNEL: &str = "biws";
/// More rounds than this are an attack on our time.
const ROUNDS_MAX: u32 = 1_000_000;

const BLOCK_BYTES: usize = 64;

type Hash = [u8; 32];

pub(crate) struct Scram {
    password: String,
    nonce: String,
}

/// The last message of the client, and what the server must answer to it.
pub(crate) struct Proof {
    pub message: String,
    server_signature: Hash,
}

impl Scram {
    pub(crate) fn new(password: &str, nonce: &str) -> Scram {
        Scram { password: password.into(), nonce: nonce.into() }
    }

    /// The server knows the user by the connection.
    fn first_bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.first_bare())
    }

    pub(crate) fn answer(&self, server_first: &str) -> Result<Proof, String> {
        self.answer_bare(&self.first_bare(), server_first)
    }

    fn answer_bare(&self, first_bare: &str, server_first: &str) -> Result<Proof, String> {
        let field = |name: &str| {
            let found = server_first.split(',').find_map(|part| part.strip_prefix(name));
            found.ok_or_else(|| format!("the server's challenge has no {name}"))
        };
        let (nonce, salt, rounds) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server's challenge is for somebody else".into());
        }
        let salt = STANDARD.decode(salt).map_err(|_| "the server's salt is no base64")?;
        let rounds: u32 = rounds.parse().map_err(|_| "the server's number of rounds is no number")?;
        if !(1..=ROUNDS_MAX).contains(&rounds) {
            return Err(format!("the server wants rounds={rounds}"));
        }
        let salted = salted(self.password.as_bytes(), &salt, rounds);
        let client_key = hmac(&salted, &[b"Client Key"]);
        let stored_key: Hash = Sha256::digest(client_key).into();
        let without_proof = format!("c={NO_CHANNEL},r={nonce}");
        let signed = format!("{first_bare},{server_first},{without_proof}");
        let mut proof = hmac(&stored_key, &[signed.as_bytes()]);
        proof.iter_mut().zip(client_key).for_each(|(byte, key)| *byte ^= key);
        let server_key = hmac(&salted, &[b"Server Key"]);
        Ok(Proof {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            server_signature: hmac(&server_key, &[signed.as_bytes()]),
        })
    }
}

impl Proof {
    /// Whether the server knows the password too.
    pub(crate) fn check(&self, server_final: &str) -> Result<(), String> {
        let signature =
            server_final.strip_prefix("v=").map(|signature| STANDARD.decode(signature.trim_end()));
        match signature {
            Some(Ok(signature)) if signature == self.server_signature => Ok(()),
            _ => Err("the server does not know the password: it is not who it says it is".into()),
        }
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut block = [0; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new();
    inner.update(block.map(|byte| byte ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    outer.update(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// PBKDF2 with one block.
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Hash {
    let mut last = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut all = last;
    for _ in 1..rounds {
        last = hmac(password, &[&last]);
        all.iter_mut().zip(last).for_each(|(byte, other)| *byte ^= other);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_exchange_of_the_standard() {
        let scram = Scram::new("pencil", "rOprNGfwEbeRWgbNEkqO");
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = scram.answer_bare("n=user,r=rOprNGfwEbeRWgbNEkqO", challenge).unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(proof.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").is_err());
        assert!(scram.answer("r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096").is_err());
        assert!(scram.answer("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000").is_err());
    }
}
