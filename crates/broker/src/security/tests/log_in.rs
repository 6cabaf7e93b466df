//! The log-in, step by step.

use super::{Session, set_user};
use crate::call::Peer;
use crate::testing::{Answer, Node, given, request_frame, response};
use auth::plain::Login;
use auth::scram::ClientExchange;
use auth::testing::Issuer;
use auth::{Mechanism, bearer};
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::{
    ApiVersionsRequest, DescribeClusterRequest, HeartbeatRequest, ListGroupsRequest, MetadataRequest,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use serde_json::json;

/// A node with the user alice, on whose listener clients log in.
fn node(settings: &[(&str, &str)]) -> Node {
    let mut all = vec![
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
        ("super.users", "User:alice;User:CN=admin"),
    ];
    all.extend(settings);
    let node = Node::with(given(&all));
    for mechanism in Mechanism::ALL {
        let salted = mechanism.salted_password("secret", b"salt", 4_096);
        let credential = auth::Credential::from_salted(mechanism, b"salt", 4_096, &salted);
        let change = crate::security::RulesChange::CredentialSet { user: "alice".into(), credential };
        node.broker.change_rules(vec![change]).unwrap();
    }
    node
}

fn peer(node: &Node, loopback: bool) -> Peer {
    let session = Session::new(&node.broker.config().security, None, loopback);
    Peer { session: session.into(), ..Node::peer() }
}

fn handshake(node: &Node, peer: &Peer, mechanism: &str) -> Answer {
    node.answer_to(peer, &SaslHandshakeRequest { mechanism: mechanism.into() }, 1)
}

fn token(node: &Node, peer: &Peer, token: &[u8]) -> (SaslAuthenticateResponse, bool) {
    let request = SaslAuthenticateRequest { auth_bytes: token.to_vec().into() };
    match node.answer_to(peer, &request, 2) {
        Answer::Frame(frame) => (response::<SaslAuthenticateRequest>(frame, 2), true),
        Answer::Last(frame, _) => (response::<SaslAuthenticateRequest>(frame, 2), false),
        _ => panic!("no answer"),
    }
}

/// The last answer, and whether the connection lives.
fn scram(
    node: &Node,
    peer: &Peer,
    mechanism: Mechanism,
    user: &str,
    password: &str,
) -> (SaslAuthenticateResponse, bool) {
    assert!(matches!(handshake(node, peer, mechanism.name()), Answer::Frame(_)));
    let (mut client, first) = ClientExchange::begin(mechanism, user, password, "nonce");
    let (answer, _) = token(node, peer, &first);
    assert_eq!(answer.error_code, 0);
    let (last, lives) = token(node, peer, &client.respond(&answer.auth_bytes).unwrap());
    if last.error_code == 0 {
        client.verify(&last.auth_bytes).unwrap();
    }
    (last, lives)
}

fn is_in(node: &Node, peer: &Peer) -> bool {
    matches!(node.answer_to(peer, &MetadataRequest::default(), 9), Answer::Frame(_))
}

#[test]
fn every_mechanism_lets_the_right_password_in_and_no_other() {
    let node = node(&[]);
    for mechanism in Mechanism::ALL {
        let client = peer(&node, false);
        let (answer, lives) = scram(&node, &client, mechanism, "alice", "secret");
        assert!(answer.error_code == 0 && lives && answer.session_lifetime_ms == 0);
        assert!(is_in(&node, &client));
        // Again without a limit on time: there is nothing to log in to.
        let Answer::Frame(frame) = handshake(&node, &client, mechanism.name()) else { panic!("closed") };
        let again = response::<SaslHandshakeRequest>(frame, 1);
        assert_eq!(again.error_code, ErrorCode::IllegalSaslState.number());
        let mut words = Vec::new();
        for user in ["alice", "nobody"] {
            let client = peer(&node, false);
            let (answer, lives) = scram(&node, &client, mechanism, user, "wrong");
            assert_eq!(answer.error_code, ErrorCode::SaslAuthenticationFailed.number());
            assert!(!lives && !is_in(&node, &client));
            words.push(answer.error_message);
        }
        assert_eq!(words[0], words[1], "the answer must not tell which users exist");
    }
    for (user, password, right) in
        [("alice", "secret", true), ("alice", "wrong", false), ("nobody", "secret", false)]
    {
        let client = peer(&node, true);
        handshake(&node, &client, "PLAIN");
        let (answer, lives) = token(&node, &client, &Login::encode(user, password));
        assert_eq!((answer.error_code == 0, lives, is_in(&node, &client)), (right, right, right));
    }
}

#[test]
fn requests_before_and_amid_the_log_in_close_the_connection() {
    let node = node(&[]);
    let closed = |answer: Answer| matches!(answer, Answer::Closed(_));
    let client = peer(&node, false);
    assert!(closed(node.answer_to(&client, &MetadataRequest::default(), 9)));
    assert!(closed(node.answer_to(&client, &SaslAuthenticateRequest::default(), 2)));
    assert!(closed(node.answer_to(&client, &HeartbeatRequest::default(), 4)));
    // Versions may be asked for first, also of an unknown version (bad input 5).
    let versions = ApiVersionsRequest {
        client_software_name: "t".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    assert!(matches!(node.answer_to(&client, &versions, 3), Answer::Frame(_)));
    assert!(matches!(handshake(&node, &client, "SCRAM-SHA-256"), Answer::Frame(_)));
    assert!(closed(node.answer_to(&client, &ListGroupsRequest::default(), 4)));
    assert!(closed(handshake(&node, &client, "SCRAM-SHA-256")));
}

#[test]
fn mechanisms_that_are_not_offered_are_refused_and_the_connection_ends() {
    let node = node(&[("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512")]);
    for (loopback, mechanism, offered) in [
        (false, "GSSAPI", vec!["SCRAM-SHA-512"]),
        // PLAIN shows the password to the network without TLS.
        (false, "PLAIN", vec!["SCRAM-SHA-512"]),
        (true, "SCRAM-SHA-256", vec!["PLAIN", "SCRAM-SHA-512"]),
    ] {
        let Answer::Last(frame, _) = handshake(&node, &peer(&node, loopback), mechanism) else { panic!() };
        let answer = response::<SaslHandshakeRequest>(frame, 1);
        assert_eq!(answer.error_code, ErrorCode::UnsupportedSaslMechanism.number());
        assert_eq!(answer.mechanisms, offered);
    }
}

#[test]
fn failures_wait_longer_each_time_and_a_success_never_does() {
    let node = node(&[]);
    let took = |user: &str, password: &str| {
        let before = node.now().monotonic_ms;
        scram(&node, &peer(&node, false), Mechanism::Sha256, user, password);
        node.now().monotonic_ms - before
    };
    assert_eq!(["a", "b", "c"].map(|password| took("alice", password)), [100, 200, 400]);
    assert_eq!(took("alice", "secret"), 0);
    assert_eq!(["d", "e"].map(|password| took("alice", password)), [100, 200]);
    // A success does not help with the passwords of others, nor with names that do not exist.
    assert_eq!(["a", "b"].map(|password| took("bob", password)), [100, 200]);
    assert_eq!(took("alice", "secret"), 0);
    assert_eq!(took("bob", "c"), 400);
}

#[test]
fn a_log_in_ends_by_time_and_can_be_renewed_by_the_same_user_only() {
    let node = node(&[("connections.max.reauth.ms", "10000")]);
    let client = peer(&node, false);
    let (answer, _) = scram(&node, &client, Mechanism::Sha512, "alice", "secret");
    assert_eq!(answer.session_lifetime_ms, 10_000);
    node.sim.clock.advance_ms(9_000);
    assert!(is_in(&node, &client));
    let (answer, lives) = scram(&node, &client, Mechanism::Sha512, "alice", "secret");
    assert!(answer.error_code == 0 && lives);
    node.sim.clock.advance_ms(9_000);
    assert!(is_in(&node, &client));
    node.sim.clock.advance_ms(1_000);
    assert!(!is_in(&node, &client));
    // Renewing late is possible on Kafka too; another mechanism is not.
    assert!(matches!(handshake(&node, &client, "SCRAM-SHA-256"), Answer::Last(..)));

    let salted = Mechanism::Sha512.salted_password("x", b"salt", 4_096);
    let credential = auth::Credential::from_salted(Mechanism::Sha512, b"salt", 4_096, &salted);
    let change = crate::security::RulesChange::CredentialSet { user: "bob".into(), credential };
    node.broker.change_rules(vec![change]).unwrap();
    let client = peer(&node, false);
    scram(&node, &client, Mechanism::Sha512, "alice", "secret");
    node.sim.clock.advance_ms(2_000);
    let (answer, lives) = scram(&node, &client, Mechanism::Sha512, "bob", "x");
    assert_eq!((answer.error_code, lives), (ErrorCode::SaslAuthenticationFailed.number(), false));
}

#[test]
fn the_oldest_handshake_is_followed_by_bare_tokens() {
    let node = node(&[]);
    let client = peer(&node, false);
    let request = SaslHandshakeRequest { mechanism: "SCRAM-SHA-256".into() };
    assert!(matches!(node.answer_to(&client, &request, 0), Answer::Frame(_)));
    let (mut scram, first) = ClientExchange::begin(Mechanism::Sha256, "alice", "secret", "nonce");
    let bare = |token: Vec<u8>| match node.finish(node.broker.handle(Bytes::from(token), &client, node.now()))
    {
        Answer::Frame(frame) => frame.slice(4..),
        _ => panic!("no answer"),
    };
    let answer = bare(first);
    let last = bare(scram.respond(&answer).unwrap());
    scram.verify(&last).unwrap();
    assert!(is_in(&node, &client));
}

#[test]
fn hostile_tokens_and_names_do_no_harm() {
    let node = node(&[]);
    for bytes in [&b""[..], b"\xff\xff", b"n,,n=\n\x1b[2J,r=x", b"\0\0\0\0", b"p=x,,n=a,r=b"] {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let client = peer(&node, true);
            handshake(&node, &client, mechanism);
            let request = SaslAuthenticateRequest { auth_bytes: bytes.to_vec().into() };
            let reason =
                match node.finish(node.broker.handle(request_frame(&request, 2), &client, node.now())) {
                    Answer::Last(_, reason) => reason,
                    Answer::Frame(_) => continue,
                    _ => panic!("no answer"),
                };
            // Bad input 28: what a client chose stands escaped in the log.
            assert!(!reason.contains(['\n', '\x1b']), "{reason:?}");
            assert!(!is_in(&node, &client));
        }
    }
    let client = peer(&node, true);
    handshake(&node, &client, "PLAIN");
    let request = SaslAuthenticateRequest { auth_bytes: Login::encode("a\nb", "hunter2").into() };
    let Answer::Last(_, reason) = node.answer_to(&client, &request, 2) else { panic!("it lives") };
    assert!(reason.contains("a\\nb") && !reason.contains("hunter2"), "{reason}");
}

#[test]
fn credentials_that_are_too_weak_or_damaged_are_refused() {
    use kafka_wire::messages::alter_user_scram_credentials_request::{
        ScramCredentialDeletion, ScramCredentialUpsertion,
    };
    use kafka_wire::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};
    let node = super::node();
    let admin = super::peer(&node, "admin");
    let good = ScramCredentialUpsertion {
        name: "bob".into(),
        mechanism: 1,
        iterations: 4_096,
        salt: b"salt".to_vec().into(),
        salted_password: vec![1; 32].into(),
    };
    let error = |upsertions: Vec<ScramCredentialUpsertion>, deletions: Vec<ScramCredentialDeletion>| {
        let request = AlterUserScramCredentialsRequest { upsertions, deletions };
        ErrorCode::from_number(node.call_as(&admin, &request, 0).results[0].error_code).unwrap()
    };
    // Bad input 9: fewer iterations than 4096.
    let weak = ScramCredentialUpsertion { iterations: 4_095, ..good.clone() };
    assert_eq!(error(vec![weak], vec![]), ErrorCode::UnacceptableCredential);
    let costly = ScramCredentialUpsertion { iterations: 1 << 30, ..good.clone() };
    assert_eq!(error(vec![costly], vec![]), ErrorCode::UnacceptableCredential);
    let nameless = ScramCredentialUpsertion { name: String::new(), ..good.clone() };
    assert_eq!(error(vec![nameless], vec![]), ErrorCode::UnacceptableCredential);
    let short = ScramCredentialUpsertion { salted_password: vec![1; 31].into(), ..good.clone() };
    assert_eq!(error(vec![short], vec![]), ErrorCode::UnacceptableCredential);
    let unknown = ScramCredentialUpsertion { mechanism: 3, ..good.clone() };
    assert_eq!(error(vec![unknown], vec![]), ErrorCode::UnsupportedSaslMechanism);
    assert_eq!(error(vec![good.clone(), good.clone()], vec![]), ErrorCode::DuplicateResource);
    let absent = ScramCredentialDeletion { name: "bob".into(), mechanism: 1 };
    assert_eq!(error(vec![], vec![absent.clone()]), ErrorCode::ResourceNotFound);
    assert!(node.broker.rules().is_empty());
    assert_eq!(error(vec![good], vec![]), ErrorCode::None);
    let described = node.call_as(&admin, &DescribeUserScramCredentialsRequest { users: None }, 0);
    assert_eq!((described.results.len(), described.results[0].user.as_str()), (1, "bob"));
    assert_eq!(described.results[0].credential_infos[0].iterations, 4_096);
    assert_eq!(error(vec![], vec![absent]), ErrorCode::None);
    assert!(node.broker.rules().users().next().is_none());
    assert_eq!(set_user(&node, "carol", "x", Mechanism::Sha512).results[0].error_code, 0);
}

