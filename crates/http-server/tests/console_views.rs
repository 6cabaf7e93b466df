//! What the console tells of views and of where records go, and how its questions in SQL reach those who answer them.

#[allow(dead_code, reason = "the tests of events use the rest of the fixture")]
mod site;

use arrow_schema::{DataType, Field, Schema};
use auth::{Credential, Mechanism};
use base::Lsn;
use broker::security::acl::Pattern;
use broker::security::{Acl, Operation, PatternType, Permission, ResourceType, RulesChange};
use os::sim::SimOs;
use serde_json::{Value, json};
use site::Site;
use std::sync::Arc;
use views::{ViewDefinition, ViewKey};

const API: &str = "/console/api";
const OWN: (&str, &str) = ("X-Eventwright-Console", "1");
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn define(site: &Site, name: &str) {
    let fields = vec![Field::new("city", DataType::Utf8, false), Field::new("n", DataType::Int64, true)];
    let definition = ViewDefinition {
        name: name.into(),
        schema: Arc::new(Schema::new(fields)),
        types: vec!["STRING".into(), "BIGINT".into()],
        key: ViewKey::Columns(vec![0]),
        statement: format!("CREATE MATERIALIZED TABLE {name} AS SELECT 1"),
        comment: Some("<b>".into()),
        job: "a-job".into(),
        topic: format!("__view.{name}"),
    };
    site.views.commit(Lsn(1), |fold| fold.define(definition).expect("a view"));
}

#[test]
fn views_are_told_with_what_they_are_and_take() {
    let site = Site::new();
    assert_eq!(site.get(&format!("{API}/views")), json!({"views": [], "found": 0, "all": 0}));
    for name in ["totals", "averages", "Totals2"] {
        define(&site, name);
    }
    let list = |query: &str| {
        let list = site.get(&format!("{API}/views{query}"));
        let names = list["views"].as_array().expect("a list").iter().map(|view| view["name"].clone());
        (names.collect::<Vec<_>>(), list["found"].clone(), list["all"].clone())
    };
    assert_eq!(list("?filter=TOTAL"), (vec![json!("Totals2"), json!("totals")], json!(2), json!(3)));
    assert_eq!(list("?skip=1&max=1"), (vec![json!("averages")], json!(3), json!(3)));
    let view = site.get(&format!("{API}/views/totals"));
    assert_eq!(
        view["columns"],
        json!([
            {"name": "city", "type": "STRING", "nullable": false, "key": true},
            {"name": "n", "type": "BIGINT", "nullable": true, "key": false}
        ])
    );
    assert_eq!(
        (&view["key"], &view["rows"], &view["topic"]),
        (&json!(["city"]), &json!(0), &json!("__view.totals"))
    );
    assert_eq!((&view["comment"], &view["job_id"]), (&json!("<b>"), &Value::Null), "nobody knows the job");
    let (status, words) = site.refused("GET", &format!("{API}/views/none"), &[], "");
    assert_eq!((status, words.as_str()), (404, "there is no view 'none'"));
    // A view that is given up wants looking at.
    site.views.commit(Lsn(2), |fold| fold.break_off("totals", "too large".into()));
    let node = site.get(&format!("{API}/node"));
    assert_eq!(node["attention"][0]["text"], "view totals is given up: too large");
    site.end();
}

