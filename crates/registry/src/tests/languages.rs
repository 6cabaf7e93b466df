//! What becomes of the texts of each language, and how schemas refer to others.

use super::*;

#[test]
fn avro_is_kept_without_layout_and_with_everything_else() {
    let site = Site::new();
    let given = r#" { "name" : "Order", "type" : "record", "namespace": "shop", "doc": "One.",
        "fields" : [ { "type": {"logicalType": "decimal", "type": "bytes", "precision": 9, "scale": 2}, "name": "total" },
          { "name": "state", "type": {"type": "enum", "name": "State", "symbols": ["A","B"], "default": "A"}, "default": "B", "doc": "s" },
          { "name": "before", "type": ["null", "shop.State"], "default": null, "order": "ignore", "aliases": ["b"] },
          { "name": "id", "type": {"type": "fixed", "name": "other.Id", "size": 4} },
          { "name": "parent", "type": ["null", "Order"], "default": null, "color": "red" } ],
        "aliases": ["Purchase", "old.Order"] } "#;
    let kept = concat!(
        r#"{"type":"record","name":"Order","namespace":"shop","doc":"One.","fields":["#,
        r#"{"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},"#,
        r#"{"name":"state","type":{"type":"enum","name":"State","symbols":["A","B"],"default":"A"},"doc":"s","default":"B"},"#,
        r#"{"name":"before","type":["null","State"],"default":null,"order":"ignore","aliases":["b"]},"#,
        r#"{"name":"id","type":{"type":"fixed","name":"Id","namespace":"other","size":4}},"#,
        r#"{"name":"parent","type":["null","Order"],"default":null,"color":"red"}"#,
        r#"],"aliases":["Purchase","old.Order"]}"#
    );
    site.register_as("a", json!({"schema": given}));
    assert_eq!(site.get("/schemas/ids/1")["schema"], kept);
    assert_eq!(site.register_as("b", json!({"schema": kept})), 1);
    assert_eq!(site.register_as("c", json!({"schema": "string"})), 2, "a bare name, as some clients send it");
    assert_eq!(site.get("/schemas/ids/2")["schema"], "\"string\"");
}

