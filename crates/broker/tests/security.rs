//! The listener's security over real sockets: TLS, log-ins, principals of certificates, limits, bad inputs.

mod secured;

use broker::BrokerConfig;
use broker::security::{Operation, ResourceType};
use broker::server::{ServerConfig, ServerError, start};
use kafka_client::{Client, ClientError};
use rcgen::DnType;
use secured::{Authority, Files, Node, broker_of, read_to_the_end, until};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const SCRAM: [(&str, &str); 4] = [
    ("security.protocol", "SASL_SSL"),
    ("sasl.mechanism", "SCRAM-SHA-512"),
    ("sasl.username", "alice"),
    ("sasl.password", "secret"),
];

fn with<'a>(base: &[(&'a str, &'a str)], changed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    base.iter().chain(changed).copied().collect()
}

#[test]
fn users_log_in_over_tls_and_do_what_their_rules_say() {
    let files = Files::new();
    let mut settings = files.tls("SASL_SSL");
    settings.push(("sasl.enabled.mechanisms".into(), "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".into()));
    let node = Node::start(&files, &settings);
    node.add_user("alice", "secret");
    node.add_user("bob", "other");
    node.allow("User:alice", Operation::Create, ResourceType::Topic, "orders");
    node.allow("User:alice", Operation::Write, ResourceType::Topic, "orders");
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut client = node.connect(&files, &with(&SCRAM, &[("sasl.mechanism", mechanism)])).unwrap();
        client.metadata(None).unwrap();
    }
    let mut alice = node.connect(&files, &SCRAM).unwrap();
    alice.create_topic("orders", 1, 1, &[]).unwrap();
    alice.create_topic("others", 1, 1, &[]).unwrap_err();
    assert_eq!(alice.metadata(None).unwrap().topics.len(), 1);
    let bob = [("sasl.username", "bob"), ("sasl.password", "other")];
    let mut bob = node.connect(&files, &with(&SCRAM, &bob)).unwrap();
    assert!(bob.metadata(None).unwrap().topics.is_empty());
    node.stop();
}

#[test]
fn wrong_passwords_and_untrusted_nodes_are_told_apart() {
    let files = Files::new();
    let node = Node::start(&files, &files.tls("SASL_SSL"));
    node.add_user("alice", "secret");
    let said =
        |changed: &[(&str, &str)]| node.connect(&files, &with(&SCRAM, changed)).unwrap_err().to_string();
    let wrong = said(&[("sasl.password", "guess")]);
    assert!(wrong.contains("the user or the password is wrong"), "{wrong}");
    assert_eq!(wrong, said(&[("sasl.username", "nobody")]));
    let line = node.wait_for("user=\"alice\"");
    assert!(line.contains("SCRAM-SHA-512") && !line.contains("guess"), "{line}");
    let offers = said(&[("sasl.mechanism", "PLAIN")]);
    assert!(offers.contains("SCRAM-SHA-256, SCRAM-SHA-512 and not PLAIN"), "{offers}");
    files.write("other.pem", &Authority::new("other").0.pem());
    let untrusted = said(&[("ssl.ca.location", &files.text("other.pem"))]);
    assert!(untrusted.contains("UnknownIssuer"), "{untrusted}");
    node.stop();
}

