//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), as Kafka speaks them, for both sides.
//!
//! A node keeps what RFC 5802 calls StoredKey and ServerKey: neither is the password nor lets anyone log
//! in with it. A user that does not exist gets the same course with a salt of its own, so that the
//! answers do not tell which names exist.

use crate::AuthError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use subtle::ConstantTimeEq;

/// Fewer make a stolen credential cheap to guess; Kafka's bounds.
pub const ITERATIONS_MIN: u32 = 4_096;
pub const ITERATIONS_MAX: u32 = 16_384;
/// What `user add` takes.
pub const ITERATIONS_DEFAULT: u32 = 8_192;
/// The length of the salts that `user add` makes.
pub const SALT_BYTES: usize = 20;
/// A client stops here: a hostile node could keep it busy for hours.
const CLIENT_ITERATIONS_MAX: u32 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    Sha256,
    Sha512,
}

impl Mechanism {
    pub const ALL: [Mechanism; 2] = [Mechanism::Sha256, Mechanism::Sha512];

    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM-SHA-256",
            Mechanism::Sha512 => "SCRAM-SHA-512",
        }
    }

    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// The number in Kafka's messages and in our log.
    pub fn number(self) -> i8 {
        match self {
            Mechanism::Sha256 => 1,
            Mechanism::Sha512 => 2,
        }
    }

    pub fn from_number(number: i8) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.number() == number)
    }

    /// Length of its hash.
    pub fn hash_bytes(self) -> usize {
        match self {
            Mechanism::Sha256 => 32,
            Mechanism::Sha512 => 64,
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::Sha256 => hmac::HMAC_SHA256,
            Mechanism::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
    }

    fn hash(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::Sha256 => &digest::SHA256,
            Mechanism::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }

    /// RFC 5802's SaltedPassword: costly on purpose.
    pub fn salted_password(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Mechanism::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut out = vec![0; self.hash_bytes()];
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut out);
        out
    }
}

/// What a node keeps of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub mechanism: Mechanism,
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({}, iterations={})", self.mechanism.name(), self.iterations)
    }
}

impl Credential {
    pub fn from_salted(
        mechanism: Mechanism,
        salt: &[u8],
        iterations: u32,
        salted_password: &[u8],
    ) -> Credential {
        let client_key = mechanism.hmac(salted_password, b"Client Key");
        Credential {
            mechanism,
            salt: salt.to_vec(),
            iterations,
            stored_key: mechanism.hash(&client_key),
            server_key: mechanism.hmac(salted_password, b"Server Key"),
        }
    }

    pub fn from_password(mechanism: Mechanism, salt: &[u8], iterations: u32, password: &str) -> Credential {
        let salted = mechanism.salted_password(password, salt, iterations);
        Credential::from_salted(mechanism, salt, iterations, &salted)
    }

    /// Stands in for a user that does not exist: the same salt for the same name, of the shape that
    /// `user add` gives, and no password fits.
    pub fn decoy(mechanism: Mechanism, secret: &[u8], user: &str) -> Credential {
        let mut salt = Mechanism::Sha256.hmac(secret, user.as_bytes());
        let nothing = mechanism.hmac(secret, &salt);
        salt.truncate(SALT_BYTES);
        Credential {
            mechanism,
            salt,
            iterations: ITERATIONS_DEFAULT,
            stored_key: nothing.clone(),
            server_key: nothing,
        }
    }

    /// Whether this is the password; takes as long for a wrong one.
    pub fn verify_password(&self, password: &str) -> bool {
        let other = Credential::from_password(self.mechanism, &self.salt, self.iterations, password);
        equal(&self.stored_key, &other.stored_key)
    }
}

/// The parts of the client's first message.
struct ClientFirst<'a> {
    binding: &'a str,
    id: &'a str,
    bare: &'a str,
    /// As it was escaped.
    user: &'a str,
    nonce: &'a str,
}

