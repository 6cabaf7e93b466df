//! Registering, looking up, listing and deleting, with the number of each refusal.

use super::*;

fn schema(schema: &Value) -> Option<Value> {
    Some(json!({"schema": schema.to_string()}))
}

#[test]
fn equal_schemas_share_a_number_and_versions_count_from_one() {
    let site = Site::new();
    assert_eq!(site.get("/subjects"), json!([]));
    assert_eq!(site.register("a", &json!("string")), 1);
    assert_eq!(site.register("b", &json!({"type": "string"})), 1);
    assert_eq!(site.register("b", &json!("bytes")), 2);
    assert_eq!(site.register("c", &json!({"type": "bytes"})), 2);
    assert_eq!(site.get("/subjects/b/versions"), json!([1, 2]));
    assert_eq!(site.get("/subjects/c/versions"), json!([1]));
}

#[test]
fn what_is_registered_is_found_by_number_and_by_version() {
    let site = Site::new();
    site.put("/config", json!({"compatibility": "NONE"}));
    assert_eq!(site.register("a", &record(&["x"])), 1);
    assert_eq!(site.register("a", &record(&["x", "Y"])), 2);
    assert_eq!(site.register("a", &record(&["x"])), 1, "it is there already");
    assert_eq!(site.register("b", &record(&["x", "Y"])), 2);
    assert_eq!(site.get("/subjects/a/versions"), json!([1, 2]));
    assert_eq!(site.get("/subjects"), json!(["a", "b"]));
    let text = record(&["x"]).to_string();
    let first = json!({"subject": "a", "version": 1, "id": 1, "schema": text});
    assert_eq!(site.get("/subjects/a/versions/1"), first);
    assert_eq!(site.get("/subjects/a/versions/latest")["version"], 2);
    assert_eq!(site.get("/subjects/a/versions/-1")["version"], 2);
    assert_eq!(site.get("/subjects/a/versions/1/schema"), record(&["x"]));
    assert_eq!(site.get("/schemas/ids/1"), json!({"schema": text}));
    assert_eq!(site.get("/schemas/ids/1?fetchMaxId=true")["maxId"], 2);
    assert_eq!(site.get("/schemas/ids/1/schema"), record(&["x"]));
    assert_eq!(site.get("/schemas/ids/2/subjects"), json!(["a", "b"]));
    let places = json!([{"subject": "a", "version": 2}, {"subject": "b", "version": 1}]);
    assert_eq!(site.get("/schemas/ids/2/versions"), places);
    assert_eq!(site.get("/schemas/ids/2/versions?subject=b"), json!([{"subject": "b", "version": 1}]));
    assert_eq!(site.ask("POST", "/subjects/a", schema(&record(&["x"]))), (200, first));
    assert_eq!(site.get("/schemas").as_array().unwrap().len(), 3);
    assert_eq!(site.get("/schemas?latestOnly=true&subjectPrefix=a").as_array().unwrap().len(), 1);
    assert_eq!(site.get("/schemas?offset=1&limit=1").as_array().unwrap().len(), 1);
    assert_eq!(site.get("/schemas/types"), json!(["JSON", "PROTOBUF", "AVRO"]));
    assert_eq!(site.get("/"), json!({}));
    assert_eq!(site.get("/v1/metadata/id")["scope"]["clusters"]["kafka-cluster"], "cluster-1");
    assert_eq!(site.get("/v1/metadata/version")["version"], "0.1");
}

