//! Users, rules and log-ins without sockets.

mod apis;
mod decisions;
mod log_in;

use super::acl::Pattern;
use super::{Acl, Operation, PatternType, Permission, ResourceType, Session};
use crate::call::Peer;
use crate::testing::{Node, given};
use auth::{Credential, Mechanism};
use kafka_wire::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_wire::messages::create_acls_request::AclCreation;
use kafka_wire::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, CreateAclsRequest,
};

const ADMIN: &str = "User:CN=admin";

/// A node whose super user is a certificate's.
fn node() -> Node {
    Node::with(given(&[("super.users", ADMIN)]))
}

/// A client with a certificate for this common name.
fn peer(node: &Node, name: &str) -> Peer {
    let session = Session::new(&node.broker.config().security, Some(&format!("CN={name}")), true);
    Peer { session: session.into(), ..Node::peer() }
}

fn acl(
    (resource, kind, name): (ResourceType, PatternType, &str),
    principal: &str,
    operation: Operation,
    permission: Permission,
) -> Acl {
    let pattern = Pattern { resource, kind, name: name.into() };
    Acl { pattern, principal: principal.into(), host: "*".into(), operation, permission }
}

/// As Kafka's tools do it: the client salts and iterates.
fn set_user(
    node: &Node,
    user: &str,
    password: &str,
    mechanism: Mechanism,
) -> AlterUserScramCredentialsResponse {
    let salted_password = mechanism.salted_password(password, b"salt of the user", 4_096).into();
    let upsertion = ScramCredentialUpsertion {
        name: user.into(),
        mechanism: mechanism.number(),
        iterations: 4_096,
        salt: b"salt of the user".to_vec().into(),
        salted_password,
    };
    let request = AlterUserScramCredentialsRequest { upsertions: vec![upsertion], ..Default::default() };
    node.call_as(&peer(node, "admin"), &request, 0)
}

