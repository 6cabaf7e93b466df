//! SUBSCRIBE: what a client is told and when, and what ends it.

mod site;

use broker::security::{Acl, Operation, PatternType, Permission, ResourceType, RulesChange, acl::Pattern};
use site::{Client, Site, code_of, message, values};
use std::io::Read;

fn begin(client: &mut Client, statement: &str) {
    client.send(&message(b'Q', &[statement.as_bytes(), &[0]].concat()));
}

/// The next row.
fn row(client: &mut Client) -> Vec<String> {
    let (kind, body) = client.next_but("T");
    assert_eq!(kind, b'D', "{}", String::from_utf8_lossy(&body));
    values(&body).into_iter().map(|value| value.unwrap_or_else(|| "NULL".into())).collect()
}

fn error(client: &mut Client) -> String {
    let (kind, body) = client.next_but("TDS");
    assert_eq!(kind, b'E', "{}", String::from_utf8_lossy(&body));
    code_of(&body)
}

#[test]
fn rows_and_changes_come_batch_by_batch() {
    let site = Site::with_memory(&[], 8 << 20);
    // More than a session may have at once, and more than one batch.
    let name = |number: i64| format!("{number:06}{}", "x".repeat(1_000));
    let names: Vec<String> = (0..20_000).map(name).collect();
    let all = |total: i64| names.iter().map(|name| (name.as_str(), 1, Some(total))).collect::<Vec<_>>();
    site.sell(10, &all(1));
    let mut client = site.client();
    begin(&mut client, "SUBSCRIBE TO sales WITH (PROGRESS)");
    for name in &names {
        assert_eq!(row(&mut client), ["10", "f", "1", name, "1", "1"]);
    }
    assert_eq!(row(&mut client), ["10", "t", "NULL", "NULL", "NULL", "NULL"]);
    site.sell(20, &all(2));
    for name in &names {
        assert_eq!(row(&mut client), ["20", "f", "-1", name, "1", "1"]);
        assert_eq!(row(&mut client), ["20", "f", "1", name, "1", "2"]);
    }
    assert_eq!(row(&mut client)[..2], ["20", "t"]);
}

#[test]
fn it_is_told_that_the_log_goes_on_while_its_view_does_not_change() {
    let site = Site::new();
    site.sell(10, &[("Rome", 1, Some(1))]);
    let mut client = site.client();
    begin(&mut client, "SUBSCRIBE TO sales WITH (SNAPSHOT = false, PROGRESS)");
    assert_eq!(row(&mut client)[..2], ["10", "t"]);
    site.views.commit(base::Lsn(30), |_| {});
    assert_eq!(row(&mut client)[..2], ["30", "t"]);
}

#[test]
fn it_begins_behind_the_position_that_the_session_reads_after() {
    let site = Site::new();
    site.topic("t", 1);
    site.sell(1, &[("Rome", 1, Some(1))]);
    let lsn = site.produce("t", 0, &["a"]).0;
    let mut client = site.client();
    client.query(&format!("SET eventwright.read_after_lsn = '{:X}/{:X}'", lsn >> 32, lsn & 0xffff_ffff));
    client.query("SET eventwright.read_timeout = '50ms'");
    assert_eq!(client.query("SUBSCRIBE TO sales").code(), "57014");
    client.query("BEGIN");
    assert_eq!(client.query("DECLARE c CURSOR FOR SUBSCRIBE TO sales").code(), "57014");
    client.query("ROLLBACK");
    site.sell(lsn, &[("Oslo", 1, Some(1))]);
    client.query("SET eventwright.read_timeout = '50s'");
    begin(&mut client, "SUBSCRIBE TO sales");
    assert_eq!(row(&mut client), [&lsn.to_string(), "1", "Oslo", "1", "1"]);
}

#[test]
fn a_right_that_goes_ends_it() {
    let site = Site::with(&[("security.protocol", "SASL_PLAINTEXT")]);
    site.user("bob", "secret");
    let rule = Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: "sales".into() },
        principal: "User:bob".into(),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    };
    let change = |change| site.broker.change_rules(vec![change]).unwrap_or_else(|_| panic!("it is taken"));
    change(RulesChange::AclsAdded(vec![rule.clone()]));
    site.sell(10, &[("Rome", 1, Some(1))]);
    let mut bob = Client::log_in(site.server.local_addr(), "bob", Some("secret")).expect("it lets in");
    begin(&mut bob, "SUBSCRIBE TO sales");
    assert_eq!(row(&mut bob), ["10", "1", "Rome", "1", "1"]);
    change(RulesChange::AclsRemoved(vec![rule]));
    // Nothing of what comes now is told.
    site.sell(20, &[("Oslo", 1, Some(1))]);
    let (kind, body) = bob.next();
    assert_eq!((kind, code_of(&body)), (b'E', "42501".to_string()));
}

#[test]
fn a_node_that_stops_ends_it_with_a_word() {
    let site = Site::new();
    site.sell(10, &[("Rome", 1, Some(1))]);
    let mut followers: Vec<Client> = (0..3).map(|_| site.client()).collect();
    begin(&mut followers[0], "SUBSCRIBE TO sales");
    begin(&mut followers[1], "COPY (SUBSCRIBE TO sales) TO STDOUT");
    followers[2].query("BEGIN");
    followers[2].query("DECLARE c CURSOR FOR SUBSCRIBE TO sales WITH (SNAPSHOT = false)");
    begin(&mut followers[2], "FETCH ALL FROM c");
    row(&mut followers[0]);
    assert_eq!(followers[1].next_but("H").0, b'd');
    site.server.shutdown();
    for follower in &mut followers {
        let (kind, body) = follower.next_but("TDdS");
        assert_eq!((kind, code_of(&body)), (b'E', "57P01".to_string()));
    }
}

#[test]
fn a_client_that_has_gone_is_noticed() {
    let site = Site::new();
    site.sell(10, &[("Rome", 1, Some(1))]);
    for statement in [
        "SUBSCRIBE TO sales",
        "WAIT FOR LSN 'FF/0'",
        "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b",
    ] {
        let mut client = site.client();
        begin(&mut client, statement);
        drop(client);
        site.wait_until_nobody_is_there();
    }
    // Also if more than it was asked for has come.
    let mut client = site.client();
    begin(&mut client, "SUBSCRIBE TO sales");
    row(&mut client);
    begin(&mut client, "SELECT 1");
    begin(&mut client, "SUBSCRIBE TO sales");
    client.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    assert_eq!(error(&mut client), "08006");
    client.stream.read_to_end(&mut Vec::new()).expect("it ends");
    site.wait_until_nobody_is_there();
}
