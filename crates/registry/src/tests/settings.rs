//! Levels and modes: of all, of contexts, of single subjects.

use super::*;

#[test]
fn the_level_of_a_subject_goes_before_that_of_all() {
    let site = Site::new();
    assert_eq!(site.get("/config"), json!({"compatibilityLevel": "BACKWARD"}));
    for level in [
        "NONE",
        "BACKWARD",
        "BACKWARD_TRANSITIVE",
        "FORWARD",
        "FORWARD_TRANSITIVE",
        "FULL",
        "FULL_TRANSITIVE",
    ] {
        assert_eq!(
            site.put("/config", json!({"compatibility": level.to_lowercase()})),
            json!({"compatibility": level})
        );
        assert_eq!(site.get("/config"), json!({"compatibilityLevel": level}));
    }
    site.put("/config/a", json!({"compatibility": "NONE"}));
    assert_eq!(site.get("/config/a"), json!({"compatibilityLevel": "NONE"}));
    assert_eq!(site.get("/config/b?defaultToGlobal=true"), json!({"compatibilityLevel": "FULL_TRANSITIVE"}));
    assert_eq!(site.delete("/config/a"), json!({"compatibilityLevel": "NONE"}));
    assert_eq!(site.code("GET", "/config/a", None), 40408);
    assert_eq!(site.delete("/config"), json!({"compatibilityLevel": "FULL_TRANSITIVE"}));
    assert_eq!(site.get("/config"), json!({"compatibilityLevel": "BACKWARD"}));
}

#[test]
fn nothing_is_written_where_it_is_read_only() {
    let site = Site::new();
    site.register("a", &json!("int"));
    assert_eq!(site.get("/mode"), json!({"mode": "READWRITE"}));
    site.put("/mode/a", json!({"mode": "READONLY"}));
    let body = || Some(json!({"schema": "\"long\""}));
    assert_eq!(site.code("POST", "/subjects/a/versions", body()), 42205);
    assert_eq!(site.code("DELETE", "/subjects/a", None), 42205);
    assert_eq!(site.code("DELETE", "/subjects/a/versions/1", None), 42205);
    assert_eq!(site.code("PUT", "/config/a", Some(json!({"compatibility": "FULL"}))), 42205);
    assert_eq!(site.register("b", &json!("long")), 2);
    assert_eq!(site.delete("/mode/a"), json!({"mode": "READONLY"}));
    assert_eq!(site.register("a", &json!("long")), 2);
    site.put("/mode", json!({"mode": "READONLY_OVERRIDE"}));
    site.put("/mode/a", json!({"mode": "READWRITE"}));
    assert_eq!(site.code("POST", "/subjects/a/versions", Some(json!({"schema": "\"double\""}))), 42205);
    assert_eq!(site.get("/mode/a?defaultToGlobal=true"), json!({"mode": "READONLY_OVERRIDE"}));
}

#[test]
fn imported_schemas_bring_their_numbers() {
    let site = Site::new();
    site.put("/mode/a", json!({"mode": "IMPORT"}));
    assert_eq!(site.code("POST", "/subjects/a/versions", Some(json!({"schema": "\"int\""}))), 42205);
    assert_eq!(site.register_as("a", json!({"schema": "\"int\"", "id": 40, "version": 7})), 40);
    assert_eq!(
        site.register_as("a", json!({"schema": "\"string\"", "id": 41})),
        41,
        "the level does not count"
    );
    assert_eq!(site.get("/subjects/a/versions"), json!([7, 8]));
    let body = |schema: &str, id: u32| Some(json!({"schema": schema, "id": id}));
    assert_eq!(site.code("POST", "/subjects/a/versions", body("\"int\"", 42)), 42207);
    assert_eq!(site.code("POST", "/subjects/a/versions", body("\"bytes\"", 40)), 42205);
    assert_eq!(site.register("b", &json!("double")), 42, "the others go on behind");
    assert_eq!(site.code("PUT", "/mode", Some(json!({"mode": "IMPORT"}))), 42205);
    assert_eq!(site.put("/mode?force=true", json!({"mode": "IMPORT"})), json!({"mode": "IMPORT"}));
}

#[test]
fn normalizing_is_asked_for_by_request_or_by_configuration() {
    let site = Site::new();
    let one = json!({"type": "int", "b": 1, "a": 2}).to_string();
    let other = json!({"type": "int", "a": 2, "b": 1}).to_string();
    assert_eq!(site.register_as("a", json!({"schema": one})), 1);
    assert_eq!(site.code("POST", "/subjects/a", Some(json!({"schema": other}))), 40403);
    assert_eq!(site.put("/config/b", json!({"normalize": true})), json!({"normalize": true}));
    assert_eq!(site.register_as("b", json!({"schema": one})), 2);
    assert_eq!(site.register_as("b", json!({"schema": other})), 2);
    assert_eq!(site.ask("POST", "/subjects/b?normalize=true", Some(json!({"schema": other}))).0, 200);
}
