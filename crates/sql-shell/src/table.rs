//! Rows as people read them: columns aligned, or a line for each column, as psql shows them.

use pg_client::Described;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

pub const NULL: &str = "NULL";

/// Types whose values stand at the right: numbers, money, object numbers, transaction numbers.
const RIGHT: &[u32] = &[20, 21, 23, 26, 28, 29, 700, 701, 790, 1700];

/// How wide a text is; a control character is shown as the `\x1b` that it is, so that no value moves the cursor.
fn shown(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\n' => out.push('\n'),
            '\t' => out.push_str("        "),
            '\r' => out.push_str("\\r"),
            control if control.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out
}

fn width(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
}

/// The columns of a result with the widths that its first rows have wanted.
#[derive(Debug)]
pub struct Aligned {
    names: Vec<String>,
    is_right: Vec<bool>,
    widths: Vec<usize>,
    has_head: bool,
}

impl Aligned {
    pub fn new(columns: &[Described]) -> Aligned {
        let names: Vec<String> =
            columns.iter().map(|column| shown(&column.name).replace('\n', " ")).collect();
        Aligned {
            is_right: columns.iter().map(|column| RIGHT.contains(&column.oid)).collect(),
            widths: names.iter().map(|name| width(name)).collect(),
            names,
            has_head: false,
        }
    }

    pub fn title(&self, title: &str, out: &mut dyn Write) -> io::Result<()> {
        let title = shown(title).replace('\n', " ");
        let all = self.widths.iter().sum::<usize>() + 3 * self.widths.len().saturating_sub(1) + 2;
        writeln!(out, "{}{title}", " ".repeat(all.saturating_sub(width(&title)) / 2))
    }

    /// Makes room for rows that follow.
    pub fn fit(&mut self, rows: &[Vec<Option<String>>]) {
        for row in rows {
            for (at, value) in row.iter().enumerate().take(self.widths.len()) {
                let wide = width(&shown(value.as_deref().unwrap_or(NULL)));
                self.widths[at] = self.widths[at].max(wide);
            }
        }
    }

    pub fn rows(&mut self, rows: &[Vec<Option<String>>], out: &mut dyn Write) -> io::Result<()> {
        if !self.has_head {
            self.has_head = true;
            let cells = self.names.iter().zip(&self.widths).map(|(name, wide)| {
                let left = (wide - width(name)) / 2;
                format!(" {}{name}{} ", " ".repeat(left), " ".repeat(wide - width(name) - left))
            });
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("|").trim_end())?;
            let rules = self.widths.iter().map(|wide| "-".repeat(wide + 2));
            writeln!(out, "{}", rules.collect::<Vec<_>>().join("+"))?;
        }
        for row in rows {
            self.row(row, out)?;
        }
        Ok(())
    }

    fn row(&self, row: &[Option<String>], out: &mut dyn Write) -> io::Result<()> {
        let cells: Vec<String> = row.iter().map(|value| shown(value.as_deref().unwrap_or(NULL))).collect();
        let cells: Vec<Vec<&str>> = cells.iter().map(|cell| cell.split('\n').collect()).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let mut text = String::new();
            for (at, lines) in cells.iter().enumerate() {
                let part = lines.get(line).copied().unwrap_or("");
                let room = self.widths.get(at).copied().unwrap_or(0).saturating_sub(width(part));
                let (left, right) = if self.is_right.get(at) == Some(&true) { (room, 0) } else { (0, room) };
                // psql's sign that the value goes on in the next line.
                let goes_on = if line + 1 < lines.len() { '+' } else { ' ' };
                let bar = if at == 0 { "" } else { "|" };
                text.push_str(&format!("{bar} {}{part}{}{goes_on}", " ".repeat(left), " ".repeat(right)));
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// A record of one row, with a line for each column.
pub fn expanded(
    names: &[Described],
    row: &[Option<String>],
    number: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    let names: Vec<String> = names.iter().map(|column| shown(&column.name).replace('\n', " ")).collect();
    let cells: Vec<String> = row.iter().map(|value| shown(value.as_deref().unwrap_or(NULL))).collect();
    let wide = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let cell_wide = cells.iter().map(|cell| width(cell)).max().unwrap_or(0);
    let head = format!("-[ RECORD {number} ]");
    // The bar between names and values goes through the head.
    let mut line: Vec<char> = head.chars().collect();
    while line.len() < wide + cell_wide + 3 {
        line.push(if line.len() == wide + 1 { '+' } else { '-' });
    }
    writeln!(out, "{}", line.into_iter().collect::<String>())?;
    for (name, cell) in names.iter().zip(&cells) {
        let lines: Vec<&str> = cell.split('\n').collect();
        for (at, part) in lines.iter().enumerate() {
            let name = if at == 0 { name.as_str() } else { "" };
            let goes_on = if at + 1 < lines.len() { "+" } else { "" };
            let text = format!("{name}{} | {part}{goes_on}", " ".repeat(wide - width(name)));
            writeln!(out, "{}", text.trim_end())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(named: &[(&str, u32)]) -> Vec<Described> {
        named.iter().map(|(name, oid)| Described { name: (*name).into(), oid: *oid }).collect()
    }

    fn row(values: &[Option<&str>]) -> Vec<Option<String>> {
        values.iter().map(|value| value.map(str::to_string)).collect()
    }

    #[test]
    fn columns_are_aligned_as_psql_aligns_them() {
        let columns = columns(&[("city", 25), ("total", 20)]);
        let rows = [
            row(&[Some("Rome"), Some("5")]),
            row(&[Some("東京"), None]),
            row(&[Some("a\nb"), Some("1234567")]),
        ];
        let mut aligned = Aligned::new(&columns);
        aligned.fit(&rows);
        let mut out = Vec::new();
        aligned.rows(&rows, &mut out).unwrap();
        let expected =
            " city |  total\n------+---------\n Rome |       5\n 東京 |    NULL\n a   +| 1234567\n b    |\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_value_cannot_move_the_cursor() {
        let mut out = Vec::new();
        Aligned::new(&[]).title("View \"\u{1b}c\"", &mut out).unwrap();
        assert_eq!(out, b"View \"\\x1bc\"\n");
        out.clear();
        expanded(
            &columns(&[("k", 25), ("value", 25)]),
            &row(&[Some("\u{1b}[2J"), Some("x\ny")]),
            7,
            &mut out,
        )
        .unwrap();
        let expected = "-[ RECORD 7 ]--\nk     | \\x1b[2J\nvalue | x+\n      | y\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