#[test]
fn users_and_rules_are_there_after_a_restart_and_no_password_is_kept() {
    let node = node();
    assert_eq!(set_user(&node, "alice", "pässword", Mechanism::Sha256).results[0].error_code, 0);
    assert_eq!(set_user(&node, "alice", "pässword", Mechanism::Sha512).results[0].error_code, 0);
    let rule = acl(
        (ResourceType::Topic, PatternType::Prefixed, "orders"),
        "User:alice",
        Operation::Read,
        Permission::Allow,
    );
    node.broker.change_rules(vec![super::RulesChange::AclsAdded(vec![rule.clone()])]).unwrap();
    node.create_topic_as_admin("t");
    // Enough to begin a new file, whose checkpoint holds the users.
    for _ in 0..40 {
        let records =
            crate::testing::batch(kafka_wire::records::Compression::None, &[(1, &"x".repeat(4_000))]);
        let request = crate::testing::produce_request("t", 0, records);
        let response = node.call_as(&peer(&node, "admin"), &request, 9);
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
    let before = node.broker.rules();
    let node = node.restart();
    let after = node.broker.rules();
    assert_eq!(after, before);
    assert_eq!(after.acls().collect::<Vec<_>>(), [&rule]);
    assert_eq!(after.credentials("alice").len(), 2);
    assert!(after.credentials("alice").iter().all(|credential| credential.verify_password("pässword")));
    assert!(
        !after
            .credentials("alice")
            .iter()
            .any(|credential| Credential::verify_password(credential, "password"))
    );
    let bytes = after.checkpoint();
    assert!(!bytes.windows(9).any(|window| window == "pässword".as_bytes()));
}

fn create_rule(node: &Node, who: &Peer, principal: &str, host: &str) -> i16 {
    let creation = AclCreation {
        resource_type: ResourceType::Topic.number(),
        resource_name: "t".into(),
        resource_pattern_type: PatternType::Literal.number(),
        principal: principal.into(),
        host: host.into(),
        operation: Operation::Read.number(),
        permission_type: Permission::Deny.number(),
    };
    node.call_as(who, &CreateAclsRequest { creations: vec![creation] }, 3).results[0].error_code
}

#[test]
fn a_host_has_one_spelling() {
    let node = node();
    let admin = peer(&node, "admin");
    for (given, canonical) in [
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:DB8::2", "2001:db8::2"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("*", "*"),
    ] {
        let who = format!("User:{given}");
        assert_eq!(create_rule(&node, &admin, &who, given), 0);
        let rules = node.broker.rules();
        let rule = rules.acls().find(|acl| acl.principal == who).unwrap();
        assert_eq!(rule.host, canonical);
        let filter = super::AclFilter { host: Some(given.into()), ..super::AclFilter::of_principal(who) };
        let from_wire = super::AclFilter::from_wire(1, None, 1, filter.principal, filter.host, 1, 1).unwrap();
        assert_eq!(rules.matching(&from_wire).len(), 1);
    }
    assert_ne!(create_rule(&node, &admin, "User:a", "example.org"), 0);
}

#[test]
fn where_nobody_can_log_in_nobody_is_locked_out() {
    let node = Node::with(given(&[]));
    let disabled = kafka_wire::ErrorCode::SecurityDisabled.number();
    assert_eq!(create_rule(&node, &Node::peer(), "User:a", "*"), disabled);
    let salted_password = Mechanism::Sha256.salted_password("x", b"salt of the user", 4_096).into();
    let upsertion = ScramCredentialUpsertion {
        name: "alice".into(),
        mechanism: Mechanism::Sha256.number(),
        iterations: 4_096,
        salt: b"salt of the user".to_vec().into(),
        salted_password,
    };
    let request = AlterUserScramCredentialsRequest { upsertions: vec![upsertion], ..Default::default() };
    assert_eq!(node.call_as(&Node::peer(), &request, 0).results[0].error_code, disabled);
    assert!(node.broker.rules().is_empty());
}

#[test]
fn the_last_rule_that_lets_somebody_in_is_not_deleted_where_nobody_can_log_in() {
    use kafka_wire::messages::DeleteAclsRequest;
    use kafka_wire::messages::delete_acls_request::DeleteAclsFilter;
    let node = Node::with(given(&[]));
    let cluster = (ResourceType::Cluster, PatternType::Literal, "kafka-cluster");
    let anonymous = acl(cluster, crate::security::ANONYMOUS, Operation::All, Permission::Allow);
    let topic = (ResourceType::Topic, PatternType::Literal, "t");
    let other = acl(topic, "User:alice", Operation::Read, Permission::Allow);
    let rules = vec![anonymous.clone(), other.clone()];
    node.broker.change_rules(vec![super::RulesChange::AclsAdded(rules)]).unwrap();
    let filter = |principal: &str| DeleteAclsFilter {
        resource_type_filter: 1,
        resource_name_filter: None,
        pattern_type_filter: 1,
        principal_filter: Some(principal.into()),
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    let delete = |principals: &[&str]| {
        let filters = principals.iter().map(|principal| filter(principal)).collect();
        let answer = node.call_as(&Node::peer(), &DeleteAclsRequest { filters }, 3);
        let results = answer.filter_results.into_iter();
        results.map(|result| (result.error_code, result.matching_acls.len())).collect::<Vec<_>>()
    };
    let disabled = kafka_wire::ErrorCode::SecurityDisabled.number();
    assert_eq!(delete(&[crate::security::ANONYMOUS]), [(disabled, 0)]);
    assert_eq!(node.broker.rules().acl_count(), 2);
    // Together with the others it may go: without any rule nothing is refused. A rule that two filters fit is told twice.
    let both = [crate::security::ANONYMOUS, "User:alice", "User:alice", "User:bob"];
    assert_eq!(delete(&both), [(0, 1), (0, 1), (0, 1), (0, 0)]);
    assert!(node.broker.rules().is_empty());
}

#[test]
fn damaged_records_of_the_log_are_errors() {
    use super::{Rules, RulesChange};
    let credential = Credential::from_password(Mechanism::Sha512, b"salt", 4_096, "x");
    let rule =
        acl((ResourceType::Group, PatternType::Literal, "g"), "User:a", Operation::All, Permission::Deny);
    let changes = [
        RulesChange::CredentialSet { user: "alice".into(), credential },
        RulesChange::CredentialRemoved { user: "alice".into(), mechanism: Mechanism::Sha256 },
        RulesChange::AclsAdded(vec![rule.clone(), rule.clone()]),
        RulesChange::AclsRemoved(vec![rule]),
        RulesChange::DecoySecret(vec![7; 32]),
    ];
    let mut rules = Rules::default();
    for change in changes {
        let bytes = change.encode();
        assert_eq!(RulesChange::decode(&bytes).unwrap(), change);
        rules.apply(change);
        for end in 0..bytes.len() {
            RulesChange::decode(&bytes[..end]).unwrap_err();
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] = 0xff;
            let _ = RulesChange::decode(&changed);
        }
    }
    let bytes = rules.checkpoint();
    assert_eq!(Rules::restore(Some(&bytes)).unwrap(), rules);
    for end in 0..bytes.len() {
        Rules::restore(Some(&bytes[..end])).unwrap_err();
    }
}

impl Node {
    fn create_topic_as_admin(&self, name: &str) {
        use kafka_wire::messages::CreateTopicsRequest;
        use kafka_wire::messages::create_topics_request::CreatableTopic;
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        assert_eq!(self.call_as(&peer(self, "admin"), &request, 7).topics[0].error_code, 0);
    }
}
