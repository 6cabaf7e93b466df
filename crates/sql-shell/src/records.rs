//! Rows for programs: CSV with a head, JSON as an object a line.

use pg_client::Described;
use serde_json::Value;
use std::io::{self, Write};

/// Types that JSON has its own form for.
const BOOL: u32 = 16;
const NUMBERS: &[u32] = &[20, 21, 23, 26, 700, 701, 1700];
const JSON: &[u32] = &[114, 3802];

/// A NULL is empty, an empty text is `""`, as PostgreSQL's COPY has them.
fn field(value: Option<&str>, out: &mut String) {
    let Some(value) = value else { return };
    if value.is_empty() || value == "\\." || value.contains(['"', ',', '\n', '\r']) {
        out.push('"');
        out.push_str(&value.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(value);
    }
}

pub fn csv_line<'a>(values: impl Iterator<Item = Option<&'a str>>, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    for (at, value) in values.enumerate() {
        if at > 0 {
            line.push(',');
        }
        field(value, &mut line);
    }
    writeln!(out, "{line}")
}

/// An object; numbers keep the digits that the server gave.
pub fn json_line(columns: &[Described], row: &[Option<String>], out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::from("{");
    for (at, (column, value)) in columns.iter().zip(row).enumerate() {
        if at > 0 {
            line.push(',');
        }
        line.push_str(&text(&column.name));
        line.push(':');
        match value.as_deref() {
            None => line.push_str("null"),
            Some("t") if column.oid == BOOL => line.push_str("true"),
            Some("f") if column.oid == BOOL => line.push_str("false"),
            // What is no number in JSON, such as NaN, is a text.
            Some(value)
                if NUMBERS.contains(&column.oid)
                    && serde_json::from_str::<serde_json::Number>(value).is_ok() =>
            {
                line.push_str(value);
            }
            // A line end within JSON stands between its parts: its texts have none.
            Some(value) if JSON.contains(&column.oid) && is_json(value) => {
                line.push_str(&value.replace(['\n', '\r'], " "))
            }
            Some(value) => line.push_str(&text(value)),
        }
    }
    writeln!(out, "{line}}}")
}

fn is_json(value: &str) -> bool {
    serde_json::from_str::<Value>(value).is_ok()
}

fn text(value: &str) -> String {
    Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_what_they_are() {
        let columns: Vec<Described> =
            [("b", 16), ("n", 1700), ("x", 1700), ("j", 114), ("k", 114), ("t", 25), ("z", 25)]
                .map(|(name, oid)| Described { name: name.into(), oid })
                .into();
        let values = ["t", "12345678901234567890.10", "NaN", "{\"a\":\n1}", "{", "a\"b\n"]
            .map(|value| Some(value.to_string()));
        let row: Vec<Option<String>> = values.into_iter().chain([None]).collect();
        let mut out = Vec::new();
        json_line(&columns, &row, &mut out).unwrap();
        let expected = "{\"b\":true,\"n\":12345678901234567890.10,\"x\":\"NaN\",\"j\":{\"a\": 1},\"k\":\"{\",\"t\":\"a\\\"b\\n\",\"z\":null}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        csv_line([Some("a,b"), None, Some(""), Some("x\"y"), Some("1")].into_iter(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\"a,b\",,\"\",\"x\"\"y\",1\n");
    }
}
