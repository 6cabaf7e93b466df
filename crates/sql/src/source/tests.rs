//! Lines, columns and variables.

use super::*;

fn lookup(name: &str) -> Option<String> {
    match name {
        "TABLE" => Some("flights".into()),
        "QUOTE" => Some("it's".into()),
        "EMPTY" => Some(String::new()),
        "NESTED" => Some("${TABLE}".into()),
        _ => None,
    }
}

fn expand(text: &str) -> (SourceText, Vec<Diagnostic>) {
    SourceText::with_variables("test.sql", text, &lookup)
}

#[test]
fn columns_count_characters_and_lines_end_at_either_break() {
    let source = SourceText::new("test.sql", "a\r\nñandú b\n\nend");
    assert_eq!(source.line_at(1), ("a", 0));
    assert_eq!(source.line_at(3), ("ñandú b", 3));
    assert_eq!(source.line_at(13), ("", 13));
    assert_eq!(source.line_at(u32::MAX), ("end", 14));
    let b = source.text().find('b').unwrap() as u32;
    assert_eq!(source.position(b), Position { line: 2, column: 7 });
    assert_eq!(source.position(u32::MAX), Position { line: 4, column: 4 });
    // In the middle of a character: no panic.
    assert_eq!(source.position(4).line, 2);
}

#[test]
fn positions_are_those_in_the_files() {
    let files = [("tables.sql", "CREATE TABLE ${TABLE} (a INT)"), ("query.sql", "\nSELECT b FROM ${TABLE}")];
    let files = files.map(|(name, text)| (name.to_string(), text.to_string()));
    let (source, diagnostics) = SourceText::files_with_variables(files, &lookup);
    assert!(diagnostics.is_empty());
    assert_eq!(source.expanded(), "CREATE TABLE flights (a INT)\n;\n\nSELECT b FROM flights");
    let b = source.original_span({
        let at = source.expanded().find("b FROM").unwrap() as u32;
        Span::new(at, at + 1)
    });
    assert_eq!((source.file_name(b.start), source.slice(b)), ("query.sql", "b"));
    assert_eq!(source.position(b.start), Position { line: 2, column: 8 });
    assert_eq!(source.line_at(b.start).0, "SELECT b FROM ${TABLE}");
    let a = source.text().find("a INT").unwrap() as u32;
    assert_eq!((source.file_name(a), source.position(a)), ("tables.sql", Position { line: 1, column: 24 }));
    assert_eq!((source.file_name(u32::MAX), source.position(u32::MAX).line), ("query.sql", 2));
}

#[test]
fn variables_are_replaced_outside_comments_once() {
    let (source, diagnostics) =
        expand("-- ${NONE}\nSELECT * FROM ${TABLE} /* ${NONE} */ WHERE a = '${NESTED}'");
    assert!(diagnostics.is_empty());
    assert_eq!(source.expanded(), "-- ${NONE}\nSELECT * FROM flights /* ${NONE} */ WHERE a = '${TABLE}'");
    assert_eq!(expand("/*+ ${TABLE} */ /**/ ${TABLE}").0.expanded(), "/*+ flights */ /**/ flights");
}

#[test]
fn a_value_never_ends_the_literal_it_stands_in() {
    assert_eq!(expand("SELECT '${QUOTE}', `${QUOTE}`").0.expanded(), "SELECT 'it''s', `it's`");
}

#[test]
fn what_is_not_a_name_stays() {
    for text in ["${1}", "${a b}", "${", "$TABLE", "${}", "{TABLE}", "'${a-b}'"] {
        let (source, diagnostics) = expand(text);
        assert_eq!(source.expanded(), text);
        assert!(diagnostics.is_empty());
    }
}

#[test]
fn spans_are_mapped_back_to_the_original() {
    let (source, _) = expand("a ${TABLE} b ${EMPTY}c '${QUOTE}' d");
    let expanded = source.expanded().to_string();
    assert_eq!(expanded, "a flights b c 'it''s' d");
    let original = |needle: &str| {
        let start = expanded.find(needle).unwrap() as u32;
        source.slice(source.original_span(Span::new(start, start + needle.len() as u32)))
    };
    assert_eq!(original("a"), "a");
    assert_eq!(original("flights"), "${TABLE}");
    assert_eq!(original("ligh"), "${TABLE}");
    assert_eq!(original("b"), "b");
    assert_eq!(original("'it''s'"), "'${QUOTE}'");
    assert_eq!(original("d"), "d");
    let c = expanded.find('c').unwrap() as u32;
    assert!(source.slice(source.original_span(Span::new(c, c + 1))).ends_with('c'));
}

#[test]
fn an_undefined_name_is_reported_where_it_stands() {
    let (source, diagnostics) = expand("SELECT 1;\nSELECT ${NONE}, ${ALSO}");
    assert_eq!(diagnostics.len(), 2);
    assert_eq!(source.position(diagnostics[0].span.start), Position { line: 2, column: 8 });
    assert_eq!(source.slice(diagnostics[1].span), "${ALSO}");
}
