//! Numbers, texts and paths that the table of expressions does not show well.

use super::Json;
use super::number::Number;
use super::path::ModalPath;
use super::read::search;
use super::write::to_text;
use std::cmp::Ordering;

fn number(text: &str) -> Number {
    Number::read(text, false).unwrap()
}

#[test]
fn numbers_are_written_as_java_writes_them() {
    let cases = [
        ("1.50", "1.50"),
        ("1e3", "1E+3"),
        ("15e2", "1.5E+3"),
        ("1.5E3", "1.5E+3"),
        ("0.000001", "0.000001"),
        ("1E-7", "1E-7"),
        ("-0.0", "0.0"),
        ("0e10", "0E+10"),
        ("123e-2", "1.23"),
        ("0.00", "0.00"),
        ("12", "12"),
    ];
    for (given, wanted) in cases {
        assert_eq!(number(given).text, wanted, "{given}");
    }
    assert_eq!(number("1.500").stripped().text, "1.5");
    assert_eq!(number("1200").stripped().text, "1.2E+3");
    assert_eq!(number("1.2e3").stripped().plain().unwrap(), "1200");
    assert_eq!(number("0.00").stripped().text, "0");
}

#[test]
fn numbers_compare_by_value() {
    let ordered = ["-1e400", "-2.5", "-1", "0", "1e-400", "0.5", "1", "1.5", "2", "10", "1e2", "1e400"];
    for (i, a) in ordered.iter().enumerate() {
        for (j, b) in ordered.iter().enumerate() {
            assert_eq!(number(a).partial_cmp(&number(b)), Some(i.cmp(&j)), "{a} and {b}");
        }
    }
    assert_eq!(number("1.0").partial_cmp(&number("1")), Some(Ordering::Equal));
    assert_eq!(number("-0").partial_cmp(&number("0.00")), Some(Ordering::Equal));
}

#[test]
fn bad_json_is_refused_wherever_it_breaks() {
    let good = r#"{"a": [1, -2.5e+3, "x\u00e9\n\ud83d\ude00", true, false, null], "b": {"c": {}}}"#;
    let value = Json::parse(good).unwrap();
    assert_eq!(to_text(&value), "{\"a\":[1,-2.5E+3,\"xé\\n😀\",true,false,null],\"b\":{\"c\":{}}}");
    assert_eq!(Json::parse(&to_text(&value)), Ok(value));
    // No part of it is whole, and none makes the parser panic.
    for end in (0..good.len()).filter(|end| good.is_char_boundary(*end)) {
        assert!(Json::parse(&good[..end]).is_err(), "{}", &good[..end]);
    }
    for bad in [
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "tru",
        "truex",
        "{a:1}",
        "[1,]",
        "{\"a\"}",
        "\"\u{1}\"",
        "\"\\x\"",
        "1x",
    ] {
        assert!(Json::parse(bad).is_err(), "{bad}");
    }
    assert!(Json::parse(&"[".repeat(100_000)).is_err());
    assert!(Json::parse(&"1".repeat(2_000)).is_err());
    assert_eq!(Json::parse("1 2"), Ok(Json::Number(Number::integer(1))));
}

fn found(path: &str, text: &str) -> Result<Option<String>, String> {
    let path = ModalPath::compile(path)?;
    search(&path, &Json::parse(text)?).map(|value| value.map(|value| to_text(&value)))
}

#[test]
fn paths_that_are_wrong_say_where() {
    for bad in [
        "",
        "$.",
        "$..",
        "$[",
        "$[]",
        "$[1",
        "$[?(@.a ==)]",
        "$[?(@.a = 1)]",
        "$.a b",
        "$x",
        "$.f(",
        "$.f()",
        "$['a]",
        "$[1:2:3]",
    ] {
        assert!(ModalPath::compile(bad).is_err(), "{bad}");
    }
    assert!(ModalPath::compile(&format!("$[?({}@.a{})]", "(".repeat(500), ")".repeat(500))).is_err());
    assert!(ModalPath::compile(&format!("$[?({}@.a)]", "!".repeat(500))).is_err());
    assert!(ModalPath::compile(&format!("$[?(@ in {}1)]", "[".repeat(500))).is_err());
}

