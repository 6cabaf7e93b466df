//! What fits what, by level and by language: each row is an old schema, a new one, and what the check says.

use super::*;

/// Whether `new` may follow `old` under a level, by the check and by registering, which must agree.
fn fits(site: &Site, subject: &str, kind: &str, level: &str, old: &str, new: &str) -> bool {
    site.put("/config", json!({"compatibility": level}));
    let body = |schema: &str| json!({"schema": schema, "schemaType": kind});
    site.register_as(subject, body(old));
    let check = format!("/compatibility/subjects/{subject}/versions/latest?verbose=true");
    let (status, checked) = site.ask("POST", &check, Some(body(new)));
    assert_eq!(status, 200, "{checked}");
    let (status, registered) = site.ask("POST", &format!("/subjects/{subject}/versions"), Some(body(new)));
    let is_compatible = checked["is_compatible"].as_bool().unwrap();
    assert_eq!(checked["messages"].as_array().unwrap().is_empty(), is_compatible, "{checked}");
    assert_eq!(status, if is_compatible { 200 } else { 409 }, "{old} → {new}: {checked} {registered}");
    is_compatible
}

/// Rows of old, new, whether the new one reads what the old one wrote, and the other way round.
fn check_all(kind: &str, rows: &[(&str, &str, bool, bool)]) {
    let site = Site::new();
    for (row, (old, new, backward, forward)) in rows.iter().enumerate() {
        let fits = |level: &str| fits(&site, &format!("{level}-{row}"), kind, level, old, new);
        assert_eq!(fits("BACKWARD"), *backward, "backward: {old} → {new}");
        assert_eq!(fits("FORWARD"), *forward, "forward: {old} → {new}");
        assert_eq!(fits("FULL"), *backward && *forward, "full: {old} → {new}");
        assert!(fits("NONE"));
    }
}