#[test]
fn the_subject_of_a_client_certificate_is_its_principal() {
    let files = Files::new();
    let mut settings = files.tls("SSL");
    settings.push(("ssl.client.auth".into(), "required".into()));
    settings.push(("ssl.ca.location".into(), files.text("ca.pem")));
    settings.push(("super.users".into(), "User:CN=admin,O=Example".into()));
    let node = Node::start(&files, &settings);
    files.sign("admin", &[(DnType::OrganizationName, "Example"), (DnType::CommonName, "admin")], &[]);
    files.sign("guest", &[(DnType::CommonName, "guest")], &[]);
    let as_who = |name: &str| {
        let (certificate, key) = (files.text(&format!("{name}.pem")), files.text(&format!("{name}.key")));
        let properties = [
            ("security.protocol", "SSL"),
            ("ssl.certificate.location", certificate.as_str()),
            ("ssl.key.location", key.as_str()),
        ];
        node.connect(&files, &properties)
    };
    let mut admin = as_who("admin").unwrap();
    admin.create_topic("orders", 1, 1, &[]).unwrap();
    let mut guest = as_who("guest").unwrap();
    assert!(guest.metadata(None).unwrap().topics.is_empty());
    node.allow("User:CN=guest", Operation::Describe, ResourceType::Topic, "orders");
    assert_eq!(guest.metadata(None).unwrap().topics.len(), 1);
    // Without a certificate nobody gets in; nor with one of another authority.
    node.connect(&files, &[("security.protocol", "SSL")]).unwrap_err();
    node.wait_for("shows no certificate");
    let (certificate, key) = Authority::new("other").sign(&[(DnType::CommonName, "admin")], &[]);
    files.write("forged.pem", &certificate);
    files.write("forged.key", &key);
    as_who("forged").unwrap_err();
    node.wait_for("TLS handshake failed");
    node.stop();
}

#[test]
fn a_new_certificate_is_taken_without_a_restart_and_a_damaged_one_is_not() {
    let files = Files::new();
    let node = Node::start(&files, &files.tls("SSL"));
    let ssl = [("security.protocol", "SSL")];
    node.connect(&files, &ssl).unwrap();
    let newer = |name: &str| {
        let file = std::fs::File::options().append(true).open(files.path(name)).unwrap();
        let changed = file.metadata().unwrap().modified().unwrap();
        file.set_modified(changed + Duration::from_secs(10)).unwrap();
    };
    files.write("node.pem", "no certificate");
    newer("node.pem");
    node.connect(&files, &ssl).unwrap();
    node.wait_for("stay as they were");
    // From here on only the new authority is right.
    let other = Files::new();
    std::fs::copy(other.path("node.key"), files.path("node.key")).unwrap();
    std::fs::copy(other.path("node.pem"), files.path("node.pem")).unwrap();
    newer("node.pem");
    newer("node.pem");
    node.connect(&files, &ssl).unwrap_err();
    node.connect(&other, &ssl).unwrap();
    node.wait_for("read again");
    node.stop();
}

#[test]
fn plaintext_to_tls_and_tls_to_plaintext_are_told_by_name() {
    // Bad input 4.
    let files = Files::new();
    let node = Node::start(&files, &files.tls("SSL"));
    let mut stream = node.raw();
    stream.write_all(&[0, 0, 0, 20, 0, 18, 0, 3, 0, 0, 0, 1]).unwrap();
    read_to_the_end(stream);
    node.wait_for("does not speak TLS");
    node.stop();
    let plain = Files::new();
    let node = Node::start(&plain, &[]);
    let error = node.connect(&plain, &[("security.protocol", "SSL")]).unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. }), "{error}");
    node.wait_for("the client speaks TLS");
    node.stop();
}

#[test]
fn who_has_not_logged_in_sends_small_requests_only() {
    // Bad inputs 1 and 3.
    let files = Files::new();
    let node = Node::start(&files, &[("security.protocol".into(), "SASL_PLAINTEXT".into())]);
    for size in [-1, 0, 7, 65_537, 1 << 20, i32::MAX] {
        let mut stream = node.raw();
        stream.write_all(&size.to_be_bytes()).unwrap();
        assert!(read_to_the_end(stream).is_empty(), "size={size}");
    }
    // A request that may not come: the connection ends without an answer, as with Kafka.
    let mut stream = node.raw();
    stream.write_all(&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 9, 255, 255, 255, 255, 255, 255]).unwrap();
    assert!(read_to_the_end(stream).is_empty());
    node.wait_for("before the client has logged in");
    // With a log-in, large requests are taken.
    node.add_user("alice", "secret");
    let mut client = node.connect(&files, &with(&SCRAM, &[("security.protocol", "SASL_PLAINTEXT")])).unwrap();
    let large: Vec<String> = (0..10_000).map(|index| format!("topic-{index}")).collect();
    let names: Vec<&str> = large.iter().map(String::as_str).collect();
    client.metadata(Some(&names)).unwrap();
    node.stop();
}

