//! Lists of tests: one name per line, sorted; what follows a `#` is a remark.

use std::path::Path;

use anyhow::{Context, Result};

/// The names in a file; none if there is no such file.
pub fn read(path: &Path) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read file={}", path.display()))?;
    Ok(names(&text))
}

/// Adds names to a file and leaves its remarks where they are; a new file begins with the title.
pub fn add(path: &Path, new: &[String], title: &str) -> Result<()> {
    let text = if path.is_file() { std::fs::read_to_string(path)? } else { title.to_owned() };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, added(&text, new)).with_context(|| format!("cannot write file={}", path.display()))
}

fn names(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn added(text: &str, new: &[String]) -> String {
    let (head, listed): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    let mut lines: Vec<&str> = listed.into_iter().chain(new.iter().map(String::as_str)).collect();
    lines.sort_unstable();
    lines.dedup();
    head.into_iter().chain(lines).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_stay_and_names_are_sorted() {
        let text = "# What passes.\nb # since then\nd\n";
        assert_eq!(names(text), ["b", "d"]);
        assert_eq!(
            added(text, &["c".to_owned(), "a".to_owned(), "d".to_owned()]),
            "# What passes.\na\nb # since then\nc\nd\n"
        );
    }
}
