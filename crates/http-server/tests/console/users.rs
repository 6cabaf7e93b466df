//! Sessions, and what the rights of users let them see and do.

use crate::site::Site;
use crate::{API, JSON, OWN};
use auth::{Credential, Mechanism};
use broker::security::acl::Pattern;
use broker::security::{Acl, Operation, PatternType, Permission, ResourceType, RulesChange};
use os::sim::SimOs;
use serde_json::{Value, json};
use std::io::Read;

/// Two users: one may do everything, one may read a topic.
fn with_users() -> Site {
    let site =
        Site::on(SimOs::new(5), &[("security.protocol", "SASL_PLAINTEXT"), ("super.users", "User:admin")]);
    let set = |user: &str| RulesChange::CredentialSet {
        user: user.into(),
        credential: Credential::from_password(Mechanism::Sha256, b"salt", 4_096, "secret"),
    };
    let rule = Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: "t".into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    };
    site.broker
        .change_rules(vec![set("admin"), set("alice"), RulesChange::AclsAdded(vec![rule])])
        .expect("they are taken");
    site
}

fn log_in(site: &Site, user: &str, password: &str) -> (u16, Option<String>) {
    let body = json!({ "user": user, "password": password }).to_string();
    let (status, head, _) = site.whole("POST", &format!("{API}/session"), &[OWN, JSON], &body);
    // Their names are written in small letters above, their values must not be.
    let cookie = head.contains("set-cookie").then(|| head.clone());
    (status, cookie)
}

