//! Errors and notices as psql shows them: the line of the statement with a caret under the place.

use pg_client::Report;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a statement's line that are shown around the place.
const SHOWN_MAX: usize = 72;

/// The lines of an error or a notice, without the last line end.
pub fn report(report: &Report, statement: &str) -> String {
    let mut text = format!("{}:  {}", printable(&report.severity), printable(&report.message));
    if let Some(place) = report.position.and_then(|position| place(statement, position)) {
        text.push('\n');
        text.push_str(&place);
    }
    for (name, value) in [("DETAIL", &report.detail), ("HINT", &report.hint)] {
        if !value.is_empty() {
            text.push_str(&format!("\n{name}:  {}", printable(value)));
        }
    }
    text
}

/// What comes from a server must not move the cursor.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// `LINE 2: …` and the caret; `position` is in characters from 1.
fn place(statement: &str, position: usize) -> Option<String> {
    let mut left = position.checked_sub(1)?;
    let mut lines = statement.split('\n').enumerate();
    let (number, line, left) = loop {
        let (number, line) = lines.next()?;
        let count = line.chars().count();
        if left <= count {
            break (number + 1, line, left);
        }
        left -= count + 1;
    };
    let line: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let width = |c: &char| c.width().unwrap_or(0);
    // A long line is cut so that the place stays in sight: first what is before it, then what is behind.
    let (mut from, mut shown_width) = (left, 0);
    while from > 0 && shown_width + width(&line[from - 1]) <= SHOWN_MAX * 3 / 4 {
        from -= 1;
        shown_width += width(&line[from]);
    }
    let (mut to, caret_width) = (left, shown_width);
    while to < line.len() && shown_width + width(&line[to]) <= SHOWN_MAX {
        shown_width += width(&line[to]);
        to += 1;
    }
    let (before, after) = (if from > 0 { "..." } else { "" }, if to < line.len() { "..." } else { "" });
    let head = format!("LINE {number}: {before}");
    let shown: String = line[from..to].iter().collect();
    let caret = " ".repeat(head.width() + caret_width);
    Some(format!("{head}{shown}{after}\n{caret}^"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place() {
        let error = Report {
            severity: "ERROR\u{1b}[2J".into(),
            message: "no \u{1b}x".into(),
            hint: "another".into(),
            position: Some(18),
            ..Report::default()
        };
        let text = report(&error, "SELECT 1,\n  '東', x");
        let caret = " ".repeat("LINE 2:   '東', ".width());
        assert_eq!(
            text,
            format!("ERROR\u{fffd}[2J:  no \u{fffd}x\nLINE 2:   '東', x\n{caret}^\nHINT:  another")
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let statement = format!("SELECT {}, y, {}", "a".repeat(200), "b".repeat(200));
        let position = statement.find('y').unwrap() + 1;
        let text = place(&statement, position).unwrap();
        let (line, caret) = text.split_once('\n').unwrap();
        assert_eq!(line.chars().nth(caret.find('^').unwrap()), Some('y'), "{text}");
        assert!(line.len() < 100, "{text}");
        // Work that grew with the square of the line would take hours here.
        let long = "東x".repeat(1 << 20);
        for position in [1, 1 << 20, 2 << 20] {
            let shown = place(&long, position).unwrap();
            assert!(shown.lines().next().unwrap().width() < 100, "{shown}");
        }
        assert_eq!(place("SELECT", 100), None);
        assert_eq!(place("SELECT", 0), None);
        assert!(place("SELECT", 7).unwrap().ends_with("      ^"));
    }
}
