//! OAUTHBEARER over real sockets: keys from files and over HTTP and HTTPS, and what becomes of them when they change.

mod secured;

use auth::testing::Issuer;
use auth::tls::{ClientAuth, Identity};
use broker::BrokerConfig;
use broker::server::{ServerConfig, ServerError, start};
use kafka_client::{Client, ClientError};
use secured::{Files, Node, PATIENCE, broker_of, until};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

/// Serves what was set last as the answer to every request, until the test ends.
struct Web {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<usize>>,
}

impl Web {
    /// With TLS if there are files with a certificate.
    fn serve(files: Option<&Files>) -> Web {
        let tls = files.map(|files| {
            let (certificates, key) = (files.read("node.pem"), files.read("node.key"));
            let identity = Identity { certificates: &certificates, key: &key };
            Arc::new(auth::tls::server(identity, ClientAuth::None, None).unwrap())
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(0)));
        let (gives, counts) = (answer.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                *counts.lock().unwrap() += 1;
                let answer = gives.lock().unwrap().clone();
                match &tls {
                    None => reply(stream, &answer),
                    Some(config) => {
                        reply(
                            StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream),
                            &answer,
                        );
                    }
                }
            }
        });
        Web { address, answer, asked }
    }

    fn set(&self, status: &str, body: &str) {
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLocation: http://127.0.0.1/\r\n\r\n{body}",
            body.len()
        );
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

/// A client that does not like the certificate goes away, which is no failure here.
fn reply(mut stream: impl Read + Write, answer: &str) {
    let mut request = [0; 4096];
    if stream
        .read(&mut request)
        .is_ok_and(|count| request[..count].starts_with(b"GET /keys?realm=a HTTP/1.1"))
    {
        let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
    }
}

fn settings(url: &str) -> Vec<(String, String)> {
    [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.enabled.mechanisms", "OAUTHBEARER"),
        ("sasl.oauthbearer.expected.audience", "kafka,other"),
        ("sasl.oauthbearer.expected.issuer", "https://issuer.example"),
        ("sasl.oauthbearer.jwks.endpoint.refresh.ms", "1000"),
        ("sasl.oauthbearer.jwks.endpoint.url", url),
        ("super.users", "User:alice"),
    ]
    .map(|(key, value)| (key.to_string(), value.to_string()))
    .to_vec()
}

/// A client with a token of the issuer, for an hour.
fn connect(node: &Node, files: &Files, issuer: &Issuer, audience: &str) -> Result<Client, ClientError> {
    let now_s = os::Os::real().clock.now_ms() / 1_000;
    let claims = json!({
        "sub": "alice", "iat": now_s, "exp": now_s + 3_600, "aud": audience, "iss": "https://issuer.example",
    });
    files.write("token", &issuer.sign(&claims));
    let token = format!("file:{}", files.text("token"));
    node.connect(
        files,
        &[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.token.endpoint.url", &token),
        ],
    )
}

#[test]
fn keys_come_from_a_file_and_are_read_again() {
    let files = Files::new();
    let (first, second) = (Issuer::p256("1"), Issuer::p384("2"));
    files.write("keys.json", &first.jwks());
    let node = Node::start(&files, &settings(&format!("file:{}", files.text("keys.json"))));
    connect(&node, &files, &first, "kafka").unwrap().metadata(None).unwrap();
    let error = connect(&node, &files, &first, "elsewhere").unwrap_err();
    assert!(error.to_string().contains(r#"{"status":"invalid_token"}"#), "{error}");
    node.wait_for("another audience");
    connect(&node, &files, &second, "kafka").unwrap_err();
    node.wait_for("no known key made the signature");
    files.write("keys.json", &second.jwks());
    until(|| connect(&node, &files, &second, "kafka").is_ok());
    connect(&node, &files, &first, "kafka").unwrap_err();
    // What has become unusable changes nothing.
    files.write("keys.json", "{}");
    node.wait_for("the keys stay as they were");
    connect(&node, &files, &second, "kafka").unwrap();
    files.write("keys.json", &second.jwks());
    node.wait_for("the keys of tokens are there: keys=1");
    node.stop();
}

#[test]
fn keys_come_over_http_when_the_issuer_is_there_again() {
    let files = Files::new();
    let issuer = Issuer::p256("1");
    let web = Web::serve(None);
    web.set("302 Found", "");
    let node = Node::start(&files, &settings(&format!("http://{}/keys?realm=a", web.address)));
    node.wait_for("redirections are not followed");
    connect(&node, &files, &issuer, "kafka").unwrap_err();
    web.set("200 OK", &issuer.jwks());
    node.wait_for("the keys of tokens are there");
    connect(&node, &files, &issuer, "other").unwrap().metadata(None).unwrap();
    let asked = web.asked();
    web.set("503 Service Unavailable", "");
    until(|| web.asked() > asked + 1);
    connect(&node, &files, &issuer, "other").unwrap();
    node.stop();
}

#[test]
fn keys_come_over_https_from_who_proves_its_name() {
    let files = Files::new();
    let issuer = Issuer::p256("1");
    let web = Web::serve(Some(&files));
    web.set("200 OK", &issuer.jwks());
    let mut settings = settings(&format!("https://localhost:{}/keys?realm=a", web.address.port()));
    settings.push(("https.ca.location".into(), files.text("ca.pem")));
    let node = Node::start(&files, &settings);
    connect(&node, &files, &issuer, "kafka").unwrap().metadata(None).unwrap();
    node.stop();
    // Another authority signed nothing of it.
    let other = Files::new();
    settings.last_mut().unwrap().1 = other.text("ca.pem");
    let node = Node::start(&other, &settings);
    let said = node.wait_for("the keys of tokens cannot be had");
    assert!(
        said.contains("https://localhost:") && said.contains("certificate") && !said.contains("realm"),
        "{said}"
    );
    connect(&node, &files, &issuer, "kafka").unwrap_err();
    node.stop();
}

#[test]
fn settings_of_tokens_are_checked_before_anything_starts() {
    let told = |pairs: &[(&str, &str)]| {
        let given: BTreeMap<_, _> =
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let errors = BrokerConfig::check(&given).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let key = "sasl.oauthbearer.jwks.endpoint.url";
    let bearer = ("sasl.enabled.mechanisms", "OAUTHBEARER");
    assert!(told(&[bearer]).contains(key));
    // Bad input 12: over http anybody could bring keys.
    for url in ["http://issuer.example/keys", "http://169.254.169.254/keys", "ftp://a/", "keys.json", "file:"]
    {
        assert!(told(&[bearer, (key, url)]).contains(key), "{url}");
    }
    let good = (key, "https://issuer.example/keys");
    assert!(told(&[bearer, good, ("sasl.oauthbearer.sub.claim.name", " ")]).contains("sub.claim.name"));
    let files = Files::new();
    let refused = |url: &str| {
        let (log, broker) = broker_of(&files.path("log"), &settings(url));
        let started = start(ServerConfig::new("127.0.0.1:0".parse().unwrap()), broker);
        let Err(error @ ServerError::Keys(_)) = started else { panic!("it started") };
        log.shutdown().unwrap();
        error.to_string()
    };
    assert!(refused("file:/nowhere/keys.json").contains("/nowhere/keys.json"));
    files.write("keys.json", r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#);
    let error = refused(&format!("file://{}", files.text("keys.json")));
    assert!(error.contains("no key is an RSA key"), "{error}");
}
