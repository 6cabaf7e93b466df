//! SCRAM-SHA-256 and SCRAM-SHA-1 (RFC 5802, RFC 7677) as MongoDB asks for them, from the client's side.
//!
//! Passwords are taken as they are for SHA-256: those outside of ASCII must be in the form that the server normalised them to.
//! For SHA-1 MongoDB wants the MD5 of user and password in their place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// `c=` of a client that binds no channel: base64 of `n,,`.
const NO_CHANNEL: &str = "biws";
/// Fewer make a stolen exchange cheap to guess; more are an attack on our time.
const ROUNDS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Sha1,
    Sha256,
}

impl Mechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::Sha1 => "SCRAM-SHA-1",
            Mechanism::Sha256 => "SCRAM-SHA-256",
        }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Mechanism::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec()
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Mechanism::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    fn salted(self, password: &[u8], salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
        let (algorithm, bytes) = match self {
            Mechanism::Sha1 => (pbkdf2::PBKDF2_HMAC_SHA1, digest::SHA1_OUTPUT_LEN),
            Mechanism::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
        };
        let mut out = vec![0; bytes];
        pbkdf2::derive(algorithm, rounds, salt, password, &mut out);
        out
    }
}

pub(crate) struct Scram {
    mechanism: Mechanism,
    password: String,
    nonce: String,
    first_bare: String,
}

/// The last message of the client, and what the server must answer to it.
pub(crate) struct Proof {
    pub message: String,
    server_signature: Vec<u8>,
}

impl Scram {
    pub(crate) fn new(mechanism: Mechanism, user: &str, password: &str, nonce: &str) -> Scram {
        let password = match mechanism {
            Mechanism::Sha256 => password.to_string(),
            Mechanism::Sha1 => {
                let digest = Md5::digest(format!("{user}:mongo:{password}"));
                digest.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        };
        let name = user.replace('=', "=3D").replace(',', "=2C");
        Scram { mechanism, password, nonce: nonce.into(), first_bare: format!("n={name},r={nonce}") }
    }

    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    pub(crate) fn answer(&self, server_first: &str) -> Result<Proof, String> {
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
        let rounds = NonZeroU32::new(rounds).filter(|rounds| ROUNDS.contains(&rounds.get()));
        let rounds = rounds.ok_or("the server wants too few rounds, or too many")?;
        let mechanism = self.mechanism;
        let salted = mechanism.salted(self.password.as_bytes(), &salt, rounds);
        let client_key = mechanism.hmac(&salted, b"Client Key");
        let without_proof = format!("c={NO_CHANNEL},r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let mut proof = mechanism.hmac(&mechanism.hash(&client_key), signed.as_bytes());
        proof.iter_mut().zip(client_key).for_each(|(byte, key)| *byte ^= key);
        let server_key = mechanism.hmac(&salted, b"Server Key");
        Ok(Proof {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            server_signature: mechanism.hmac(&server_key, signed.as_bytes()),
        })
    }
}

impl Proof {
    /// Whether the server knows the password too.
    pub(crate) fn check(&self, server_final: &str) -> Result<(), String> {
        let signature = server_final.strip_prefix("v=").map(|signature| STANDARD.decode(signature));
        match signature {
            Some(Ok(signature)) if signature == self.server_signature => Ok(()),
            _ => Err("the server does not know the password: it is not who it says it is".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_exchange_of_the_standard() {
        let scram = Scram::new(Mechanism::Sha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = scram.answer(challenge).unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(proof.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").is_err());
        for challenge in [
            "r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
            "r=rOprNGfwEbeRWgbNEkqOx,i=4096",
        ] {
            assert!(scram.answer(challenge).is_err(), "{challenge}");
        }
    }

    /// The example in the specification of MongoDB's drivers.
    #[test]
    fn the_exchange_with_sha_1() {
        let scram = Scram::new(Mechanism::Sha1, "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL");
        let challenge =
            "r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,s=rQ9ZY3MntBeuP3E1TDVC4w==,i=10000";
        let proof = scram.answer(challenge).unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,p=MC2T8BvbmWRckDw8oWl5IVghwCY="
        );
        proof.check("v=UMWeI25JD1yNYZRMpZ4VHvhZ9e0=").unwrap();
    }
}
