//! Whoever may not read a relation is not told that it is there.

mod site;

use broker::security::{Acl, Operation, PatternType, Permission, ResourceType, RulesChange, acl::Pattern};
use site::{Client, Got, Site};

fn may_read(user: &str, topic: &str) -> Acl {
    Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: topic.into() },
        principal: format!("User:{user}"),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    }
}

fn site() -> Site {
    let site = Site::with(&[("security.protocol", "SASL_PLAINTEXT")]);
    site.topic("open", 1);
    site.topic("closed", 1);
    site.user("alice", "secret");
    site.user("bob", "secret");
    let rules = [("alice", "open"), ("bob", "open"), ("bob", "closed"), ("bob", "sales")];
    let rules = rules.map(|(user, topic)| may_read(user, topic)).into();
    site.broker.change_rules(vec![RulesChange::AclsAdded(rules)]).unwrap_or_else(|_| panic!("rules"));
    site
}

fn log_in(site: &Site, user: &str) -> Client {
    Client::log_in(site.server.local_addr(), user, Some("secret")).expect("it lets in")
}

fn prepared(client: &mut Client, statement: &str) -> Got {
    client.parse("", statement, &[]);
    client.describe("");
    client.sync()
}

#[test]
fn what_may_not_be_read_is_answered_as_what_is_not_there() {
    let site = site();
    let (mut alice, mut bob) = (log_in(&site, "alice"), log_in(&site, "bob"));
    for (statement, name) in [
        ("SELECT * FROM NAME", "closed"),
        ("SELECT value FROM topics.NAME WHERE \"offset\" = 1", "closed"),
        ("SELECT total FROM NAME WHERE city = 'Rome' AND day = 1", "sales"),
        ("SELECT nonsense FROM public.NAME", "sales"),
        ("SELECT (SELECT count(*) FROM NAME)", "sales"),
        ("WITH x AS (SELECT * FROM NAME) SELECT * FROM x", "sales"),
        ("SELECT * FROM (WITH NAME AS (SELECT 1) SELECT 1) x, NAME", "closed"),
        ("EXPLAIN SELECT * FROM NAME", "closed"),
        ("SUBSCRIBE TO NAME", "closed"),
        ("SUBSCRIBE TO NAME", "sales"),
        ("SELECT 'NAME'::regclass::int", "sales"),
        ("SELECT * FROM NAMES", "sale"),
    ] {
        let (of, there) = (|name: &str| statement.replace("NAME", name), of_hidden(name));
        // Their plans are kept.
        if !statement.starts_with("SUBSCRIBE") {
            bob.query(&of(name));
        }
        let wanted = alice.query(&of(there)).errors;
        assert!(!wanted.is_empty(), "{statement}");
        let shown = |errors: &[(String, String, String, String)]| format!("{errors:?}").replace(there, name);
        assert_eq!(shown(&alice.query(&of(name)).errors), shown(&wanted), "{statement}");
        if !statement.starts_with("SUBSCRIBE") && !statement.contains("regclass") {
            let got = prepared(&mut alice, &of(name));
            assert_eq!((shown(&got.errors), got.kinds.as_str()), (shown(&wanted), "EZ"), "{statement}");
        }
    }
    let got = bob.query("SELECT * FROM sale");
    assert_eq!(got.errors[0].2, "did you mean \"sales\"?");
    assert_eq!(alice.query("SELECT * FROM sale").errors[0].2, "");
    assert_eq!(prepared(&mut bob, "SELECT total FROM sales").columns, [("total".to_string(), 20)]);
}

/// A name as long as the hidden one, of nothing.
fn of_hidden(name: &str) -> &'static str {
    match name.len() {
        4 => "zzzz",
        5 => "zzzzz",
        _ => "zzzzzz",
    }
}

#[test]
fn functions_of_the_catalog_name_what_may_be_read_alone() {
    let site = site();
    let (mut alice, mut bob) = (log_in(&site, "alice"), log_in(&site, "bob"));
    let number = bob.one("SELECT 'sales'::regclass::int");
    let key = bob.one("SELECT conindid::int FROM pg_constraint WHERE conname = 'sales_pkey'");
    let asked = format!(
        "SELECT {number}::regclass::text, {key}::regclass::text, pg_get_indexdef({key}), pg_get_constraintdef({key})"
    );
    let got = bob.query(&asked);
    let definition = "CREATE UNIQUE INDEX \"sales_pkey\" ON public.\"sales\" USING btree (city, day)";
    assert_eq!(got.texts()[0][..3], ["sales", "sales_pkey", definition], "{got:?}");
    assert_eq!(alice.query(&asked).texts()[0], [&*number, &*key, "NULL", "NULL"]);
    assert_eq!(alice.query("SELECT 'sales'::regclass::int").code(), "42P01");
    assert_eq!(
        alice.query("SELECT 'open'::regclass::int = oid FROM pg_class WHERE relname = 'open'").texts(),
        [["t"]]
    );
}

#[test]
fn rights_that_go_hide_what_was_planned() {
    let site = site();
    let mut bob = log_in(&site, "bob");
    bob.parse("s", "SELECT count(*) FROM closed", &[]);
    bob.bind("s", &[], 0, 0);
    bob.execute(0);
    assert_eq!(bob.sync().texts(), [["0"]]);
    assert_eq!(bob.one("SELECT count(*) FROM closed"), "0");
    let gone = RulesChange::AclsRemoved(vec![may_read("bob", "closed")]);
    site.broker.change_rules(vec![gone]).unwrap_or_else(|_| panic!("no rule"));
    assert_eq!(bob.query("SELECT count(*) FROM closed").code(), "42P01");
    bob.bind("s", &[], 0, 0);
    bob.execute(0);
    assert_eq!(bob.sync().code(), "42501");
}