#[test]
fn a_question_goes_to_those_who_answer_and_its_lines_come_back() {
    let site = Site::new();
    let ask = |headers: &[(&str, &str)], body: &str| site.text("POST", &format!("{API}/sql"), headers, body);
    let (status, lines) = ask(&[OWN, JSON], r#"{"text": "SELECT 1", "at": 3, "explain": true, "max": 7}"#);
    assert_eq!(status, 200);
    assert!(
        lines.contains(r#"{"asked":["User:ANONYMOUS","SELECT 1",3,true,7]}"#)
            && lines.contains(r#"{"ended":"all"}"#),
        "{lines}"
    );
    let (_, lines) = ask(&[OWN, JSON], r#"{"text": "SELECT 1"}"#);
    assert!(lines.contains(r#""SELECT 1",0,false,1000]"#), "{lines}");
    for (headers, body, wanted) in [
        (&[JSON][..], r#"{"text": "SELECT 1"}"#, 403),
        (&[OWN, ("Content-Type", "text/plain")], r#"{"text": "SELECT 1"}"#, 403),
        (&[OWN, JSON], "[", 400),
        (&[OWN, JSON], r#"{"text": 1}"#, 400),
    ] {
        assert_eq!(ask(headers, body).0, wanted, "{body}");
    }
    assert_eq!(site.get(&format!("{API}/sql/relations?prefix=sa")), json!({"beginning": "sa", "max": 50}));
    assert_eq!(site.get(&format!("{API}/sql/relations")), json!({"beginning": "", "max": 50}));
    assert_eq!(site.get(&format!("{API}/sql/relations?names=a,b")), json!({"named": ["a", "b"], "max": 50}));
    assert_eq!(site.get(&format!("{API}/session"))["may"]["query"], true);
    site.end();
}

#[test]
fn the_way_of_a_record_is_told_by_who_has_read_it() {
    let site = Site::new();
    site.post("/topics/t", &[JSON], r#"{"n": 1}"#);
    let partition =
        (0..3).find(|at| site.ask("GET", &format!("{API}/topics/t/records/{at}/0"), &[], "").0 == 200);
    let partition = partition.expect("the record lies somewhere");
    let way = |offset: &str| site.get(&format!("{API}/topics/t/records/{partition}/{offset}/way"));
    assert_eq!(way("0"), json!({"jobs": [], "sees_jobs": true, "groups": []}));
    let reset = |to: i64| {
        let body = json!({"topic": "t", "to": "offset", "offset": to, "confirm": true}).to_string();
        assert_eq!(site.ask("POST", &format!("{API}/groups/g/reset"), &[OWN, JSON], &body).0, 200);
    };
    reset(0);
    let group =
        |next: i64, done: bool| json!([{"group": "g", "type": "classic", "next": next, "done": done}]);
    let named = |way: Value| {
        let mut groups = way["groups"].clone();
        groups[0]["type"] = "classic".into();
        groups
    };
    assert_eq!(named(way("0")), group(0, false));
    reset(1);
    assert_eq!(named(way("0")), group(1, true));
    for path in ["t/records/9/0/way", "t/records/x/0/way", "t/records/0/x/way"] {
        assert_eq!(site.ask("GET", &format!("{API}/topics/{path}"), &[], "").0, 400, "{path}");
    }
    assert_eq!(site.ask("GET", &format!("{API}/topics/none/records/0/0/way"), &[], "").0, 404);
    site.end();
}

#[test]
fn a_visitor_is_told_of_views_and_ways_that_the_rules_allow() {
    let site =
        Site::on(SimOs::new(5), &[("security.protocol", "SASL_PLAINTEXT"), ("super.users", "User:admin")]);
    let set = |user: &str| RulesChange::CredentialSet {
        user: user.into(),
        credential: Credential::from_password(Mechanism::Sha256, b"salt", 4_096, "secret"),
    };
    let rule = Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: "mine".into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    };
    let changes = vec![set("admin"), set("alice"), RulesChange::AclsAdded(vec![rule.clone()])];
    site.broker.change_rules(changes).expect("it is taken");
    for name in ["mine", "others"] {
        define(&site, name);
    }
    let basic = |user: &str| auth::plain::Login::basic(user, "secret");
    let ask = |user: &str, path: &str| {
        site.ask("GET", &format!("{API}/{path}"), &[("Authorization", &basic(user))], "")
    };
    assert_eq!(ask("admin", "views").1["found"], 2);
    let (_, mine) = ask("alice", "views");
    assert_eq!(
        (&mine["found"], &mine["all"], &mine["views"][0]["name"]),
        (&json!(1), &json!(1), &json!("mine"))
    );
    assert_eq!(ask("alice", "views/mine").0, 200);
    // What is there and may not be seen is as what is not there.
    let (status, hidden) = ask("alice", "views/others");
    assert_eq!((status, hidden), (404, json!({"errors": ["there is no view 'others'"]})));
    // Nor is it named to who may see the node and not the view.
    let on_cluster = Acl {
        pattern: Pattern {
            resource: ResourceType::Cluster,
            kind: PatternType::Literal,
            name: "kafka-cluster".into(),
        },
        operation: Operation::Describe,
        ..rule.clone()
    };
    site.broker.change_rules(vec![RulesChange::AclsAdded(vec![on_cluster])]).expect("it is taken");
    site.views.commit(Lsn(2), |fold| {
        fold.break_off("mine", "too large".into());
        fold.break_off("others", "too large".into());
    });
    let told = |user: &str| ask(user, "node").1["attention"].as_array().map(Vec::len);
    assert_eq!((told("admin"), told("alice")), (Some(2), Some(1)));
    assert_eq!(ask("alice", "topics/others/records/0/0/way").0, 403);
    assert_eq!(site.ask("GET", &format!("{API}/views"), &[], "").0, 401);
    let body = r#"{"text": "SELECT 1"}"#;
    assert_eq!(site.ask("POST", &format!("{API}/sql"), &[OWN, JSON], body).0, 401);
    let (_, lines) =
        site.text("POST", &format!("{API}/sql"), &[OWN, JSON, ("Authorization", &basic("alice"))], body);
    assert!(lines.contains(r#"["User:alice","SELECT 1""#), "{lines}");
    site.end();
}
