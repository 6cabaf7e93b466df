//! Who is there: SASL messages of both sides, the names in certificates, tokens and the keys that they are signed with.

use auth::jwks::KeySet;
use auth::jwt::{Policy, TokenVerifier};
use auth::plain::Login;
use auth::scram::{ClientExchange, ServerExchange};
use auth::{Credential, Mechanism, bearer};

const NONCE: &str = "nonce";
/// Between two messages of one exchange.
const BETWEEN: u8 = b'\n';

const EXCHANGE: u8 = 0;
const CERTIFICATE: u8 = 1;
const TOKEN_OR_KEYS: u8 = 2;

/// The first byte says what follows.
pub fn check(data: &[u8]) {
    let Some((kind, rest)) = crate::choice(data) else { return };
    match kind {
        EXCHANGE => exchange(rest),
        CERTIFICATE => certificate(rest),
        _ => token(rest),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let kinds = [(EXCHANGE, exchanges()), (CERTIFICATE, certificates()), (TOKEN_OR_KEYS, tokens())];
    let with = |kind: u8, seed: &Vec<u8>| [&[kind], &seed[..]].concat();
    kinds.iter().flat_map(|(kind, seeds)| seeds.iter().map(move |seed| with(*kind, seed))).collect()
}

/// PLAIN, and the two messages that either side of SCRAM gets.
fn exchange(data: &[u8]) {
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

fn exchanges() -> Vec<Vec<u8>> {
    [
        &b"\0user\0secret"[..],
        b"n,,n=us=2Cer,r=abc\nc=biws,r=abcnonce,p=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        b"n,a=user,n=user,r=abc,ext=1\nc=bixhPXVzZXIs,r=abcnonce,p=AQ==",
        b"r=nonceserver,s=c2FsdA==,i=4096\nv=AQEBAQ==",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

fn certificate(data: &[u8]) {
    let _ = auth::names::subject_of(data);
    // PEM, and what is in it.
    let _ = auth::tls::client(data, None);
}

fn certificates() -> Vec<Vec<u8>> {
    let der = include_bytes!("../seeds/certificate.der");
    vec![der.to_vec(), include_bytes!("../seeds/certificate.pem").to_vec()]
}

/// RFC 7515, A.2: a key whose other half nobody here has, and what it signed.
const KEYS: &str = r#"{"keys":[{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// A set of keys, or a message with a token, or a token: none of them lets anybody in.
fn token(data: &[u8]) {
    let verifier = TokenVerifier::new(Policy::default());
    let keys = KeySet::parse(KEYS.as_bytes()).expect("the keys of the RFC");
    verifier.replace_keys(KeySet::parse(data).unwrap_or(keys));
    let text = String::from_utf8_lossy(data);
    let token = match bearer::Login::decode(data) {
        Ok(login) => {
            let again = bearer::Login::decode(&bearer::Login::encode(&login.token));
            assert!(again.is_ok_and(|again| again.token == login.token));
            login.token
        }
        Err(_) => bearer::of_scheme(&text).unwrap_or(&text).to_string(),
    };
    // The RFC's has no time of issue, so not even that one counts.
    assert!(verifier.verify(&token, 1_300_819_000_000).is_err(), "somebody came in without a key");
    let _ = auth::https::Url::parse(&text);
}

fn tokens() -> Vec<Vec<u8>> {
    let texts = [
        KEYS.to_string(),
        TOKEN.to_string(),
        format!("Bearer {TOKEN}"),
        format!("n,a=us=2Cer,\x01host=a\x01auth=Bearer {TOKEN}\x01\x01"),
        "https://user@[::1]:443/keys?a=b#c".to_string(),
    ];
    texts.map(String::into_bytes).to_vec()
}