/// A node that takes tokens of this issuer.
fn node_of(issuer: &Issuer, settings: &[(&str, &str)]) -> Node {
    let mut all = vec![
        ("sasl.enabled.mechanisms", "SCRAM-SHA-512,OAUTHBEARER"),
        ("sasl.oauthbearer.jwks.endpoint.url", "https://issuer.example/keys"),
    ];
    all.extend(settings);
    let node = node(&all);
    node.broker.tokens().unwrap().replace_keys(issuer.keys());
    node
}

/// A token that ends in so many seconds.
fn token_for(issuer: &Issuer, node: &Node, subject: &str, seconds: i64) -> String {
    let now = node.now().wall_ms / 1_000;
    issuer.sign(&json!({"sub": subject, "iat": now - 5, "exp": now + seconds, "aud": ["kafka"]}))
}

#[test]
fn a_token_lets_its_subject_in_for_as_long_as_it_counts() {
    let issuer = Issuer::p256("k");
    let node = node_of(&issuer, &[]);
    let client = peer(&node, true);
    handshake(&node, &client, "OAUTHBEARER");
    let login = |seconds| bearer::Login::encode(&token_for(&issuer, &node, "alice", seconds));
    let (answer, lives) = token(&node, &client, &login(100));
    assert!(answer.error_code == 0 && lives && answer.auth_bytes.is_empty());
    // As in Kafka the token ends the log-in, though connections.max.reauth.ms is not set.
    let left_ms = answer.session_lifetime_ms;
    assert!((99_000..=100_000).contains(&left_ms), "{left_ms}");
    assert!(is_in(&node, &client));
    node.sim.clock.advance_ms(50_000);
    handshake(&node, &client, "OAUTHBEARER");
    let (answer, lives) = token(&node, &client, &login(100));
    assert!(answer.error_code == 0 && lives);
    node.sim.clock.advance_ms(60_000);
    assert!(is_in(&node, &client));
    node.sim.clock.advance_ms(40_000);
    assert!(!is_in(&node, &client));
    // Another subject, and one without rights.
    let client = peer(&node, true);
    handshake(&node, &client, "OAUTHBEARER");
    let stranger = token_for(&issuer, &node, "stranger", 100);
    assert_eq!(token(&node, &client, &bearer::Login::encode(&stranger)).0.error_code, 0);
    let rights = node.call_as(&client, &DescribeClusterRequest::default(), 0);
    assert_eq!(rights.error_code, 0);
    assert!(
        node.call_as(&client, &MetadataRequest { topics: None, ..Default::default() }, 9).topics.is_empty()
    );
    node.sim.clock.advance_ms(2_000);
    handshake(&node, &client, "OAUTHBEARER");
    let (answer, lives) = token(&node, &client, &login(100));
    assert_eq!((answer.error_code, lives), (ErrorCode::SaslAuthenticationFailed.number(), false));
}