#[test]
fn refusals_have_their_numbers() {
    let site = Site::new();
    site.register("a", &json!("string"));
    for (method, target, code) in [
        ("GET", "/subjects/no/versions", 40401),
        ("GET", "/subjects/no/versions/1", 40401),
        ("DELETE", "/subjects/no", 40401),
        ("DELETE", "/subjects/no/versions/1", 40401),
        ("GET", "/subjects/a/versions/2", 40402),
        ("DELETE", "/subjects/a/versions/2", 40402),
        ("GET", "/schemas/ids/7", 40403),
        ("GET", "/schemas/ids/7/subjects", 40403),
        ("DELETE", "/subjects/a?permanent=true", 40405),
        ("DELETE", "/subjects/a/versions/1?permanent=true", 40407),
        ("GET", "/config/a", 40408),
        ("GET", "/mode/a", 40409),
        ("DELETE", "/config/a", 40401),
        ("DELETE", "/mode/a", 40401),
        ("GET", "/subjects/a/versions/0", 42202),
        ("GET", "/subjects/a/versions/first", 42202),
        ("GET", "/subjects/a/versions/2147483648", 42202),
        ("GET", "/schemas/ids/x", 404),
        ("GET", "/nothing", 404),
        ("GET", "/subjects/a/nothing", 404),
        ("PUT", "/subjects", 405),
        ("DELETE", "/schemas/ids/1", 405),
    ] {
        assert_eq!(site.code(method, target, None), code, "{method} {target}");
    }
    let versions = "/subjects/a/versions";
    for (method, target, body, code) in [
        ("POST", "/subjects/no", json!({"schema": "\"string\""}), 40401),
        ("POST", "/subjects/a", json!({"schema": "\"int\""}), 40403),
        ("POST", versions, json!({"schema": "{\"type\": \"record\"}"}), 42201),
        ("POST", versions, json!({"schema": ""}), 42201),
        ("POST", versions, json!({}), 42201),
        ("POST", versions, json!({"schema": "\"int\"", "schemaType": "XML"}), 42201),
        ("POST", versions, json!({"schema": "\"int\"", "id": 9}), 42205),
        ("POST", versions, json!({"schema": "\"bytes\"", "version": 9}), 42201),
        ("POST", versions, json!({"schema": "\"int\""}), 409),
        ("POST", versions, json!({"schema": "\"int\"", "color": 1}), 422),
        ("POST", versions, json!({"schema": format!("\"{}\"", "x".repeat(1_000_001))}), 42209),
        ("POST", versions, json!({"schema": "\"bytes\"", "ruleSet": {"domainRules": [{}]}}), 42210),
        ("POST", "/subjects/__GLOBAL/versions", json!({"schema": "\"int\""}), 42208),
        ("POST", "/subjects/a\nb/versions", json!({"schema": "\"int\""}), 42208),
        ("POST", "/compatibility/subjects/a/versions/3", json!({"schema": "\"int\""}), 40402),
        ("POST", "/compatibility/subjects/a/versions/x", json!({"schema": "\"int\""}), 42202),
        ("POST", "/compatibility/subjects/a/versions/latest", json!({"schema": "{"}), 42201),
        ("PUT", "/config", json!({"compatibility": "SOME"}), 42203),
        ("PUT", "/config/a", json!({}), 42203),
        ("PUT", "/config", json!({"compatibilityGroup": "x"}), 42205),
        ("PUT", "/mode", json!({"mode": "SLOW"}), 42204),
        ("PUT", "/mode/a", json!({"mode": "IMPORT"}), 42205),
    ] {
        assert_eq!(site.code(method, target, Some(body.clone())), code, "{method} {target} {body}");
    }
    let broken =
        Request { method: "POST".into(), path: vec!["subjects".into(), "a".into()], ..Request::default() };
    for (body, status) in [("", 400), ("[", 400), ("[]", 400), ("\u{1}", 400)] {
        let answer = site.registry.answer(&Request { body: body.into(), ..broken.clone() });
        assert_eq!(answer.status, status, "{body}");
    }
    assert_eq!(site.get("/subjects/a/versions"), json!([1]), "nothing of it was kept");
}

#[test]
fn media_types_are_those_that_are_asked_for() {
    let site = Site::new();
    let request = Request { method: "GET".into(), path: vec!["subjects".into()], ..Request::default() };
    for (accept, status, content_type) in [
        (None, 200, "application/vnd.schemaregistry.v1+json"),
        (Some("*/*"), 200, "application/vnd.schemaregistry.v1+json"),
        (Some("application/json"), 200, "application/json"),
        (
            Some("application/vnd.schemaregistry+json, application/json;q=0.5"),
            200,
            "application/vnd.schemaregistry+json",
        ),
        (Some("text/html, application/json; q=0.1"), 200, "application/json"),
        (Some("text/html"), 406, "application/json"),
    ] {
        let answer = site.registry.answer(&Request { accept: accept.map(str::to_string), ..request.clone() });
        assert_eq!((answer.status, answer.content_type), (status, content_type), "{accept:?}");
    }
    for (content_type, status) in
        [("application/json; charset=utf-8", 200), ("application/octet-stream", 200), ("text/plain", 415)]
    {
        let answer = site.registry.answer(&Request {
            method: "POST".into(),
            path: vec!["subjects".into(), "a".into(), "versions".into()],
            content_type: Some(content_type.into()),
            body: br#"{"schema": "\"int\""}"#.to_vec(),
            ..Request::default()
        });
        assert_eq!(answer.status, status, "{content_type}");
    }
}

