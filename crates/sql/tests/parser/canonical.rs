//! Text to tree to text: the canonical text is golden, and parsing it again changes nothing.

use crate::golden;
use sql::diagnostic::render_all;
use sql::parser::parse_script;
use sql::source::SourceText;

/// Parses a text that must be right.
pub fn parse_all(name: &str, text: &str) -> Vec<sql::ast::Statement> {
    let source = SourceText::new(name, text);
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, &source));
    statements
}

#[test]
fn parsing_the_canonical_text_gives_the_canonical_text() {
    let directory = golden::directory("parser/corpus");
    let mut failures = Vec::new();
    let mut count = 0;
    for (path, text) in golden::files(&directory, ".sql") {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let statements = parse_all(&name, &text);
        let paragraphs = text.trim().split("\n\n").count();
        assert_eq!(statements.len(), paragraphs, "{name}: one statement in each paragraph");
        let mut canonical = String::new();
        for statement in &statements {
            count += 1;
            let once = statement.to_string();
            let again = parse_all("canonical", &once);
            assert_eq!(again.len(), 1, "{once}");
            assert_eq!(
                again[0].to_string(),
                once,
                "the canonical text of a statement of {name} is not stable"
            );
            canonical += &format!("{once};\n\n");
        }
        failures.extend(golden::check(&path.with_extension("canonical"), &canonical).err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count > 200, "the corpus has only {count} statements");
}

#[test]
fn a_file_is_parsed_whole() {
    let path = golden::directory("../../../examples/flights/delays.sql");
    let text = std::fs::read_to_string(path).expect("the example is there");
    let statements = parse_all("delays.sql", &text);
    assert_eq!(statements.len(), 18);
}

#[test]
fn begin_statement_set_is_the_same_as_execute() {
    let member = "INSERT INTO a SELECT 1; INSERT INTO b SELECT 2;";
    let begun = parse_all("a", &format!("BEGIN STATEMENT SET; {member} END"));
    let executed = parse_all("b", &format!("EXECUTE STATEMENT SET BEGIN {member} END;"));
    assert_eq!(begun[0].to_string(), executed[0].to_string());
}

#[test]
fn bare_settings_are_read_as_they_stand() {
    let statements =
        parse_all("a", "SET execution.runtime-mode = streaming; SET a = 10 s; RESET a.b-c; SET 'x'='y'");
    let texts: Vec<String> = statements.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["SET 'execution.runtime-mode' = 'streaming'", "SET 'a' = '10 s'", "RESET 'a.b-c'", "SET 'x' = 'y'"]
    );
}

#[test]
fn intervals_have_their_values() {
    use sql::ast::{ExpressionKind, IntervalValue, Literal};
    for (text, expected) in [
        ("INTERVAL '1' HOUR", IntervalValue::Milliseconds(3_600_000)),
        ("INTERVAL -'3' DAY", IntervalValue::Milliseconds(-259_200_000)),
        ("INTERVAL '-3' DAY", IntervalValue::Milliseconds(-259_200_000)),
        ("INTERVAL -'-3' DAY", IntervalValue::Milliseconds(259_200_000)),
        ("INTERVAL '1 02:03:04.567' DAY TO SECOND", IntervalValue::Milliseconds(93_784_567)),
        ("INTERVAL '0.0015' SECOND", IntervalValue::Milliseconds(1)),
        ("INTERVAL '02:03' HOUR TO MINUTE", IntervalValue::Milliseconds(7_380_000)),
        ("INTERVAL '90:30' MINUTE TO SECOND", IntervalValue::Milliseconds(5_430_000)),
        ("INTERVAL '2' WEEK", IntervalValue::Milliseconds(1_209_600_000)),
        ("INTERVAL '1-2' YEAR TO MONTH", IntervalValue::Months(14)),
        ("INTERVAL '100' MONTH(3)", IntervalValue::Months(100)),
        ("INTERVAL '2' QUARTER", IntervalValue::Months(6)),
    ] {
        let source = SourceText::new("a", text);
        let expression =
            sql::parser::parse_expression(&source).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let ExpressionKind::Literal(Literal::Interval(interval)) = expression.kind else {
            panic!("{text} is not an interval");
        };
        assert_eq!(interval.value, expected, "{text}");
    }
}

#[test]
fn precedences_are_those_of_calcite() {
    for (text, expected) in [
        ("a = b IS NULL", "(a = b) IS NULL"),
        ("NOT a = b", "NOT (a = b)"),
        ("a + b IN (c)", "(a + b) IN (c)"),
        ("a = b IN (c)", "a = (b IN (c))"),
        ("a || b + c", "(a || b) + c"),
        ("a BETWEEN b AND c AND d", "(a BETWEEN b AND c) AND d"),
        ("a OR b AND c", "a OR (b AND c)"),
        ("-a * b", "(-a) * b"),
        ("a - b - c", "(a - b) - c"),
        ("a < b = c", "(a < b) = c"),
        ("a LIKE b || c", "a LIKE (b || c)"),
        ("NOT a IS NULL", "NOT (a IS NULL)"),
        ("a = b IS DISTINCT FROM c", "(a = b) IS DISTINCT FROM c"),
    ] {
        let parse = |text: &str| {
            sql::parser::parse_expression(&SourceText::new("a", text))
                .unwrap_or_else(|e| panic!("{text}: {e:?}"))
        };
        assert_eq!(shape(&parse(text)), shape(&parse(expected)), "{text}");
    }
}

/// The tree without its spans.
fn shape(expression: &sql::ast::Expression) -> String {
    let debug = format!("{expression:?}");
    let mut shape = String::new();
    let mut rest = debug.as_str();
    while let Some(at) = rest.find("Span {") {
        shape += &rest[..at];
        rest = &rest[at..];
        rest = &rest[rest.find('}').map_or(rest.len(), |end| end + 1)..];
    }
    shape + rest
}
