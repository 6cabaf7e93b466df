//! Tables of results: Markdown for people and documents, JSON for programs.

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::machine;

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Text,
    Json,
}

/// A table; its first column names the row.
#[derive(Debug)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Value>)>,
}

impl Table {
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Table {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Table { title: title.into(), columns, rows: vec![] }
    }

    pub fn row(&mut self, name: impl Into<String>, values: Vec<Value>) {
        self.rows.push((name.into(), values));
    }

    fn text(&self) -> String {
        let mut lines = vec![self.columns.clone()];
        lines.extend(self.rows.iter().map(|(name, values)| {
            let values = values.iter().map(shown);
            std::iter::once(name.clone()).chain(values).collect()
        }));
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut out = format!("{}\n\n", self.title);
        for (index, line) in lines.iter().enumerate() {
            for (column, width) in widths.iter().copied().enumerate() {
                let cell = line.get(column).map_or("", String::as_str);
                out += &if column == 0 { format!("| {cell:<width$} ") } else { format!("| {cell:>width$} ") };
            }
            out += "|\n";
            if index == 0 {
                for (column, width) in widths.iter().copied().enumerate() {
                    let dashes = "-".repeat(width);
                    out += &if column == 0 { format!("|-{dashes}-") } else { format!("|-{dashes}:") };
                }
                out += "|\n";
            }
        }
        out
    }

    fn json(&self) -> Value {
        let row = |(name, values): &(String, Vec<Value>)| {
            let mut object = Map::new();
            object.insert(self.columns.first().cloned().unwrap_or_default(), Value::from(name.as_str()));
            object.extend(self.columns.iter().skip(1).cloned().zip(values.iter().cloned()));
            Value::Object(object)
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

/// A number with three digits that count, which is more than a shared machine repeats.
pub fn rounded(value: f64) -> Value {
    if !value.is_finite() {
        return Value::Null;
    }
    if value == 0.0 {
        return Value::from(0);
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    let value = (value * scale).round() / scale;
    if digits <= 0 { Value::from(value as i64) } else { Value::from(value) }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => thousands(whole),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn thousands(whole: i64) -> String {
    let digits = whole.unsigned_abs().to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if whole < 0 { format!("-{out}") } else { out }
}

/// Prints the tables with the machine that they were measured on and the command that makes them.
pub fn print(form: Form, folder: &std::path::Path, load_before: &str, tables: &[Table]) -> Result<()> {
    let machine = machine::describe(folder)?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let name = std::env::current_exe()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = format!("cargo run --release -p benches --bin {name}");
    if !words.is_empty() {
        command = format!("{command} -- {}", words.join(" "));
    }
    match form {
        Form::Text => {
            println!("machine: {machine}");
            println!("load before the run (1, 5, 15 minutes): {load_before}");
            println!("command: {command}");
            for table in tables {
                println!("\n{}", table.text());
            }
        }
        Form::Json => {
            let tables: Vec<Value> = tables.iter().map(Table::json).collect();
            println!(
                "{}",
                json!({ "machine": machine, "load_before": load_before, "command": command, "tables": tables })
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_and_json() {
        let mut table = Table::new("Cost", &["what", "CPU s/GB", "events"]);
        table.row("floor", vec![rounded(0.731_94), rounded(107_123.4)]);
        table.row("node", vec![rounded(f64::NAN)]);
        assert_eq!(
            table.text(),
            "Cost\n\n| what  | CPU s/GB |  events |\n|-------|---------:|--------:|\n\
             | floor |    0.732 | 107,000 |\n| node  |        – |         |\n"
        );
        let json = table.json();
        assert_eq!(json["rows"][0]["events"], 107_000);
        assert_eq!(json["rows"][1]["what"], "node");
        assert_eq!(json["rows"][1]["CPU s/GB"], Value::Null);
    }

    #[test]
    fn rounds_to_three_digits() {
        assert_eq!(rounded(0.001_234_5), Value::from(0.001_23));
        assert_eq!(rounded(1_234_567.0), Value::from(1_230_000));
        assert_eq!(rounded(0.0), Value::from(0));
        assert_eq!(thousands(-1_234_567), "-1,234,567");
    }
}
