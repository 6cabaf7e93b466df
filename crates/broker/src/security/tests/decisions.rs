//! Which rule wins, by the table of Kafka's documentation.

use super::super::acl::AclFilter;
use super::super::{Acl, Operation, PatternType, Permission, ResourceType, Rules, RulesChange};
use super::acl;
use Operation::{All, Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, Read, Write};
use PatternType::{Literal, Prefixed};
use Permission::{Allow, Deny};
use ResourceType::{Group, Topic};

fn rules(acls: Vec<Acl>) -> Rules {
    let mut rules = Rules::default();
    rules.apply(RulesChange::AclsAdded(acls));
    rules
}

fn may(rules: &Rules, operation: Operation, topic: &str) -> bool {
    rules.permits("User:alice", "10.0.0.1", operation, Topic, topic, false)
}

#[test]
fn literal_prefixed_and_wildcard_patterns_fit_what_they_name() {
    let rules = rules(vec![
        acl((Topic, Literal, "orders"), "User:alice", Read, Allow),
        acl((Topic, Prefixed, "audit-"), "User:alice", Write, Allow),
        acl((Topic, Literal, "*"), "User:alice", DescribeConfigs, Allow),
        acl((Group, Literal, "secret"), "User:alice", Read, Allow),
    ]);
    assert!(may(&rules, Read, "orders") && !may(&rules, Read, "orders2") && !may(&rules, Read, "order"));
    assert!(may(&rules, Write, "audit-") && may(&rules, Write, "audit-x") && !may(&rules, Write, "audit"));
    assert!(may(&rules, DescribeConfigs, "anything"));
    assert!(!may(&rules, Read, "secret"));
    // "*" is a pattern, not a prefix of anything, and a topic's name does not become one.
    assert!(!may(&rules, Write, "*"));
    assert!(!rules.permits("User:bob", "10.0.0.1", Read, Topic, "orders", false));
}

#[test]
fn a_denial_goes_before_every_permission() {
    let rules = rules(vec![
        acl((Topic, Literal, "*"), "User:*", All, Allow),
        acl((Topic, Prefixed, "pay"), "User:alice", Write, Deny),
        acl((Topic, Literal, "payments"), "User:alice", Write, Allow),
    ]);
    assert!(!may(&rules, Write, "payments"));
    assert!(may(&rules, Read, "payments"));
    assert!(may(&rules, Write, "orders"));
    // A denied Write denies no Describe, which the wildcard allows.
    assert!(may(&rules, Describe, "payments"));
}

#[test]
fn operations_imply_what_kafka_says_and_nothing_more() {
    for (operation, implied) in [
        (Read, vec![Read, Describe]),
        (Write, vec![Write, Describe]),
        (Delete, vec![Delete, Describe]),
        (Alter, vec![Alter, Describe]),
        (AlterConfigs, vec![AlterConfigs, DescribeConfigs]),
        (Create, vec![Create]),
        (Describe, vec![Describe]),
        (All, Operation::ALL.to_vec()),
    ] {
        let rules = rules(vec![acl((Topic, Literal, "t"), "User:alice", operation, Allow)]);
        for asked in Operation::ALL {
            assert_eq!(may(&rules, *asked, "t"), implied.contains(asked), "{operation:?} {asked:?}");
        }
    }
    let denied = rules(vec![
        acl((Topic, Literal, "t"), "User:alice", Read, Allow),
        acl((Topic, Literal, "t"), "User:alice", Describe, Deny),
    ]);
    assert!(may(&denied, Read, "t") && !may(&denied, Describe, "t"));
}

#[test]
fn hosts_and_the_absence_of_rules() {
    let here = Acl { host: "10.0.0.1".into(), ..acl((Topic, Literal, "t"), "User:alice", Read, Allow) };
    let rules = rules(vec![here]);
    assert!(may(&rules, Read, "t"));
    assert!(!rules.permits("User:alice", "10.0.0.2", Read, Topic, "t", false));
    // allow.everyone.if.no.acl.found speaks of resources without a rule only.
    assert!(rules.permits("User:bob", "10.0.0.2", Read, Topic, "other", true));
    assert!(!rules.permits("User:bob", "10.0.0.2", Read, Topic, "t", true));
}

#[test]
fn some_resource_is_one_that_no_denial_covers() {
    let allow = |kind, name| acl((Topic, kind, name), "User:alice", Write, Allow);
    let deny = |kind, name| acl((Topic, kind, name), "User:alice", Write, Deny);
    let some = |acls| rules(acls).permits_some("User:alice", "h", Write, Topic);
    assert!(!some(vec![]));
    assert!(some(vec![allow(Literal, "t")]));
    assert!(!some(vec![allow(Literal, "t"), deny(Literal, "t")]));
    assert!(!some(vec![allow(Literal, "topic"), deny(Prefixed, "to")]));
    assert!(some(vec![allow(Prefixed, "t"), deny(Prefixed, "to")]));
    assert!(!some(vec![allow(Prefixed, "to"), deny(Prefixed, "t")]));
    assert!(some(vec![allow(Prefixed, "t"), deny(Literal, "t")]));
    assert!(some(vec![allow(Literal, "*"), deny(Prefixed, "t")]));
    assert!(!some(vec![allow(Literal, "*"), deny(Literal, "*")]));
}

#[test]
fn filters_find_what_kafka_finds() {
    let literal = acl((Topic, Literal, "orders"), "User:a", Read, Allow);
    let any = acl((Topic, Literal, "*"), "User:a", Read, Allow);
    let prefixed = acl((Topic, Prefixed, "ord"), "User:b", Write, Deny);
    let group = acl((Group, Literal, "orders"), "User:a", Read, Allow);
    let rules = rules(vec![literal.clone(), any.clone(), prefixed.clone(), group.clone()]);
    let find = |resource: i8, name: Option<&str>, kind: i8, operation: i8| {
        let filter = AclFilter::from_wire(resource, name.map(str::to_string), kind, None, None, operation, 1);
        rules.matching(&filter.unwrap())
    };
    assert_eq!(find(1, None, 1, 1).len(), 4);
    assert_eq!(find(2, Some("orders"), 3, 1), std::slice::from_ref(&literal));
    // MATCH finds all that speak of the topic; ANY only those with the name.
    assert_eq!(find(2, Some("orders"), 2, 1), [any, literal.clone(), prefixed.clone()]);
    assert_eq!(find(2, Some("orders"), 1, 1), [literal]);
    assert_eq!(find(1, None, 4, 4), [prefixed]);
    assert!(AclFilter::from_wire(0, None, 1, None, None, 1, 1).is_none());
    assert!(AclFilter::from_wire(2, None, 9, None, None, 1, 1).is_none());
}

#[test]
fn a_rule_that_is_taken_away_is_gone() {
    let rule = acl((Topic, Literal, "t"), "User:alice", Read, Allow);
    let mut rules = rules(vec![rule.clone(), rule.clone()]);
    assert_eq!(rules.acl_count(), 1);
    rules.apply(RulesChange::AclsRemoved(vec![rule.clone(), rule]));
    assert!(rules.is_empty() && !may(&rules, Read, "t"));
}
