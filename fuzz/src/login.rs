//! Who is there: SASL messages of both sides, and the names in certificates.

use auth::plain::Login;
use auth::scram::{ClientExchange, ServerExchange};
use auth::{Credential, Mechanism};

const NONCE: &str = "nonce";
/// Between two messages of one exchange.
const BETWEEN: u8 = b'\n';

/// PLAIN, and the two messages that either side of SCRAM gets.
pub fn exchange(data: &[u8]) {
    if let Ok(login) = Login::decode(data) {
        let again = Login::decode(&Login::encode(&login.user, &login.password))
            .expect("what was written can be read");
        assert!(again.user == login.user && again.password == login.password);
    }
    let mut messages = data.splitn(2, |byte| *byte == BETWEEN);
    let (first, last) = (messages.next().unwrap_or_default(), messages.next().unwrap_or_default());
    // The salted password is made up: the hash is costly on purpose.
    let credential = |_: &str| Credential::from_salted(Mechanism::Sha256, b"salt", 4096, &[1; 32]);
    if let Ok((exchange, _)) = ServerExchange::begin(first, NONCE, credential) {
        assert!(exchange.finish(last).is_err(), "somebody came in without the password");
    }
    // Nor are so many rounds run here as a client takes.
    let is_costly = first.windows(2).any(|pair| pair == b"i=") && !first.ends_with(b"i=4096");
    if !is_costly {
        let (mut exchange, _) = ClientExchange::begin(Mechanism::Sha512, "user", "secret", NONCE);
        if exchange.respond(first).is_ok() {
            assert!(exchange.verify(last).is_err(), "a server without the credential was believed");
        }
    }
}

pub fn exchanges() -> Vec<Vec<u8>> {
    [
        &b"\0user\0secret"[..],
        b"n,,n=us=2Cer,r=abc\nc=biws,r=abcnonce,p=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        b"n,a=user,n=user,r=abc,ext=1\nc=bixhPXVzZXIs,r=abcnonce,p=AQ==",
        b"r=nonceserver,s=c2FsdA==,i=4096\nv=AQEBAQ==",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

pub fn certificate(data: &[u8]) {
    let _ = auth::names::subject_of(data);
    // PEM, and what is in it.
    let _ = auth::tls::client(data, None);
}

pub fn certificates() -> Vec<Vec<u8>> {
    let der = include_bytes!("../seeds/certificate.der");
    vec![der.to_vec(), include_bytes!("../seeds/certificate.pem").to_vec()]
}