#[test]
fn the_listener_may_ask_for_a_new_log_in_before_the_token_ends() {
    let issuer = Issuer::p384("k");
    let node = node_of(&issuer, &[("connections.max.reauth.ms", "10000")]);
    let client = peer(&node, true);
    handshake(&node, &client, "OAUTHBEARER");
    let message = bearer::Login::encode(&token_for(&issuer, &node, "alice", 100));
    assert_eq!(token(&node, &client, &message).0.session_lifetime_ms, 10_000);
    node.sim.clock.advance_ms(10_000);
    assert!(!is_in(&node, &client));
}

#[test]
fn a_token_that_does_not_count_is_refused_in_two_steps_without_a_reason() {
    let issuer = Issuer::p256("k");
    let node = node_of(&issuer, &[("sasl.oauthbearer.expected.audience", "kafka")]);
    let good = token_for(&issuer, &node, "alice", 100);
    let expired = token_for(&issuer, &node, "alice", -31);
    let forged = token_for(&Issuer::p256("k"), &node, "alice", 100);
    let unsigned = {
        use base64::Engine;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        format!("{header}.{}.", good.split('.').nth(1).unwrap())
    };
    for wrong in [expired, forged, unsigned, "x".into()] {
        let client = peer(&node, true);
        handshake(&node, &client, "OAUTHBEARER");
        let (answer, lives) = token(&node, &client, &bearer::Login::encode(&wrong));
        assert!(lives && answer.error_code == 0);
        assert_eq!(&answer.auth_bytes[..], br#"{"status":"invalid_token"}"#);
        let before = node.now().monotonic_ms;
        let (answer, lives) = token(&node, &client, bearer::ACKNOWLEDGEMENT);
        assert_eq!(node.now().monotonic_ms - before, 100, "a token is no guess, so delays do not grow");
        assert_eq!((answer.error_code, lives), (ErrorCode::SaslAuthenticationFailed.number(), false));
        assert_eq!(answer.error_message.as_deref(), Some(r#"{"status":"invalid_token"}"#));
        assert!(!is_in(&node, &client));
    }
    // Requests may not come between the steps.
    let client = peer(&node, true);
    handshake(&node, &client, "OAUTHBEARER");
    token(&node, &client, &bearer::Login::encode("x"));
    assert!(!is_in(&node, &client));
    let other = format!("n,a=bob,\x01auth=Bearer {good}\x01\x01").into_bytes();
    for damaged in [&b""[..], b"\x01", b"n,,\x01auth=Bearer\x01\x01", b"\xff", &other] {
        let client = peer(&node, true);
        handshake(&node, &client, "OAUTHBEARER");
        let (answer, lives) = token(&node, &client, damaged);
        assert_eq!((answer.error_code, lives), (ErrorCode::SaslAuthenticationFailed.number(), false));
    }
    // A token shows itself to the network without TLS.
    assert!(matches!(handshake(&node, &peer(&node, false), "OAUTHBEARER"), Answer::Last(..)));
}