#[test]
fn what_is_not_there_is_an_error_or_nothing() {
    assert_eq!(found("lax $.a.b", "{}"), Ok(None));
    assert!(found("strict $.a.b", "{}").is_err());
    assert_eq!(found("LAX  $.a[*]", "{}"), Ok(Some("[]".into())));
    assert!(found("$.a[*]", "{}").is_err());
    assert_eq!(found("$[*].a", "[{\"a\":1},{}]"), Ok(Some("[1]".into())));
    assert_eq!(found("a", "{\"a\":1}"), Ok(Some("1".into())));
    assert!(found("$.a", "{\"a\":null}").is_err());
    assert_eq!(found("lax $.a", "{\"a\":null}"), Ok(None));
}

#[test]
fn conditions_look_at_elements_and_at_the_document() {
    let text = r#"[{"p":8,"t":["x","y"]},{"p":12,"q":1,"t":[]},{"q":null,"s":"it's"}]"#;
    let cases = [
        ("$[?(@.q)]", "[1,null]", "q"),
        ("$[?(!@.q)]", "[8]", "p"),
        ("$[?(@.p in [8, 9])]", "[8]", "p"),
        ("$[?(@.p nin [8, 9])]", "[12]", "p"),
        ("$[?(@.t size 2)]", "[8]", "p"),
        ("$[?(@.t empty true)]", "[12]", "p"),
        ("$[?(@.t contains 'y')]", "[8]", "p"),
        ("$[?(@.t subsetof ['x','y','z'])]", "[8,12]", "p"),
        ("$[?(@.t anyof ['y'])]", "[8]", "p"),
        ("$[?(@.t noneof ['y'])]", "[12]", "p"),
        ("$[?(@.p > $[0].p)]", "[12]", "p"),
        ("$[?((@.p == 8 || @.p == 12) && !(@.q == 1))]", "[8]", "p"),
        (r"$[?(@.s == 'it\'s')]", "[null]", "q"),
        ("$[?(@.p =~ /1\\d/)]", "[12]", "p"),
    ];
    for (path, wanted, field) in cases {
        assert_eq!(found(&format!("{path}.{field}"), text), Ok(Some(wanted.into())), "{path}");
    }
}

/// A walk over the text finds what a search of the tree finds, and refuses what the parser refuses.
#[test]
fn simple_paths_need_no_tree() {
    let texts = [
        r#"{"a":{"b":[1,{"c":"x\ny"}]},"d":null,"a b":2}"#,
        r#"{"a":1,"a":{"b":[5]}}"#,
        r#"[[1,2],{"a":[]},"x",-2.50]"#,
        r#"{"a":[1,2,{"b":1}],"b":{"a":{"b":0}},"\u0061":{"b":[7]}}"#,
        r#""text""#,
        "5",
        "null",
        "5x",
        r#"{"a":{"b":[1]},"z":[1,}"#,
        r#"{"a":{"b":[1]}} behind"#,
        r#"{"a":"unfinished"#,
        "",
    ];
    let paths = [
        "$",
        "$.a",
        "$.a.b",
        "$.a.b[0]",
        "$.a.b[1].c",
        "$['a b']",
        "$.d",
        "$[0]",
        "$[1].a",
        "$[3]",
        "$[9]",
        "$.b.a.b",
    ];
    for path in paths {
        for mode in ["strict", "lax"] {
            let path = ModalPath::compile(&format!("{mode} {path}")).unwrap();
            assert!(super::lookup::is_simple(&path.path));
            for text in texts {
                let tree = Json::parse(text).and_then(|document| search(&path, &document));
                let walk = super::lookup::lookup(&path.path, text)
                    .and_then(|found| super::read::at_simple_path(&path, found));
                assert_eq!(tree.is_err(), walk.is_err(), "{path:?} in {text}: {tree:?} and {walk:?}");
                assert_eq!(tree.ok(), walk.ok(), "{path:?} in {text}");
            }
        }
    }
    let path = ModalPath::compile("$.a[-1]").unwrap();
    assert!(!super::lookup::is_simple(&path.path));
}
