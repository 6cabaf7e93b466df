//! How messages look.

use super::*;

fn render(text: &str, needle: &str) -> String {
    let start = text.find(needle).expect("the needle is in the text") as u32;
    let span = Span::new(start, start + needle.len() as u32);
    let source = SourceText::new("delays.sql", text);
    Diagnostic::unknown(span, format!("column `{needle}` does not exist")).render(&source)
}

#[test]
fn the_marks_stand_under_the_span_with_label_and_hint() {
    let text = "SELECT 1;\n  SELECT dep_dely";
    let source = SourceText::new("delays.sql", text);
    let diagnostic =
        Diagnostic::unknown(Span::new(19, 27), "column `dep_dely` does not exist in table `flights`")
            .with_label("the columns are: dep_delay, arr_delay")
            .with_nearest("dep_dely", ["dep_delay", "arr_delay"]);
    assert_eq!(
        diagnostic.render(&source),
        "error: column `dep_dely` does not exist in table `flights`
 --> delays.sql:2:10
  |
2 |   SELECT dep_dely
  |          ^^^^^^^^ the columns are: dep_delay, arr_delay
  = hint: did you mean `dep_delay`?
"
    );
}

#[test]
fn tabs_and_wide_characters_keep_the_marks_in_place() {
    assert_eq!(
        render("\tSELECT '航班', x", "x"),
        "error: column `x` does not exist
 --> delays.sql:1:15
  |
1 |     SELECT '航班', x
  |                    ^
"
    );
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let shown = render("SELECT \u{1b}[31m x", "x");
    assert!(!shown.contains('\u{1b}'));
    assert!(shown.contains("SELECT \u{fffd}[31m x"));
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let text = format!("SELECT {} needle {}", "a, ".repeat(400), "b, ".repeat(400));
    let shown = render(&text, "needle");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[3].chars().count() <= LINE_COLUMNS_MAX + 8, "{}", lines[3]);
    let at = lines[3]
        .chars()
        .collect::<Vec<_>>()
        .windows(6)
        .position(|w| w.iter().collect::<String>() == "needle");
    assert_eq!(at, lines[4].find('^'));
    assert_eq!(lines[4].matches('^').count(), 6);
}

#[test]
fn a_span_over_lines_marks_the_first_and_the_end_of_the_text_has_a_place() {
    let source = SourceText::new("a.sql", "SELECT 'abc\ndef'\n");
    let over = Diagnostic::syntax(Span::new(7, 16), "a").render(&source);
    assert!(over.contains("1 | SELECT 'abc\n  |        ^^^^\n"), "{over}");
    let end = Diagnostic::syntax(Span::at(17), "a").render(&source);
    assert!(end.contains("a.sql:3:1\n  |\n3 |\n  | ^\n"), "{end}");
}