#[test]
fn schemas_of_avro_that_are_none_are_refused() {
    let site = Site::new();
    let field = |kind: &str| format!(r#"{{"type":"record","name":"R","fields":[{{"name":"x",{kind}}}]}}"#);
    for schema in [
        "{".to_string(),
        "\"Unknown\"".into(),
        "7".into(),
        r#"{"type":"record","name":"R"}"#.into(),
        r#"{"type":"record","name":"1","fields":[]}"#.into(),
        r#"{"type":"record","name":"a..b","fields":[]}"#.into(),
        r#"{"type":"record","name":"int","fields":[]}"#.into(),
        r#"{"type":"enum","name":"E","symbols":["A","A"]}"#.into(),
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#.into(),
        r#"{"type":"fixed","name":"F","size":-1}"#.into(),
        r#"{"type":"array"}"#.into(),
        r#"["int","int"]"#.into(),
        r#"["int",["string"]]"#.into(),
        field(r#""type":"int","default":"a""#),
        field(r#""type":"int","default":4294967296"#),
        field(r#""type":"int","order":"up""#),
        field(r#""type":"int"},{"name":"x","type":"int""#),
        field(r#""type":["null","int"],"default":"a""#),
    ] {
        assert_eq!(
            site.code("POST", "/subjects/a/versions", Some(json!({"schema": schema}))),
            42201,
            "{schema}"
        );
    }
    assert_eq!(site.register_as("a", json!({"schema": field(r#""type":["null","int"],"default":1"#)})), 1);
}

#[test]
fn avro_refers_to_types_of_other_subjects() {
    let site = Site::new();
    site.register("customer", &json!({"type": "record", "name": "Customer", "namespace": "shop", "fields": [{"name": "id", "type": "long"}]}));
    let order = json!({"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "by", "type": "Customer"}]});
    let bare = Some(json!({"schema": order.to_string()}));
    assert_eq!(site.code("POST", "/subjects/order/versions", bare), 42201);
    let body = |version: i32| json!({"schema": order.to_string(), "references": [{"name": "shop.Customer", "subject": "customer", "version": version}]});
    assert_eq!(site.code("POST", "/subjects/order/versions", Some(body(9))), 42201);
    assert_eq!(site.register_as("order", body(1)), 2);
    assert_eq!(site.register_as("order", body(-1)), 2, "-1 is the latest");
    let kept = site.get("/subjects/order/versions/1");
    assert_eq!(kept["references"], json!([{"name": "shop.Customer", "subject": "customer", "version": 1}]));
    assert_eq!(kept["schema"], order.to_string());
    assert_eq!(site.get("/subjects/customer/versions/1/referencedby"), json!([2]));
    assert_eq!(site.code("DELETE", "/subjects/customer", None), 42206);
    assert_eq!(site.code("DELETE", "/subjects/customer/versions/latest", None), 42206);
    let whole = site.get("/schemas/ids/2?format=resolved")["schema"].as_str().unwrap().to_string();
    assert!(whole.contains(r#"{"type":"record","name":"Customer","fields""#), "{whole}");
    site.delete("/subjects/order");
    assert_eq!(site.delete("/subjects/customer"), json!([1]));
    assert_eq!(site.get("/schemas/ids/2")["references"][0]["subject"], "customer");
}

#[test]
fn protobuf_is_kept_as_given_and_as_a_descriptor_where_asked() {
    let site = Site::new();
    let given = "syntax = \"proto3\";\n// An order.\nmessage Order {\n  int64 id = 1; /* its number */\n}\n";
    let body = |schema: &str| json!({"schema": schema, "schemaType": "PROTOBUF"});
    assert_eq!(site.register_as("a", body(given)), 1);
    assert_eq!(
        site.register_as("b", body("syntax=\"proto3\"; message Order { int64 id=1; }")),
        1,
        "layout only"
    );
    let kept = site.get("/schemas/ids/1");
    assert_eq!((&kept["schema"], &kept["schemaType"]), (&json!(given), &json!("PROTOBUF")));
    let serialized = site.get("/schemas/ids/1?format=serialized")["schema"].as_str().unwrap().to_string();
    // Python's serializer registers the descriptor: it becomes text.
    assert_eq!(site.register_as("c", body(&serialized)), 1);
    assert_eq!(site.get("/subjects/c/versions/1/schema"), given);
    for wrong in [
        "message",
        "syntax = \"proto3\"; message A { Missing m = 1; }",
        "syntax = \"proto3\"; message A { int32 a = 0; }",
    ] {
        assert_eq!(site.code("POST", "/subjects/d/versions", Some(body(wrong))), 42201, "{wrong}");
    }
}

#[test]
fn a_descriptor_becomes_text_that_says_the_same() {
    let site = Site::new();
    let given = r#"syntax = "proto3";
package shop.v1;

import "google/protobuf/timestamp.proto";

option java_package = "com.example";
option java_multiple_files = true;

message Order {
  reserved 9, 20 to 30;
  reserved "old";
  int64 id = 1;
  optional string note = 2;
  repeated double prices = 3 [packed = false];
  map<string, .shop.v1.Order.Line> lines = 4;
  .google.protobuf.Timestamp at = 5;
  .shop.v1.State state = 6 [json_name = "theState"];
  oneof pay {
    bytes card = 7;
    bool cash = 8 [deprecated = true];
  }
  message Line {
    sint32 count = 1;
  }
}

enum State {
  option allow_alias = true;
  NEW = 0;
  FRESH = 0;
}

service Orders {
  rpc Get (.shop.v1.Order) returns (stream .shop.v1.Order);
}
"#;
    let body = |schema: &str| json!({"schema": schema, "schemaType": "PROTOBUF"});
    site.register_as("a", body(given));
    let serialized = site.get("/schemas/ids/1?format=serialized")["schema"].as_str().unwrap().to_string();
    let other = Site::new();
    other.register_as("a", body(&serialized));
    let text = other.get("/schemas/ids/1")["schema"].as_str().unwrap().to_string();
    assert_eq!(text, given);
    let proto2 = "syntax = \"proto2\";\n\nmessage A {\n  required int32 a = 1 [default = 5];\n  optional string b = 2 [default = \"x\\\"y\"];\n  extensions 100 to max;\n}\nextend .A {\n  optional int32 c = 100;\n}\n";
    let id = site.register_as("p", body(proto2));
    let serialized =
        site.get(&format!("/schemas/ids/{id}?format=serialized"))["schema"].as_str().unwrap().to_string();
    assert_eq!(other.register_as("p", body(&serialized)), 2);
    assert_eq!(other.get("/schemas/ids/2")["schema"], proto2);
}

#[test]
fn json_schema_keeps_the_order_of_its_members() {
    let site = Site::new();
    let body = |schema: &str| json!({"schema": schema, "schemaType": "JSON"});
    let given = "{ \"type\" : \"object\",\n \"properties\": {\"b\": {\"type\": \"string\"}, \"a\": true} }";
    assert_eq!(site.register_as("a", body(given)), 1);
    assert_eq!(
        site.get("/schemas/ids/1")["schema"],
        r#"{"type":"object","properties":{"b":{"type":"string"},"a":true}}"#
    );
    assert_eq!(site.get("/schemas/ids/1")["schemaType"], "JSON");
    for wrong in [
        "{",
        "7",
        r#"{"type":"text"}"#,
        r#"{"type":7}"#,
        r#"{"properties":[]}"#,
        r#"{"enum":1}"#,
        r#"{"anyOf":{}}"#,
        r##"{"$ref":"#/definitions/none"}"##,
        r#"{"$ref":"other.json"}"#,
        r#"{"items":7}"#,
        r#"{"patternProperties":{"(":{}}}"#,
    ] {
        assert_eq!(site.code("POST", "/subjects/w/versions", Some(body(wrong))), 42201, "{wrong}");
    }
    site.register_as(
        "line",
        body(r#"{"$id":"http://example.com/line","type":"object","properties":{"n":{"type":"integer"}}}"#),
    );
    let order = |name: &str| {
        let schema = json!({"type": "array", "items": {"$ref": name}}).to_string();
        json!({"schema": schema, "schemaType": "JSON", "references": [{"name": "line.json", "subject": "line", "version": 1}]})
    };
    site.register_as("order", order("line.json"));
    site.register_as("order2", order("http://example.com/line"));
    site.register_as("order3", order("line.json#/properties/n"));
    let (status, _) = site.ask("POST", "/subjects/order/versions", Some(order("line.json#/properties/n")));
    assert_eq!(status, 409, "an object became a number");
}
