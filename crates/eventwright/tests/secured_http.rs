//! The HTTP port of a node with users: HTTPS, passwords, rights, the command line, and a job on another node whose
//! schemas are in its registry.

use auth::https::{Url, exchange};
use auth::plain::Login;
use auth::tls::{ClientStream, client};
use os::Os;
use os::http::Request;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

const CERTIFICATES: &str = "
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=node -keyout node.key -out node.csr
printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > node.ext
openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile node.ext -out node.pem
printf 'security.protocol=SASL_SSL\\nssl.ca.location=ca.pem\\nsasl.username=admin\\nsasl.password=horse\\n' > admin.properties
printf 'security.protocol=SASL_SSL\\nssl.ca.location=ca.pem\\nsasl.username=alice\\nsasl.password=staple\\n' > alice.properties
printf 'security.protocol=SASL_SSL\\nssl.ca.location=ca.pem\\nsasl.username=alice\\nsasl.password=wrong\\n' > wrong.properties";

fn run(folder: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(BINARY)
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // It may end without reading.
    let _ = Write::write_all(&mut child.stdin.take().expect("a pipe"), input.as_bytes());
    let output = child.wait_with_output().expect("the command ends");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A node with TLS and users, and where its HTTP side listens.
struct Node {
    child: Child,
    url: String,
    authority: Vec<u8>,
    /// Kept open, for the node still writes to it.
    _out: BufReader<ChildStdout>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    fn start(folder: &Path) -> Node {
        let made =
            Command::new("bash").current_dir(folder).args(["-ec", CERTIFICATES]).output().expect("bash");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for (user, password, more) in [("admin", "horse", Some("--admin")), ("alice", "staple", None)] {
            let add = ["user", "add", user, "--data", "data"].into_iter().chain(more);
            let (success, text) = run(folder, &add.collect::<Vec<_>>(), password);
            assert!(success, "{text}");
        }
        let settings =
            ["security.protocol=SASL_SSL", "ssl.certificate.location=node.pem", "ssl.key.location=node.key"];
        let mut child = Command::new(BINARY)
            .current_dir(folder)
            .args(["start", "--data", "data", "--kafka", "127.0.0.1:0", "--http", "https://0.0.0.0:0"])
            .args(settings.into_iter().flat_map(|setting| ["--set", setting]))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the node starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines = out.by_ref().lines().map(|line| line.expect("a line"));
        let mut addresses = lines
            .filter_map(|line| line.strip_prefix("http listening on https://0.0.0.0:").map(str::to_string));
        let port = addresses.next().expect("the node says where it listens");
        let authority = std::fs::read(folder.join("ca.pem")).expect("a certificate");
        Node { child, url: format!("https://localhost:{port}"), authority, _out: out }
    }

    /// Status and body; the header says who asks.
    fn ask(&self, who: Option<&str>, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.send(who, method, path, body);
        (status, serde_json::from_slice(&text).expect("JSON"))
    }

    fn send(&self, who: Option<&str>, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let url = Url::parse(&self.url).expect("an address");
        let config = Arc::new(client(&self.authority, None).expect("a certificate"));
        let headers: Vec<_> = who.map(|who| ("Authorization", who)).into_iter().collect();
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let address = url.address();
        let request = Request { method, address: &address, path, headers: &headers, body: &body };
        let network = Os::real().network;
        let tls = Some((&config, url.host.as_str()));
        let answer = exchange(&*network, tls, &request, Duration::from_secs(60)).expect("an answer");
        (answer.status, answer.body)
    }

    /// A connection without TLS yet.
    fn connect(&self) -> TcpStream {
        let url = Url::parse(&self.url).expect("an address");
        let stream = TcpStream::connect(url.address()).expect("the node listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        stream
    }
}

#[test]
fn a_node_with_users_asks_on_its_http_port_who_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let node = Node::start(folder);
    let (admin, alice) = (Login::basic("admin", "horse"), Login::basic("alice", "staple"));
    let (admin, alice) = (Some(admin.as_str()), Some(alice.as_str()));
    let schema = json!({"schema": "\"string\""});

    // Nobody in particular, a wrong password, and a right one without a rule.
    for path in ["/jobs", "/metrics", "/subjects", "/v1/config", "/nowhere"] {
        assert_eq!(node.ask(None, "GET", path, &Value::Null).0, 401, "{path}");
    }
    let (status, body) = node.ask(None, "GET", "/subjects", &Value::Null);
    assert_eq!((status, &body["error_code"]), (401, &json!(401)), "{body}");
    let wrong = Login::basic("admin", "staple");
    for who in [wrong.as_str(), "Basic ?", "Digest x", "Bearer a.b.c"] {
        assert_eq!(node.ask(Some(who), "GET", "/jobs", &Value::Null).0, 401, "{who}");
    }
    let (status, body) = node.ask(alice, "GET", "/jobs", &Value::Null);
    assert_eq!(status, 403);
    assert!(body["errors"][0].as_str().is_some_and(|words| words.contains("User:alice")), "{body}");
    assert_eq!(node.ask(alice, "GET", "/metrics", &Value::Null).0, 403);
    let (status, page) = node.send(admin, "GET", "/metrics", &Value::Null);
    let page = String::from_utf8_lossy(&page);
    assert_eq!(status, 200, "{page}");
    // Alice twice and the administrator; a wrong password and a token. The other two were not even understood.
    assert!(page.contains("\neventwright_authentications_succeeded_total{listener=\"http\"} 3\n"), "{page}");
    assert!(page.contains("\neventwright_authentications_failed_total{listener=\"http\"} 2\n"), "{page}");
    let (status, body) = node.ask(alice, "POST", "/subjects/a/versions", &schema);
    assert_eq!((status, &body["error_code"]), (403, &json!(40301)), "{body}");
    assert_eq!(node.ask(admin, "POST", "/subjects/a/versions", &schema), (200, json!({"id": 1})));
    assert_eq!(node.ask(admin, "GET", "/subjects", &Value::Null), (200, json!(["a"])));
    assert_eq!(node.ask(admin, "GET", "/jobs", &Value::Null), (200, json!({"jobs": []})));

    // Events: rights on their topic.
    assert_eq!(node.ask(None, "POST", "/topics/sales", &schema).0, 401);
    let (status, body) = node.ask(alice, "POST", "/topics/sales", &schema);
    assert!(
        status == 403 && body["errors"][0].as_str().is_some_and(|words| words.contains("Write on the topic")),
        "{body}"
    );
    assert_eq!(node.ask(admin, "POST", "/topics/sales", &schema).0, 200);
    let (status, body) = node.ask(alice, "GET", "/topics/sales", &Value::Null);
    assert!(
        status == 403 && body["errors"][0].as_str().is_some_and(|words| words.contains("Read on the topic")),
        "{body}"
    );
    assert_eq!(node.ask(admin, "GET", "/topics/sales", &Value::Null).1["records"][0]["value"], schema);

    // The command line.
    let list = ["job", "list", "--data", "data"];
    let (success, text) = run(folder, &list, "");
    assert!(!success && text.contains("--command-config"), "{text}");
    let with = |properties: &'static str| [&list[..], &["--command-config", properties]].concat();
    let (success, text) = run(folder, &with("admin.properties"), "");
    assert!(success, "{text}");
    let (success, text) = run(folder, &with("wrong.properties"), "");
    assert!(!success && text.contains("log in with a user and a password"), "{text}");
    let (success, text) = run(folder, &with("alice.properties"), "");
    assert!(!success && text.contains("Describe on the cluster"), "{text}");

    // A job of another node.
    let port = node.url.rsplit_once(':').expect("a port").1;
    let job = |password: &str| {
        format!(
            "SET 'table.dml-sync' = 'true';
             CREATE TABLE orders (id BIGINT NOT NULL) WITH
               ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'avro-confluent',
                'avro-confluent.url' = 'https://127.0.0.1:{port}',
                'avro-confluent.ssl.truststore.location' = 'ca.pem',
                'avro-confluent.basic-auth.credentials-source' = 'USER_INFO',
                'avro-confluent.basic-auth.user-info' = 'admin:{password}');
             INSERT INTO orders VALUES (1), (2);"
        )
    };
    let other = |password: &str| {
        std::fs::write(folder.join("job.sql"), job(password)).expect("the SQL file");
        run(folder, &["run", "job.sql", "--kafka", "127.0.0.1:0", "--http", "none"], "")
    };
    let (success, text) = other("wrong");
    assert!(!success && text.contains("with status 401"), "{text}");
    let (success, text) = other("horse");
    assert!(success, "{text}");
    assert_eq!(node.ask(admin, "GET", "/subjects", &Value::Null), (200, json!(["a", "orders-value"])));
}