#[test]
fn a_deleted_version_is_hidden_and_comes_back_under_a_new_one() {
    let site = Site::new();
    assert_eq!(site.register("a", &json!("int")), 1);
    assert_eq!(site.register("a", &json!("long")), 2);
    assert_eq!(site.delete("/subjects/a/versions/2"), json!(2));
    assert_eq!(site.code("DELETE", "/subjects/a/versions/2", None), 40406);
    assert_eq!(site.get("/subjects/a/versions"), json!([1]));
    assert_eq!(site.get("/subjects/a/versions?deleted=true"), json!([1, 2]));
    assert_eq!(site.get("/subjects/a/versions?deletedOnly=true"), json!([2]));
    assert_eq!(site.code("GET", "/subjects/a/versions/2", None), 40402);
    assert_eq!(site.get("/subjects/a/versions/2?deleted=true")["id"], 2);
    // Records that have the number must stay readable.
    assert_eq!(site.get("/schemas/ids/2")["schema"], "\"long\"");
    assert_eq!(site.get("/schemas/ids/2/subjects"), json!([]));
    assert_eq!(site.get("/schemas/ids/2/subjects?deleted=true"), json!(["a"]));
    assert_eq!(site.code("POST", "/subjects/a", schema(&json!("long"))), 40403);
    assert_eq!(site.ask("POST", "/subjects/a?deleted=true", schema(&json!("long"))).1["version"], 2);
    assert_eq!(site.register("a", &json!("long")), 2);
    assert_eq!(site.get("/subjects/a/versions"), json!([1, 3]));
    assert_eq!(site.delete("/subjects/a/versions/latest"), json!(3));
    assert_eq!(site.delete("/subjects/a/versions/3?permanent=true"), json!(3));
    assert_eq!(site.get("/subjects/a/versions?deleted=true"), json!([1, 2]));
}

#[test]
fn subjects_are_deleted_in_two_steps_and_their_numbers_do_not_come_again() {
    let site = Site::new();
    site.register("a", &json!("int"));
    site.register("a", &json!("long"));
    site.put("/config/a", json!({"compatibility": "FULL"}));
    site.put("/mode/a", json!({"mode": "READWRITE"}));
    assert_eq!(site.delete("/subjects/a"), json!([1, 2]));
    assert_eq!(site.code("DELETE", "/subjects/a", None), 40404);
    assert_eq!(site.code("GET", "/config/a", None), 40408, "what was set for it is gone");
    assert_eq!(site.code("GET", "/mode/a", None), 40409);
    assert_eq!(site.get("/subjects"), json!([]));
    assert_eq!(site.get("/subjects?deleted=true"), json!(["a"]));
    assert_eq!(site.get("/subjects?deletedOnly=true"), json!(["a"]));
    assert_eq!(site.delete("/subjects/a?permanent=true"), json!([1, 2]));
    assert_eq!(site.get("/subjects?deleted=true"), json!([]));
    assert_eq!(site.code("GET", "/schemas/ids/2", None), 40403);
    assert_eq!(site.code("DELETE", "/subjects/a?permanent=true", None), 40401);
    let site = site.restart();
    assert_eq!(site.register("a", &json!("float")), 3);
    assert_eq!(site.get("/subjects/a/versions"), json!([1]));
}

#[test]
fn contexts_have_numbers_of_their_own() {
    let site = Site::new();
    assert_eq!(site.register("a", &json!("int")), 1);
    assert_eq!(site.register("a", &json!("long")), 2);
    assert_eq!(site.register(":.shop:a", &json!("long")), 1);
    assert_eq!(site.register(":.:a", &json!("long")), 2, "the usual context has no name");
    assert_eq!(site.get("/contexts"), json!([".", ".shop"]));
    assert_eq!(site.get("/subjects"), json!([":.shop:a", "a"]));
    assert_eq!(site.get("/contexts/.shop/subjects"), json!([":.shop:a"]));
    assert_eq!(site.get("/contexts/.shop/subjects/a/versions/1")["subject"], ":.shop:a");
    assert_eq!(site.get("/schemas/ids/1?subject=:.shop:")["schema"], "\"long\"");
    assert_eq!(site.get("/contexts/:.shop:/schemas/ids/1")["schema"], "\"long\"");
    site.put("/contexts/.shop/config", json!({"compatibility": "NONE"}));
    assert_eq!(site.register(":.shop:a", &json!("string")), 2);
    assert_eq!(site.get("/config/:.shop:a?defaultToGlobal=true")["compatibilityLevel"], "NONE");
    assert_eq!(site.get("/config")["compatibilityLevel"], "BACKWARD");
}

#[test]
fn metadata_and_rules_belong_to_a_schema() {
    let site = Site::new();
    let body = |owner: &str| {
        json!({
            "schema": "\"int\"",
            "metadata": {"properties": {"owner": owner}},
            "ruleSet": {"domainRules": [{"name": "positive", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": "value > 0"}]},
        })
    };
    assert_eq!(site.register_as("a", body("me")), 1);
    assert_eq!(site.register_as("a", body("you")), 2);
    assert_eq!(site.register_as("a", body("me")), 1);
    assert_eq!(site.get("/schemas/ids/1")["metadata"]["properties"]["owner"], "me");
    assert_eq!(site.get("/schemas/ids/1")["ruleSet"]["domainRules"][0]["name"], "positive");
    assert_eq!(site.get("/subjects/a/metadata?key=owner&value=me")["version"], 1);
    assert_eq!(site.code("GET", "/subjects/a/metadata?key=owner&value=nobody", None), 40403);
}
