//! The differences that are known: `tests/flink/gaps.txt`, one a line with its reason, a list that only gets shorter.
//!
//! A line is `what ## reason`. What stands there and has become equal fails the test, so that it is taken away.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

pub fn file() -> std::path::PathBuf {
    crate::folder().join("gaps.txt")
}

/// The reasons by what differs.
pub fn read() -> Result<BTreeMap<String, String>> {
    let path = file();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<BTreeMap<String, String>> {
    let mut gaps = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let Some((what, reason)) = line.rsplit_once(" ## ").filter(|(_, reason)| !reason.trim().is_empty())
        else {
            bail!("gaps.txt: no reason behind ' ## ' in: {line}");
        };
        if gaps.insert(what.trim().to_string(), reason.trim().to_string()).is_some() {
            bail!("gaps.txt: twice there: {what}");
        }
    }
    Ok(gaps)
}

/// Takes away the lines of what has become equal, where the environment asks for it (`UPDATE_GAPS`); whether it did.
pub fn close(equal: &[String]) -> Result<bool> {
    if equal.is_empty() || std::env::var_os("UPDATE_GAPS").is_none() {
        return Ok(false);
    }
    let text = std::fs::read_to_string(file())?;
    let stays = |line: &&str| !equal.iter().any(|what| line.starts_with(&format!("{what} ## ")));
    let lines: Vec<&str> = text.lines().filter(stays).collect();
    std::fs::write(file(), lines.join("\n") + "\n")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_has_a_reason() {
        assert_eq!(parse("# x\n\na ## b ## why\n").unwrap()["a ## b"], "why");
        assert!(parse("a").is_err() && parse("a ## ").is_err() && parse("a ## x\na ## y").is_err());
    }
}
