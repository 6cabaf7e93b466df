//! Deep, long and large texts: an error or an answer, never an overflow.

use sql::diagnostic::{Diagnostic, DiagnosticKind};
use sql::parser::parse_script;
use sql::source::{SOURCE_BYTES_MAX, SourceText};

/// On the stack that a thread has by default, in a debug build: the limit must hold everywhere.
fn diagnostics(text: String) -> Vec<Diagnostic> {
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let parse = move || {
        let (statements, diagnostics) = parse_script(&SourceText::new("deep.sql", text));
        for statement in &statements {
            assert!(!statement.to_string().is_empty());
        }
        diagnostics
    };
    small.spawn(parse).expect("a thread").join().expect("no panic and no overflow")
}

fn is_limit(text: String) {
    let found = diagnostics(text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, DiagnosticKind::Limit);
}

#[test]
fn ten_thousand_levels_are_an_error() {
    let deep = 10_000;
    is_limit(format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep)));
    is_limit(format!("SELECT * FROM {}t{}", "(".repeat(deep), ")".repeat(deep)));
    is_limit(format!("{}SELECT 1{}", "(".repeat(deep), ")".repeat(deep)));
    is_limit(format!("SELECT {}", "NOT ".repeat(deep)));
    is_limit(format!("SELECT {}1", "- ".repeat(deep)));
    is_limit(format!("SELECT {}1", "f(".repeat(deep)));
    is_limit(format!("SELECT {}", "CASE WHEN ".repeat(deep)));
    is_limit(format!("SELECT {}", "ARRAY[".repeat(deep)));
    is_limit(format!("CREATE TABLE t (a {}INT{})", "ARRAY<".repeat(deep), ">".repeat(deep)));
    is_limit(format!("SELECT * FROM {}t", "(SELECT * FROM ".repeat(deep)));
    is_limit(format!("SELECT {}1", "EXISTS (SELECT ".repeat(deep)));
    is_limit(format!("SELECT a FROM t GROUP BY {}a", "GROUPING SETS (".repeat(deep)));
    is_limit(format!("{}SELECT 1", "EXPLAIN ".repeat(deep)));
    is_limit(format!("SELECT a {}", "BETWEEN a ".repeat(deep)));
    is_limit(format!("{}SELECT 1", "WITH a AS (".repeat(deep)));
}

#[test]
fn ten_thousand_operators_in_a_row_are_an_error_and_conjunctions_are_not() {
    let long = 10_000;
    is_limit(format!("SELECT 1{}", " + 1".repeat(long)));
    is_limit(format!("SELECT a{}", ".b".repeat(long)));
    is_limit(format!("SELECT a{}", "[1]".repeat(long)));
    is_limit(format!("SELECT a{}", " IS NULL".repeat(long)));
    is_limit(format!("SELECT 1{}", " UNION SELECT 1".repeat(long)));
    is_limit(format!("SELECT 1 FROM t{}", " CROSS JOIN t".repeat(long)));
    is_limit(format!("SELECT 1 FROM t{}", ", t".repeat(long)));
    is_limit(format!("CREATE TABLE t (a INT{})", " ARRAY".repeat(long)));
    assert!(diagnostics(format!("SELECT a = 1{}", " OR a = 1".repeat(long))).is_empty());
    assert!(diagnostics(format!("SELECT a = 1{}", " AND a = 1".repeat(long))).is_empty());
    assert!(diagnostics(format!("SELECT a IN (1{})", ", 1".repeat(long))).is_empty());
    assert!(diagnostics(format!("VALUES (1){}", ", (1)".repeat(long))).is_empty());
    assert!(diagnostics("SELECT 1;".repeat(long)).is_empty());
}

/// Just below the limits everything that walks the tree must get along.
#[test]
fn what_the_limits_allow_works() {
    let text = format!("SELECT {}1{}", "(1 + ".repeat(45), ")".repeat(45));
    assert!(diagnostics(text).is_empty());
    assert!(diagnostics(format!("SELECT 1{}", " + 1".repeat(sql::parser::CHAIN_MAX - 1))).is_empty());
    assert!(
        diagnostics(format!("SELECT 1{}", " UNION SELECT 1".repeat(sql::parser::CHAIN_MAX - 1))).is_empty()
    );
}

#[test]
fn nested_parentheses_take_linear_time() {
    // Each level could be a query or an expression: trying both would take 2^40 steps.
    let text = format!("SELECT {}(SELECT 1){}", "((".repeat(20), ") + 1)".repeat(20));
    assert!(diagnostics(text).is_empty());
    let text = format!("SELECT {}1{}", "((SELECT ".repeat(20), ") + 1)".repeat(20));
    assert!(diagnostics(text).is_empty());
}

#[test]
fn a_text_that_is_too_large_is_refused_at_once() {
    is_limit(" ".repeat(SOURCE_BYTES_MAX + 1));
    assert!(diagnostics(" ".repeat(SOURCE_BYTES_MAX)).is_empty());
}

#[test]
fn the_number_of_messages_is_bounded() {
    assert_eq!(diagnostics("SELEC 1;".repeat(10_000)).len(), 100);
    assert_eq!(diagnostics("# ".repeat(10_000)).len(), 100);
    assert_eq!(diagnostics("#".repeat(SOURCE_BYTES_MAX)).len(), 100);
}
