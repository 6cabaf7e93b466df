//! Spans: every node points at its own text, behind variables and wide characters too.

use sql::ast::*;
use sql::parser::parse_script;
use sql::source::SourceText;

fn parse(text: &str) -> (SourceText, Vec<Statement>) {
    let source = SourceText::new("a.sql", text);
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    (source, statements)
}

fn select(statement: &Statement) -> &Select {
    let StatementKind::Query(query) = &statement.kind else { panic!("not a query") };
    let QueryBodyKind::Select(select) = &query.body.kind else { panic!("not a SELECT") };
    select
}

#[test]
fn statements_and_clauses_cover_their_text() {
    let (source, statements) =
        parse("-- x\n SELECT '航班', a + b AS c FROM t AS u WHERE (a) > 1 ;; SELECT 2");
    assert_eq!(source.slice(statements[0].span), "SELECT '航班', a + b AS c FROM t AS u WHERE (a) > 1");
    assert_eq!(source.slice(statements[1].span), "SELECT 2");
    let select = select(&statements[0]);
    assert_eq!(source.slice(select.items[1].span), "a + b AS c");
    assert_eq!(source.slice(select.from.as_ref().unwrap().span), "t AS u");
    assert_eq!(source.slice(select.selection.as_ref().unwrap().span), "(a) > 1");
}

#[test]
fn expressions_cover_their_text() {
    for text in [
        "a",
        "t.a.b",
        "f(a, b)",
        "a[1]",
        "(a).b",
        "CASE WHEN a THEN b END",
        "CAST(a AS INT)",
        "a BETWEEN 1 AND 2",
        "a NOT IN (1, 2)",
        "a IS NOT NULL",
        "a LIKE 'x' ESCAPE 'y'",
        "NOT a",
        "-a",
        "ROW(1, 2)",
        "(1, 2)",
        "ARRAY[1]",
        "MAP['a', 1]",
        "INTERVAL '1' DAY",
        "DATE '2026-01-01'",
        "COUNT(*) FILTER (WHERE a)",
        "SUM(a) OVER (PARTITION BY b)",
        "EXISTS (SELECT 1)",
        "(SELECT 1)",
        "TRIM(BOTH 'x' FROM a)",
        "FLOOR(a TO HOUR)",
        "CURRENT_TIMESTAMP",
        "JSON_VALUE(a, '$.x')",
        "SUBSTRING(a FROM 1)",
        "a AND b OR c",
    ] {
        let (source, statements) = parse(&format!("SELECT  {text}  AS x"));
        let SelectItemKind::Expression { expression, .. } = &select(&statements[0]).items[0].kind else {
            panic!("{text} is not an expression");
        };
        assert_eq!(source.slice(expression.span), text);
    }
}

#[test]
fn columns_of_a_table_cover_their_text() {
    let column = "event_time TIMESTAMP(3) METADATA FROM 'timestamp' VIRTUAL COMMENT 'x'";
    let (source, statements) = parse(&format!("CREATE TABLE t (a INT, {column}, WATERMARK FOR a AS a - b)"));
    let StatementKind::CreateTable(table) = &statements[0].kind else { panic!("not a table") };
    let TableElement::Column(second) = &table.elements[1] else { panic!("not a column") };
    assert_eq!(source.slice(second.span), column);
    let ColumnKind::Metadata { data_type, .. } = &second.kind else { panic!("not metadata") };
    assert_eq!(source.slice(data_type.span), "TIMESTAMP(3)");
    let TableElement::Watermark(watermark) = &table.elements[2] else { panic!("not a watermark") };
    assert_eq!(source.slice(watermark.span), "WATERMARK FOR a AS a - b");
}

#[test]
fn behind_a_variable_spans_are_those_of_the_file() {
    let lookup = |name: &str| (name == "TABLE").then(|| "a_much_longer_name_than_the_variable".to_string());
    let text = "SELECT a FROM ${TABLE} WHERE missing = 1";
    let (source, diagnostics) = SourceText::with_variables("a.sql", text, &lookup);
    assert!(diagnostics.is_empty());
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty());
    let select = select(&statements[0]);
    assert_eq!(source.slice(select.from.as_ref().unwrap().span), "${TABLE}");
    assert_eq!(source.slice(select.selection.as_ref().unwrap().span), "missing = 1");
}