#[test]
fn avro_follows_its_specification() {
    let fields = |text: &str| format!(r#"{{"type":"record","name":"R","fields":[{text}]}}"#);
    let (x, y) = (r#"{"name":"x","type":"int"}"#, r#"{"name":"y","type":"int"}"#);
    let y_default = r#"{"name":"y","type":"int","default":0}"#;
    let both = |second: &str| fields(&format!("{x},{second}"));
    let one = fields(x);
    let of = |kind: &str| fields(&format!(r#"{{"name":"x","type":{kind}}}"#));
    let (ab, abc) = (
        r#"{"type":"enum","name":"E","symbols":["A","B"]"#,
        r#"{"type":"enum","name":"E","symbols":["A","B","C"]"#,
    );
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let longer = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]},{"name":"v","type":"int","default":0}]}"#;
    let stricter = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]},{"name":"v","type":"int"}]}"#;
    check_all(
        "AVRO",
        &[
            (r#""int""#, r#""long""#, true, false),
            (r#""int""#, r#""float""#, true, false),
            (r#""int""#, r#""double""#, true, false),
            (r#""long""#, r#""float""#, true, false),
            (r#""float""#, r#""double""#, true, false),
            (r#""string""#, r#""bytes""#, true, true),
            (r#""int""#, r#""string""#, false, false),
            (r#""boolean""#, r#""int""#, false, false),
            (r#""int""#, r#"{"type":"int","logicalType":"date"}"#, true, true),
            (&one, &both(y), false, true),
            (&one, &both(y_default), true, true),
            (&both(y), &one, true, false),
            (&one, &fields(r#"{"name":"z","type":"int","aliases":["x"]}"#), true, false),
            (&one, &one.replace("\"R\"", "\"S\""), false, false),
            (&one, &one.replace("\"R\"", "\"S\",\"aliases\":[\"R\"]"), true, false),
            (&one, &one.replace("\"R\"", "\"R\",\"namespace\":\"other\""), true, true),
            (&of("\"int\""), &of(r#"["null","int"]"#), true, false),
            (&of(r#"["null","int"]"#), &of(r#"["int","null"]"#), true, true),
            (&of(r#"["null","int"]"#), &of(r#"["null","long"]"#), true, false),
            (&of(r#"["null","int"]"#), &of(r#"["null","int","string"]"#), true, false),
            (
                &of(r#"{"type":"array","items":"int"}"#),
                &of(r#"{"type":"array","items":"long"}"#),
                true,
                false,
            ),
            (&of(r#"{"type":"array","items":"int"}"#), &of(r#"{"type":"map","values":"int"}"#), false, false),
            (
                &of(r#"{"type":"map","values":"int"}"#),
                &of(r#"{"type":"map","values":"string"}"#),
                false,
                false,
            ),
            (&of(&format!("{ab}}}")), &of(&format!("{abc}}}")), true, false),
            (&of(&format!("{ab},\"default\":\"A\"}}")), &of(&format!("{abc}}}")), true, true),
            (
                &of(r#"{"type":"fixed","name":"F","size":4}"#),
                &of(r#"{"type":"fixed","name":"F","size":5}"#),
                false,
                false,
            ),
            (list, longer, true, true),
            (list, stricter, false, true),
        ],
    );
}

#[test]
fn protobuf_looks_at_numbers_and_kinds() {
    let file = |text: &str| format!("syntax = \"proto3\"; package p; {text}");
    let message = |text: &str| {
        file(&format!("message M {{ {text} }} message N {{ int32 n = 1; }} enum E {{ E0 = 0; }}"))
    };
    let rows: Vec<(String, String, bool, bool)> = [
        ("int32 a = 1;", "int32 a = 1; string b = 2;", true, true),
        ("int32 a = 1;", "int32 renamed = 1;", true, true),
        ("int32 a = 1;", "int64 a = 1;", true, true),
        ("int32 a = 1;", "bool a = 1;", true, true),
        ("int32 a = 1;", "E a = 1;", true, true),
        ("int32 a = 1;", "sint32 a = 1;", false, false),
        ("int32 a = 1;", "fixed32 a = 1;", false, false),
        ("fixed64 a = 1;", "sfixed64 a = 1;", true, true),
        ("float a = 1;", "double a = 1;", false, false),
        ("string a = 1;", "bytes a = 1;", true, true),
        ("string a = 1;", "int32 a = 1;", false, false),
        ("string a = 1;", "N a = 1;", false, false),
        ("string a = 1;", "repeated string a = 1;", true, true),
        ("int32 a = 1;", "repeated int32 a = 1;", false, false),
        ("N a = 1;", "repeated N a = 1;", true, true),
        ("N a = 1;", "M a = 1;", false, false),
        ("map<string, int32> a = 1;", "map<string, int64> a = 1;", true, true),
        ("map<string, int32> a = 1;", "map<string, string> a = 1;", false, false),
        ("int32 a = 1; int32 b = 2;", "oneof o { int32 a = 1; } int32 b = 2;", true, true),
        ("int32 a = 1; int32 b = 2;", "oneof o { int32 a = 1; int32 b = 2; }", false, true),
        ("oneof o { int32 a = 1; int32 b = 2; }", "oneof o { int32 a = 1; }", false, true),
        ("oneof o { int32 a = 1; } int32 b = 2;", "oneof o { int32 a = 1; int32 b = 2; }", false, true),
        ("optional int32 a = 1;", "int32 a = 1;", true, true),
        ("message I { int32 x = 1; } I a = 1;", "message I { string x = 1; } I a = 1;", false, false),
        ("message I { int32 x = 1; }", "", false, true),
    ]
    .into_iter()
    .map(|(old, new, backward, forward)| (message(old), message(new), backward, forward))
    .chain([
        (
            file("message M { int32 a = 1; }"),
            "syntax = \"proto3\"; package q; message M { int32 a = 1; }".into(),
            false,
            false,
        ),
        (file("message M { int32 a = 1; }"), file("message M { int32 a = 1; } message N {}"), true, false),
        (
            "message M { required int32 a = 1; }".to_string(),
            "message M { required int32 a = 1; required int32 b = 2; }".to_string(),
            false,
            false,
        ),
        (
            "message M { optional M m = 1; }".to_string(),
            "message M { optional M m = 1; optional int32 a = 2; }".to_string(),
            true,
            true,
        ),
    ])
    .collect();
    let rows: Vec<_> = rows.iter().map(|(old, new, b, f)| (old.as_str(), new.as_str(), *b, *f)).collect();
    check_all("PROTOBUF", &rows);
}

#[test]
fn json_schema_depends_on_what_is_open() {
    let object = |text: &str| format!(r#"{{"type":"object",{text}}}"#);
    let a = r#""properties":{"a":{"type":"string"}}"#;
    let ab = r#""properties":{"a":{"type":"string"},"b":{"type":"string"}}"#;
    let closed = r#","additionalProperties":false"#;
    let texts = r#","additionalProperties":{"type":"string"}"#;
    let numbers = r#","additionalProperties":{"type":"number"}"#;
    let required = r#","required":["b"]"#;
    let defaulted = r#""properties":{"a":{"type":"string"},"b":{"type":"string","default":""}}"#;
    let o = |left: &str, right: &str| object(&format!("{left}{right}"));
    let items = |text: &str| format!(r#"{{"type":"array",{text}}}"#);
    let node = r##"{"$ref":"#/definitions/n","definitions":{"n":{"type":"object","properties":{"next":{"$ref":"#/definitions/n"},"v":{"type":"integer"}}}}}"##;
    check_all(
        "JSON",
        &[
            (r#"{"type":"integer"}"#, r#"{"type":"number"}"#, true, false),
            (r#"{"type":"string"}"#, r#"{"type":"number"}"#, false, false),
            (r#"{"type":"string"}"#, "{}", true, false),
            (r#"{"type":"string"}"#, "true", true, false),
            ("false", r#"{"type":"string"}"#, true, false),
            (
                r#"{"type":"string","title":"a"}"#,
                r#"{"type":"string","title":"b","description":"c"}"#,
                true,
                true,
            ),
            (r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, true, false),
            (r#"{"type":["string","null"]}"#, r#"{"type":["null","string","number"]}"#, true, false),
            (r#"{"type":"string","maxLength":5}"#, r#"{"type":"string","maxLength":6}"#, true, false),
            (r#"{"type":"string","minLength":5}"#, r#"{"type":"string"}"#, true, false),
            (r#"{"type":"string","pattern":"a"}"#, r#"{"type":"string","pattern":"b"}"#, false, false),
            (r#"{"type":"string","pattern":"a"}"#, r#"{"type":"string"}"#, true, false),
            (r#"{"type":"number","minimum":1}"#, r#"{"type":"number","minimum":0}"#, true, false),
            (r#"{"type":"number","multipleOf":10}"#, r#"{"type":"number","multipleOf":5}"#, true, false),
            (r#"{"type":"number","multipleOf":10}"#, r#"{"type":"number","multipleOf":11}"#, false, false),
            (r#"{"enum":["a"]}"#, r#"{"enum":["a","b"]}"#, true, false),
            (r#"{"enum":["a"]}"#, r#"{"enum":["b"]}"#, false, false),
            (r#"{"const":"a"}"#, r#"{"enum":["b","a"]}"#, true, false),
            (r#"{"type":"string","enum":["a"]}"#, r#"{"type":"string"}"#, true, false),
            (r#"{"not":{"type":"number"}}"#, r#"{"not":{"type":"integer"}}"#, true, false),
            (r#"{"oneOf":[{"type":"string"}]}"#, r#"{"oneOf":[{"type":"number"}]}"#, false, false),
            (
                r#"{"oneOf":[{"type":"string"}]}"#,
                r#"{"oneOf":[{"type":"number"},{"type":"string"}]}"#,
                true,
                false,
            ),
            (
                r#"{"allOf":[{"type":"string"},{"enum":["a"]}]}"#,
                r#"{"allOf":[{"enum":["a","b"]},{"type":"string"}]}"#,
                true,
                false,
            ),
            (
                r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
                r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
                true,
                false,
            ),
            (&o(a, ""), &o(ab, ""), false, true),
            (&o(a, ""), &object(r#""properties":{"a":{"type":"string"},"b":{}}"#), true, true),
            (&o(a, closed), &o(ab, closed), true, false),
            (&o(a, closed), &object(&format!("{ab}{required}{closed}")), false, false),
            (&o(a, closed), &object(&format!("{defaulted}{required}{closed}")), true, false),
            (&o(a, texts), &o(ab, texts), true, true),
            (&o(a, numbers), &o(ab, numbers), false, false),
            (&o(ab, ""), &o(ab, required), false, true),
            (&o(a, ""), &o(a, closed), false, true),
            (&o(a, ""), &o(a, texts), false, true),
            (&o(ab, closed), &o(a, texts), true, false),
            (&object(r#""maxProperties":2"#), &object(r#""maxProperties":3"#), true, false),
            (
                &object(r#""dependencies":{"a":["b"]}"#),
                &object(r#""dependencies":{"a":["b","c"]}"#),
                false,
                true,
            ),
            (&items(r#""items":{"type":"integer"}"#), &items(r#""items":{"type":"number"}"#), true, false),
            (&items(r#""minItems":1"#), &items(r#""uniqueItems":true"#), false, false),
            (
                &items(r#""items":[{"type":"string"}],"additionalItems":false"#),
                &items(r#""items":[{"type":"string"},{"type":"number"}],"additionalItems":false"#),
                true,
                false,
            ),
            (
                &items(r#""prefixItems":[{"type":"string"}]"#),
                &items(r#""prefixItems":[{"type":"string"},{"type":"number"}]"#),
                false,
                true,
            ),
            (node, &node.replace("integer", "number"), true, false),
            (node, &node.replace("integer", "string"), false, false),
        ],
    );
}

#[test]
fn transitive_levels_look_at_all_versions() {
    // Each goes with the one before; the last does not go with the first.
    for (level, schemas) in [
        ("BACKWARD", [record(&["x"]), record(&["x", "Y"]), record(&["x", "y"])]),
        ("FORWARD", [record(&["x", "y"]), record(&["x", "Y"]), record(&["x"])]),
    ] {
        let site = Site::new();
        let schemas: Vec<Value> = schemas
            .iter()
            // A default that is there or not makes another schema of the same field.
            .map(|schema| serde_json::from_str(&schema.to_string().replace("\"Y\"", "\"y\"")).unwrap())
            .collect();
        site.put("/config", json!({"compatibility": level}));
        site.register("s", &schemas[0]);
        site.register("s", &schemas[1]);
        let body = || Some(json!({"schema": schemas[2].to_string()}));
        let all = "/compatibility/subjects/s/versions";
        assert_eq!(site.ask("POST", all, body()).1, json!({"is_compatible": true}), "{level}");
        site.put("/config/s", json!({"compatibility": format!("{level}_TRANSITIVE")}));
        let verbose = site.ask("POST", &format!("{all}?verbose=true"), body()).1;
        assert_eq!(verbose["is_compatible"], false, "{level}");
        let first = verbose["messages"][0].as_str().unwrap();
        assert!(
            first.contains("READER_FIELD_MISSING_DEFAULT_VALUE") && first.contains("/fields/1"),
            "{first}"
        );
        assert_eq!(site.code("POST", "/subjects/s/versions", body()), 409);
        assert_eq!(site.ask("POST", &format!("{all}/2"), body()).1, json!({"is_compatible": true}));
        assert_eq!(site.ask("POST", &format!("{all}/1"), body()).1, json!({"is_compatible": false}));
        site.put("/config/s", json!({"compatibility": level}));
        assert_eq!(site.register("s", &schemas[2]), 3);
    }
}

#[test]
fn languages_do_not_mix_and_subjects_that_are_not_there_take_anything() {
    assert!(!fits_mixed("BACKWARD"));
    assert!(fits_mixed("NONE"));
    let site = Site::new();
    let latest = "/compatibility/subjects/none/versions/latest";
    let answer = site.ask("POST", latest, Some(json!({"schema": "\"int\""})));
    assert_eq!(answer, (200, json!({"is_compatible": true})));
    assert_eq!(
        site.ask("POST", "/compatibility/subjects/none/versions", Some(json!({"schema": "\"int\""}))).0,
        200
    );
}

fn fits_mixed(level: &str) -> bool {
    let site = Site::new();
    site.put("/config", json!({"compatibility": level}));
    site.register("s", &json!("int"));
    let body = json!({"schema": "{\"type\": \"integer\"}", "schemaType": "JSON"});
    site.ask("POST", "/subjects/s/versions", Some(body)).0 == 200
}

#[test]
fn schemas_that_lie_deep_or_are_large_are_compared_within_limits() {
    // Records that contain each other in a chain, each named before it is used.
    let mut types = vec![json!({"type": "record", "name": "R0", "fields": [{"name": "x", "type": "int"}]})];
    for number in 1..2000 {
        let inner = format!("R{}", number - 1);
        types.push(
            json!({"type": "record", "name": format!("R{number}"), "fields": [{"name": "x", "type": inner}]}),
        );
    }
    let chain = Value::Array(types);
    let site = Site::new();
    site.register("s", &chain);
    let (status, answer) = site.ask(
        "POST",
        "/compatibility/subjects/s/versions/latest?verbose=true",
        Some(json!({"schema": chain.to_string()})),
    );
    assert_eq!(status, 200);
    assert_eq!(answer["is_compatible"], false, "what is too deep is not taken for compatible");
    let mut definitions = serde_json::Map::new();
    for number in 0..2000 {
        let next = json!({"type": "array", "items": {"$ref": format!("#/definitions/d{}", number + 1)}});
        definitions.insert(format!("d{number}"), next);
    }
    definitions.insert("d2000".into(), json!({}));
    let schema = json!({"$ref": "#/definitions/d0", "definitions": definitions}).to_string();
    assert_eq!(
        site.code("POST", "/subjects/j/versions", Some(json!({"schema": schema, "schemaType": "JSON"}))),
        42201
    );
    let nested = format!("syntax = \"proto3\"; {}{}", "message A {".repeat(20_000), "}".repeat(20_000));
    assert_eq!(
        site.code("POST", "/subjects/p/versions", Some(json!({"schema": nested, "schemaType": "PROTOBUF"}))),
        42201
    );
    let own = json!({"type": "record", "name": "A", "fields": [{"name": "a", "type": "A", "default": {}}]});
    assert_eq!(site.code("POST", "/subjects/d/versions", Some(json!({"schema": own.to_string()}))), 42201);
}
