//! Reads back what a file sink wrote: the rows of all files of a folder, with those of its partitions.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The sorted rows of a folder of CSV files; a row of a partition begins with the partition's folder.
pub fn csv_rows(folder: &Path) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    read(folder, "", &mut rows)?;
    rows.sort();
    Ok(rows)
}

fn read(folder: &Path, partition: &str, rows: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("the file sink wrote no folder={}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        // Like every reader of such folders: what begins with a dot or an underscore is not data.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            read(&path, &format!("{partition}{name}/"), rows)?;
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            let own = (!partition.is_empty()).then(|| partition.to_owned());
            let fields: Vec<String> = own.into_iter().chain(csv_fields(line)).collect();
            rows.push(Value::from(fields).to_string());
        }
    }
    Ok(())
}

/// Splits a CSV line; whether a field was quoted without need makes no difference.
fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                push(&mut fields, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => push(&mut fields, other),
        }
    }
    fields
}

fn push(fields: &mut [String], character: char) {
    if let Some(field) = fields.last_mut() {
        field.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_with_and_without_quotes_are_equal() {
        let expected = ["2013-01-01 00:00:00", "EWR", "", "12.5"];
        assert_eq!(csv_fields(r#""2013-01-01 00:00:00",EWR,,12.5"#), expected);
        assert_eq!(csv_fields(r#""a ""b"", c",d"#), [r#"a "b", c"#, "d"]);
    }

    #[test]
    fn rows_of_partitions_begin_with_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a=1/b=2")).unwrap();
        fs::write(folder.path().join("a=1/b=2/part-0"), "x,y\n").unwrap();
        fs::write(folder.path().join("a=1/b=2/_SUCCESS"), "").unwrap();
        fs::write(folder.path().join("part-1"), "z\n").unwrap();
        assert_eq!(csv_rows(folder.path()).unwrap(), [r#"["a=1/b=2/","x","y"]"#, r#"["z"]"#]);
    }
}