#[test]
fn one_address_cannot_take_all_connections() {
    let files = Files::new();
    let node = Node::start(&files, &[("max.connections.per.ip".into(), "3".into())]);
    let held: Vec<Client> = (0..3).map(|_| node.connect(&files, &[]).unwrap()).collect();
    node.connect(&files, &[]).unwrap_err();
    node.wait_for("max.connections.per.ip=3");
    drop(held);
    node.stop();
    // Those that do not log in have a bound of their own (bad input 27).
    let node = Node::start(&files, &[("security.protocol".into(), "SASL_PLAINTEXT".into())]);
    let held: Vec<TcpStream> = (0..260).map(|_| node.raw()).collect();
    node.wait_for("256 connections from its address have not logged in");
    drop(held);
    node.stop();
    // All of them together leave half of the places to those who log in.
    let settings = [("security.protocol", "SASL_PLAINTEXT"), ("max.connections", "4")];
    let node = Node::start(&files, &settings.map(|(key, value)| (key.into(), value.into())));
    node.add_user("alice", "secret");
    let scram = with(&SCRAM, &[("security.protocol", "SASL_PLAINTEXT")]);
    let inside = [(); 2].map(|()| node.connect(&files, &scram).unwrap());
    let held = [(); 2].map(|()| node.raw());
    node.connect(&files, &scram).unwrap_err();
    node.wait_for("max.connections=4 is reached");
    drop(inside);
    until(|| node.server.as_ref().unwrap().connections() == 2);
    read_to_the_end(node.raw());
    node.wait_for("2 connections, half of max.connections, have not logged in");
    drop(held);
    until(|| node.connect(&files, &scram).is_ok());
    node.stop();
}

#[test]
fn an_address_of_the_network_needs_tls_and_log_in() {
    let files = Files::new();
    files.sign("client", &[(DnType::CommonName, "c")], &[]);
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let mut client_auth = files.tls("SSL");
    client_auth.push(("ssl.client.auth".into(), "required".into()));
    client_auth.push(("ssl.ca.location".into(), files.text("ca.pem")));
    let sasl = vec![("security.protocol".to_string(), "SASL_PLAINTEXT".to_string())];
    for (index, (settings, insecure, missing)) in [
        (vec![], false, Some("neither TLS nor log-in")),
        (sasl.clone(), false, Some("no TLS")),
        (files.tls("SSL"), false, Some("do not say who they are")),
        (files.tls("SASL_SSL"), false, None),
        (client_auth, false, None),
        (vec![], true, None),
    ]
    .into_iter()
    .enumerate()
    {
        let (log, broker) = broker_of(&files.path(&format!("log-{index}")), &settings);
        let started = start(ServerConfig { insecure, ..ServerConfig::new(everywhere) }, broker);
        match (started, missing) {
            (Err(error @ ServerError::NotLoopback { .. }), Some(words)) => {
                let text = error.to_string();
                assert!(text.contains(words) && text.contains("security.protocol=SASL_SSL"), "{text}");
            }
            (Ok(server), None) => server.shutdown(),
            (Ok(_), Some(words)) => panic!("it listens although {words}"),
            (Err(error), _) => panic!("{error}"),
        }
        log.shutdown().unwrap();
    }
}

#[test]
fn settings_that_do_not_fit_together_are_refused_before_anything_starts() {
    let told = |pairs: &[(&str, &str)]| {
        let given = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let errors = BrokerConfig::check(&given).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(told(&[("security.protocol", "SSL")]).contains("ssl.key.location"));
    assert!(told(&[("security.protocol", "TLS")]).contains("SASL_SSL"));
    assert!(told(&[("sasl.enabled.mechanisms", "GSSAPI")]).contains("SCRAM-SHA-256"));
    assert!(told(&[("super.users", "admin")]).contains("User:admin"));
    assert!(told(&[("ssl.client.auth", "required")]).contains("without TLS"));
    let files = Files::new();
    files.write("node.key", "no key");
    let (log, broker) = broker_of(&files.path("log"), &files.tls("SSL"));
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let Err(error) = start(config, broker) else { panic!("it started") };
    assert!(error.to_string().contains("node.key"), "{error}");
    log.shutdown().unwrap();
}