#[test]
fn a_connection_over_tls_is_used_again_and_slow_handshakes_hold_up_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(folder.path());
    // More than are served at once of one network: in the first byte of a handshake, or before it.
    let mut slow: Vec<TcpStream> = (0..200).map(|_| node.connect()).collect();
    for stream in slow.iter_mut().step_by(2) {
        stream.write_all(b"\x16").expect("it is taken");
    }
    let config = Arc::new(client(&node.authority, None).expect("a certificate"));
    let mut stream = ClientStream::begin(config, "localhost", node.connect()).expect("a handshake");
    // The second one comes a byte in a record, and both of the last ones come in one.
    let request = format!(
        "GET /v1/config HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
        Login::basic("admin", "horse")
    );
    for sizes in [&[request.len()][..], &[1][..], &[2 * request.len()][..]] {
        let asked = sizes[0].div_ceil(request.len());
        for piece in request.repeat(asked).as_bytes().chunks(sizes[0]) {
            stream.write_all(piece).expect("it is taken");
            stream.flush().expect("it is taken");
        }
        let mut text = String::new();
        while text.matches("\"web-cancel\"").count() < asked {
            let mut some = [0; 4096];
            let count = stream.read(&mut some).expect("an answer");
            assert!(count > 0, "it was closed behind {text}");
            text.push_str(std::str::from_utf8(&some[..count]).expect("a text"));
        }
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), asked, "{text}");
    }
}

#[test]
fn an_open_http_address_wants_both_tls_and_log_in() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let start = |more: &[&str]| {
        let node = ["start", "--data", "data", "--kafka", "127.0.0.1:0"];
        run(folder, &[&node[..], more].concat(), "")
    };
    for (arguments, words) in [
        (&["--http", "0.0.0.0:0"][..], "neither TLS nor log-in"),
        (&["--http", "0.0.0.0:0", "--insecure"], "neither TLS nor log-in"),
        (&["--http", "0.0.0.0:0", "--set", "security.protocol=SASL_PLAINTEXT"], "there is no TLS"),
        (&["--http", "https://0.0.0.0:0"], "do not say who they are"),
        (&["--http", "https://127.0.0.1:0"], "ssl.certificate.location"),
        (&["--http", "https://nowhere"], "is not an address"),
    ] {
        let (success, text) = start(arguments);
        assert!(!success && text.contains(words), "{arguments:?}: {text}");
    }
}