impl ClientFirst<'_> {
    fn wrong() -> AuthError {
        AuthError::new("the first SCRAM message is malformed")
    }

    fn parse(message: &[u8]) -> Result<ClientFirst<'_>, AuthError> {
        let wrong = ClientFirst::wrong;
        let text = std::str::from_utf8(message).map_err(|_| wrong())?;
        let mut parts = text.splitn(3, ',');
        let (Some(binding), Some(id), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        if binding.starts_with("p=") {
            return Err(AuthError::new("channel binding is not supported"));
        }
        if binding != "n" && binding != "y" {
            return Err(wrong());
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|first| first.strip_prefix("n=")).ok_or_else(wrong)?;
        let nonce = attributes.next().and_then(|second| second.strip_prefix("r=")).ok_or_else(wrong)?;
        if attributes.any(|extension| extension == "tokenauth=true") {
            return Err(AuthError::new("delegation tokens are not supported"));
        }
        if nonce.is_empty() || !printable(nonce) {
            return Err(wrong());
        }
        Ok(ClientFirst { binding, id, bare, user, nonce })
    }
}

/// The server's side, between its two answers.
pub struct ServerExchange {
    pub user: String,
    credential: Credential,
    /// `n,,` or the like, which the client repeats.
    gs2_header: String,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

impl ServerExchange {
    /// Takes the client's first message; `nonce` must be fresh, random and printable.
    pub fn begin(
        message: &[u8],
        nonce: &str,
        credential_of: impl FnOnce(&str) -> Credential,
    ) -> Result<(ServerExchange, Vec<u8>), AuthError> {
        let first = ClientFirst::parse(message)?;
        let user = unescape(first.user).ok_or_else(ClientFirst::wrong)?;
        match first.id.strip_prefix("a=") {
            Some(id) if unescape(id).as_deref() != Some(&user) => {
                return Err(AuthError::new("the authorization id differs from the user"));
            }
            None if !first.id.is_empty() => return Err(ClientFirst::wrong()),
            _ => {}
        }
        let credential = credential_of(&user);
        Ok(ServerExchange::answer(first, user, nonce, credential))
    }

    /// The same where the user was named before and the message's own name counts for nothing, as in PostgreSQL's
    /// protocol, whose clients leave it empty.
    pub fn begin_for(
        user: &str,
        message: &[u8],
        nonce: &str,
        credential: Credential,
    ) -> Result<(ServerExchange, Vec<u8>), AuthError> {
        let first = ClientFirst::parse(message)?;
        if !first.id.is_empty() {
            return Err(AuthError::new("an authorization id is not supported"));
        }
        Ok(ServerExchange::answer(first, user.to_string(), nonce, credential))
    }

    fn answer(
        first: ClientFirst<'_>,
        user: String,
        nonce: &str,
        credential: Credential,
    ) -> (ServerExchange, Vec<u8>) {
        let nonce = format!("{}{nonce}", first.nonce);
        let server_first =
            format!("r={nonce},s={},i={}", BASE64.encode(&credential.salt), credential.iterations);
        let exchange = ServerExchange {
            user,
            credential,
            gs2_header: format!("{},{},", first.binding, first.id),
            nonce,
            client_first_bare: first.bare.to_string(),
            server_first: server_first.clone(),
        };
        (exchange, server_first.into_bytes())
    }

    /// Takes the client's proof; the answer proves that the node knows the credential.
    pub fn finish(&self, message: &[u8]) -> Result<Vec<u8>, AuthError> {
        let wrong = || AuthError::new("the last SCRAM message is malformed");
        let text = std::str::from_utf8(message).map_err(|_| wrong())?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(wrong)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|first| first.strip_prefix("c=")).ok_or_else(wrong)?;
        let nonce = attributes.next().and_then(|second| second.strip_prefix("r=")).ok_or_else(wrong)?;
        if BASE64.decode(binding).ok().as_deref() != Some(self.gs2_header.as_bytes()) {
            return Err(AuthError::new("the SCRAM channel binding differs from the first message"));
        }
        // A proof for another nonce could be a recorded one (CVE-2024-56128).
        if nonce != self.nonce {
            return Err(AuthError::new("the SCRAM nonce is not the one that was given out"));
        }
        let proof = BASE64.decode(proof).map_err(|_| wrong())?;
        let Credential { mechanism, stored_key, server_key, .. } = &self.credential;
        let signed = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let signature = mechanism.hmac(stored_key, signed.as_bytes());
        if proof.len() != signature.len() {
            return Err(wrong());
        }
        let client_key = xor(&proof, &signature);
        if !equal(&mechanism.hash(&client_key), stored_key) {
            return Err(AuthError::new("the user or the password is wrong"));
        }
        Ok(format!("v={}", BASE64.encode(mechanism.hmac(server_key, signed.as_bytes()))).into_bytes())
    }
}