/// The cookie as a browser would send it.
fn cookie(site: &Site, user: &str) -> String {
    let body = json!({ "user": user, "password": "secret" }).to_string();
    let length = body.len();
    let mut answer = site.connect(&format!(
        "POST {API}/session HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-Eventwright-Console: 1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let mut text = String::new();
    answer.read_to_string(&mut text).expect("a text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap_or_else(|| panic!("no cookie: {text}"));
    line.split(';').next().expect("a cookie").to_string()
}

#[test]
fn sessions_are_for_those_who_know_a_password_and_end() {
    let site = with_users();
    let status = |cookie: &str| site.whole("GET", &format!("{API}/session"), &[("Cookie", cookie)], "").0;
    assert_eq!(status(""), 401);
    assert_eq!(site.whole("GET", "/console/", &[], "").0, 200, "the page itself has no secrets");
    let (_, head, _) = site.whole("GET", &format!("{API}/topics"), &[], "");
    assert!(!head.contains("www-authenticate"), "a browser must not ask by itself: {head}");
    assert_eq!(log_in(&site, "alice", "wrong"), (401, None));
    assert_eq!(log_in(&site, "nobody", "secret"), (401, None));
    assert_eq!(
        log_in(&site, "alice", &"x".repeat(5_000)),
        (413, None),
        "it is not read by whoever it is from"
    );
    for wrong in ["", "[]", r#"{"user": "alice"}"#, r#"{"user": "alice", "password": {"deep": [1]}}"#] {
        let (status, _, words) = site.whole("POST", &format!("{API}/session"), &[OWN, JSON], wrong);
        assert!(status == 400 && words.contains("no user and password"), "{wrong}: {status} {words}");
    }
    let (_, told) = log_in(&site, "alice", "secret");
    let told = told.expect("a cookie");
    for wanted in ["httponly", "samesite=strict", "path=/console"] {
        assert!(told.contains(wanted), "{told}");
    }
    let mine = cookie(&site, "alice");
    assert_eq!((status(&mine), status(&format!("{mine}x"))), (200, 401));
    assert_ne!(mine, cookie(&site, "alice"), "each is another one");
    let other = cookie(&site, "admin");
    let (status_of_end, _, _) =
        site.whole("DELETE", &format!("{API}/session"), &[OWN, ("Cookie", &other)], "");
    assert_eq!((status_of_end, status(&other), status(&mine)), (200, 401, 200));
    // A password that was changed ends what was begun with the one before.
    let credential = Credential::from_password(Mechanism::Sha256, b"salt", 4_096, "another");
    site.broker
        .change_rules(vec![RulesChange::CredentialSet { user: "alice".into(), credential }])
        .expect("it is taken");
    assert_eq!(status(&mine), 401);
    let late = cookie(&site, "admin");
    site.world.clock.advance_ms(3_599_000);
    assert_eq!(status(&late), 200);
    site.world.clock.advance_ms(3_601_000);
    assert_eq!(status(&late), 401, "an hour without use");
    site.end();
}

#[test]
fn a_visitor_sees_and_does_what_the_rules_let_them() {
    let site = with_users();
    let admin = cookie(&site, "admin");
    let alice = cookie(&site, "alice");
    let ask = |who: &str, method: &str, path: &str, body: &str| {
        let (status, _, answer) =
            site.whole(method, &format!("{API}/{path}"), &[OWN, JSON, ("Cookie", who)], body);
        (status, serde_json::from_str::<Value>(&answer).unwrap_or_default())
    };
    for name in ["t", "secret"] {
        assert_eq!(ask(&admin, "POST", "topics", &json!({ "name": name }).to_string()).0, 200);
        assert_eq!(
            ask(&admin, "POST", &format!("topics/{name}/records"), r#"{"value": {"text": "x"}}"#).0,
            200
        );
    }
    let (_, mine) = ask(&alice, "GET", "session", "");
    assert_eq!((&mine["user"], &mine["may"]["see_jobs"]), (&json!("User:alice"), &json!(false)));
    assert_eq!(ask(&alice, "GET", "topics", "").1["topics"][0]["name"], "t");
    assert_eq!(ask(&alice, "GET", "topics", "").1["found"], 1);
    assert_eq!(
        ask(&alice, "GET", "topics/t", "").1["may"],
        json!({"read": true, "write": false, "configs": false})
    );
    assert_eq!(ask(&alice, "GET", "topics/t/records", "").1["records"][0]["value"]["text"], "x");
    for (method, path, body) in [
        ("GET", "topics/secret", ""),
        ("GET", "topics/secret/records", ""),
        ("GET", "topics/secret/records/0/0", ""),
        ("GET", "topics/secret/search?text=x", ""),
        ("GET", "topics/secret/tail", ""),
        ("GET", "letters/secret", ""),
        ("GET", "node", ""),
        ("GET", "jobs", ""),
        ("GET", "jobs/x/steps", ""),
        ("GET", "jobs/x/steps/1", ""),
        ("GET", "flink/jobs/overview", ""),
        ("GET", "groups/g", ""),
        ("POST", "topics", r#"{"name": "mine"}"#),
        ("POST", "topics/t/records", r#"{"value": {"text": "x"}}"#),
        ("POST", "groups/g/reset", r#"{"topic": "t", "to": "earliest", "confirm": true}"#),
        ("PATCH", "flink/jobs/x?mode=cancel", ""),
    ] {
        let (status, answer) = ask(&alice, method, path, body);
        assert_eq!(status, 403, "{method} {path}: {answer}");
        assert_ne!(
            ask(&admin, method, path.replace("tail", "search").as_str(), body).0,
            403,
            "{method} {path}"
        );
    }
    // Neither whether a topic is there nor what a group has left in it is told to who may not see it.
    for topic in ["secret", "absent"] {
        let reset = json!({ "topic": topic, "to": "earliest" }).to_string();
        let (status, answer) = ask(&alice, "POST", "groups/g/reset", &reset);
        let words = answer["errors"][0].as_str().unwrap_or_default().to_owned();
        assert!(status == 403 && words.contains("Describe on Topic"), "{topic}: {status} {words}");
    }
    let reset = json!({ "topic": "secret", "to": "earliest", "confirm": true }).to_string();
    assert_eq!(ask(&admin, "POST", "groups/g/reset", &reset).0, 200);
    let rule = Acl {
        pattern: Pattern { resource: ResourceType::Group, kind: PatternType::Literal, name: "g".into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Describe,
        permission: Permission::Allow,
    };
    site.broker.change_rules(vec![RulesChange::AclsAdded(vec![rule])]).expect("it is taken");
    let row = |who: &str| {
        let group = ask(who, "GET", "groups", "").1["groups"][0].take();
        (group["name"].clone(), group["lag"].clone(), group["topics"].clone())
    };
    assert_eq!(row(&admin), (json!("g"), json!(3), json!(["secret", "t"])));
    assert_eq!(row(&alice), (json!("g"), json!(2), json!(["t"])));
    // Elsewhere on the server the cookie says nothing.
    assert_eq!(site.whole("GET", "/jobs/overview", &[("Cookie", &admin)], "").0, 401);
    site.end();
}
