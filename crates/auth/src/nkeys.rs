//! NKeys: the Ed25519 keys by which clients of NATS log in, and the files that hold them with a token.
//!
//! A seed is base32 of two bytes that say what it is for, 32 bytes of seed and a CRC-16; described at
//! <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth>.

use crate::AuthError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The high bits of the first byte of every seed.
const SEED: u8 = 18 << 3;
const SEED_BYTES: usize = 2 + 32 + 2;

/// A key that signs.
pub struct Nkey {
    pair: Ed25519KeyPair,
    /// What it is for, as the first byte of its public form.
    kind: u8,
}

/// What a file of credentials holds.
pub struct Credentials {
    /// The token that names the user.
    pub jwt: String,
    pub key: Nkey,
}

impl Nkey {
    /// From a seed as it is written: `SUAM…`.
    pub fn from_seed(seed: &str) -> Result<Nkey, AuthError> {
        let wrong =
            || AuthError::new("it is no seed of an NKey, which begins with S and has 58 letters and digits");
        let bytes = unbase32(seed.trim()).filter(|bytes| bytes.len() == SEED_BYTES).ok_or_else(wrong)?;
        let (body, sum) = bytes.split_at(SEED_BYTES - 2);
        if body[0] & 0xf8 != SEED || crc16(body).to_le_bytes() != sum {
            return Err(wrong());
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&body[2..]).map_err(|_| wrong())?;
        Ok(Nkey { pair, kind: (body[0] & 7) << 5 | (body[1] & 0xf8) >> 3 })
    }

    /// The public key as servers know it: `U…`.
    pub fn public(&self) -> String {
        let mut bytes = vec![self.kind];
        bytes.extend_from_slice(self.pair.public_key().as_ref());
        let sum = crc16(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        base32(&bytes)
    }

    /// The signature of what a server asks to sign, as it is sent.
    pub fn sign(&self, nonce: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(nonce).as_ref())
    }
}

impl Credentials {
    /// From the text of a file of credentials, as `nsc` makes it.
    pub fn parse(text: &str) -> Result<Credentials, AuthError> {
        let part = |name: &str| {
            let missing = || AuthError::new(format!("the file of credentials has no part {name}"));
            let begin = format!("-----BEGIN {name}-----");
            let (_, rest) = text.split_once(&begin).ok_or_else(missing)?;
            let found = rest.lines().map(str::trim).find(|line| !line.is_empty());
            found.filter(|line| !line.starts_with('-')).ok_or_else(missing)
        };
        Ok(Credentials {
            jwt: part("NATS USER JWT")?.to_string(),
            key: Nkey::from_seed(part("USER NKEY SEED")?)?,
        })
    }
}

/// RFC 4648, section 6, without padding.
fn base32(bytes: &[u8]) -> String {
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - count) & 31) as usize]));
    }
    text
}

fn unbase32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = bits << 5 | value as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let mut crc = crc ^ u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    /// From the tests of `nats-io/nkeys`.
    const USER_SEED: &str = "SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY";

    #[test]
    fn a_seed_gives_a_user_whose_signature_holds() {
        let key = Nkey::from_seed(USER_SEED).unwrap();
        assert!(key.public().starts_with('U') && key.public().len() == 56, "{}", key.public());
        let bytes = unbase32(&key.public()).unwrap();
        assert_eq!(crc16(&bytes[..33]).to_le_bytes(), bytes[33..]);
        let signature = URL_SAFE_NO_PAD.decode(key.sign(b"nonce")).unwrap();
        UnparsedPublicKey::new(&ED25519, &bytes[1..33]).verify(b"nonce", &signature).unwrap();
    }

    /// A pair that openssl has made.
    #[test]
    fn a_seed_gives_the_public_key_that_openssl_says() {
        let key = Nkey::from_seed("SUADD5SSB7TMGNXHG7UKSNIRATOBKZCDVD4LWOPUDTHJUYNFJQEHSVPHVE").unwrap();
        assert_eq!(key.public(), "UBHIKXRZO552TPW23MH4QYP3KGDCPXYB22EPZQZVTEYDP5PKIQBTC2B6");
    }

    #[test]
    fn what_is_no_seed_is_refused_and_not_shown() {
        let mut changed = USER_SEED.to_string();
        changed.replace_range(20..21, "7");
        let key = Nkey::from_seed(USER_SEED).unwrap();
        for seed in ["", "SU", &changed, &key.public(), "SUAM\u{e9}"] {
            let error = Nkey::from_seed(seed).err().unwrap().to_string();
            assert!(
                error.contains("no seed") && (seed.is_empty() || !error.contains(seed) || seed == "SU"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_of_credentials_has_a_token_and_a_seed() {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.x.y\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{USER_SEED}\n------END USER NKEY SEED------\n"
        );
        let credentials = Credentials::parse(&text).unwrap();
        assert_eq!(credentials.jwt, "eyJ0.x.y");
        assert_eq!(credentials.key.public(), Nkey::from_seed(USER_SEED).unwrap().public());
        assert!(Credentials::parse("nothing").err().unwrap().to_string().contains("NATS USER JWT"));
    }
}