/// The client's side.
pub struct ClientExchange {
    mechanism: Mechanism,
    password: String,
    nonce: String,
    first_bare: String,
    server_signature: Vec<u8>,
}

impl ClientExchange {
    /// The exchange and its first message; `nonce` must be fresh, random and printable.
    pub fn begin(mechanism: Mechanism, user: &str, password: &str, nonce: &str) -> (ClientExchange, Vec<u8>) {
        let first_bare = format!("n={},r={nonce}", escape(user));
        let first = format!("n,,{first_bare}").into_bytes();
        let exchange = ClientExchange {
            mechanism,
            password: password.to_string(),
            nonce: nonce.to_string(),
            first_bare,
            server_signature: Vec::new(),
        };
        (exchange, first)
    }

    /// The proof for the server's first message.
    pub fn respond(&mut self, message: &[u8]) -> Result<Vec<u8>, AuthError> {
        let wrong = || AuthError::new("the server's first SCRAM message is malformed");
        let text = std::str::from_utf8(message).map_err(|_| wrong())?;
        let attribute =
            |name: &str| text.split(',').find_map(|part| part.strip_prefix(name)).ok_or_else(wrong);
        let (nonce, salt, iterations) = (attribute("r=")?, attribute("s=")?, attribute("i=")?);
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(AuthError::new("the server's SCRAM nonce does not go on from ours"));
        }
        let iterations: u32 = iterations.parse().map_err(|_| wrong())?;
        if !(ITERATIONS_MIN..=CLIENT_ITERATIONS_MAX).contains(&iterations) {
            let reason = format!(
                "the server asks for {iterations} SCRAM iterations; {ITERATIONS_MIN} to {CLIENT_ITERATIONS_MAX} are taken"
            );
            return Err(AuthError::new(reason));
        }
        let salt = BASE64.decode(salt).map_err(|_| wrong())?;
        let salted = self.mechanism.salted_password(&self.password, &salt, iterations);
        let client_key = self.mechanism.hmac(&salted, b"Client Key");
        let without_proof = format!("c={},r={nonce}", BASE64.encode("n,,"));
        let signed = format!("{},{text},{without_proof}", self.first_bare);
        let signature = self.mechanism.hmac(&self.mechanism.hash(&client_key), signed.as_bytes());
        let server_key = self.mechanism.hmac(&salted, b"Server Key");
        self.server_signature = self.mechanism.hmac(&server_key, signed.as_bytes());
        Ok(format!("{without_proof},p={}", BASE64.encode(xor(&client_key, &signature))).into_bytes())
    }

    /// Whether the server knows the credential too.
    pub fn verify(&self, message: &[u8]) -> Result<(), AuthError> {
        let given = message.strip_prefix(b"v=").and_then(|text| BASE64.decode(text).ok());
        match given {
            Some(given) if !self.server_signature.is_empty() && equal(&given, &self.server_signature) => {
                Ok(())
            }
            _ => Err(AuthError::new("the server could not prove that it knows the user's credential")),
        }
    }
}

/// A nonce from the machine's random numbers; without them there is no safe log-in.
pub fn fresh_nonce() -> Result<String, AuthError> {
    let random = ring::rand::generate::<[u8; 18]>(&ring::rand::SystemRandom::new());
    let random = random.map_err(|_| AuthError::new("the machine has no random numbers"))?;
    Ok(nonce_of(&random.expose()))
}

/// A nonce of printable characters from random bytes.
pub fn nonce_of(random: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(random)
}

/// In a time that does not tell where they differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn printable(text: &str) -> bool {
    text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b',')
}

fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// `None` if an equals sign begins neither of the two escapes, or the name is empty.
fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut parts = name.split('=');
    out.push_str(parts.next()?);
    for part in parts {
        let (character, rest) = match part.get(..2)? {
            "3D" => ('=', &part[2..]),
            "2C" => (',', &part[2..]),
            _ => return None,
        };
        out.push(character);
        out.push_str(rest);
    }
    if out.is_empty() { None } else { Some(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange that RFC 7677 prints.
    #[test]
    fn the_example_of_rfc_7677_holds_on_both_sides() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let credential = Credential::from_password(Mechanism::Sha256, &salt, 4096, "pencil");
        let (mut client, first) =
            ClientExchange::begin(Mechanism::Sha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (server, answer) =
            ServerExchange::begin(&first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", |_| credential).unwrap();
        assert_eq!(
            String::from_utf8(answer.clone()).unwrap(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let proof = client.respond(&answer).unwrap();
        assert_eq!(
            String::from_utf8(proof.clone()).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let last = server.finish(&proof).unwrap();
        assert_eq!(last, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        client.verify(&last).unwrap();
        assert!(client.verify(b"v=AAAA").is_err());
    }

    fn server(mechanism: Mechanism, password: &str, first: &[u8]) -> (ServerExchange, Vec<u8>) {
        let credential = Credential::from_password(mechanism, b"0123456789abcdef", 4096, password);
        ServerExchange::begin(first, "server", |_| credential).unwrap()
    }

    #[test]
    fn a_wrong_password_a_decoy_and_a_foreign_nonce_fail() {
        for mechanism in Mechanism::ALL {
            let (mut client, first) = ClientExchange::begin(mechanism, "a,b=c", "right", "client");
            let (exchange, answer) = server(mechanism, "right", &first);
            assert_eq!(exchange.user, "a,b=c");
            let proof = client.respond(&answer).unwrap();
            client.verify(&exchange.finish(&proof).unwrap()).unwrap();

            let (mut client, first) = ClientExchange::begin(mechanism, "a", "wrong", "client");
            let (exchange, answer) = server(mechanism, "right", &first);
            assert!(exchange.finish(&client.respond(&answer).unwrap()).is_err());

            // Bad input 9: the right proof for another nonce.
            let (exchange, _) = server(mechanism, "right", &first);
            let text = String::from_utf8(proof.clone()).unwrap().replace("r=clientserver", "r=clientother");
            let error = exchange.finish(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("nonce"), "{error}");

            let decoy = Credential::decoy(mechanism, b"secret", "nobody");
            assert_eq!(decoy.salt, Credential::decoy(mechanism, b"secret", "nobody").salt);
            assert!(!decoy.verify_password("") && !decoy.verify_password("right"));
        }
    }

    #[test]
    fn a_client_refuses_few_iterations_and_a_nonce_that_is_not_its_own() {
        for (answer, words) in [
            ("r=clientX,s=c2FsdA==,i=4095", "iterations"),
            ("r=clientX,s=c2FsdA==,i=2000000000", "iterations"),
            ("r=client,s=c2FsdA==,i=4096", "nonce"),
            ("r=otherX,s=c2FsdA==,i=4096", "nonce"),
            ("r=clientX,s=%%,i=4096", "malformed"),
            ("", "malformed"),
        ] {
            let (mut client, _) = ClientExchange::begin(Mechanism::Sha256, "a", "b", "client");
            let error = client.respond(answer.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{answer}: {error}");
        }
    }

    #[test]
    fn malformed_first_messages_are_refused() {
        for first in [
            "",
            "n",
            "n,,",
            "n,,n=,r=x",
            "n,,n=a",
            "n,,r=x,n=a",
            "p=tls-unique,,n=a,r=x",
            "n,a=b,n=a,r=x",
            "n,b,n=a,r=x",
            "n,,n=a=,r=x",
            "n,,n=a=4D,r=x",
            "n,,n=a,r=",
            "n,,n=a,r=x y",
            "z,,n=a,r=x",
            "n,,n=a,r=x,tokenauth=true",
            "n,,n=a=é,r=x",
        ] {
            let begun = ServerExchange::begin(first.as_bytes(), "s", |_| {
                Credential::decoy(Mechanism::Sha256, b"s", "a")
            });
            assert!(begun.is_err(), "{first}");
        }
        assert!(
            ServerExchange::begin(b"\xff", "s", |_| Credential::decoy(Mechanism::Sha256, b"s", "a")).is_err()
        );
    }
}
