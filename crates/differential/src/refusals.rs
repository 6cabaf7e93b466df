//! What we say where Flink refuses a query or an expression, in `tests/flink/refusals`.
//!
//! That both refuse is not enough: ours may be refused for the wrong reason. So our own messages are kept, and one that
//! changes fails the test until somebody has read it (`UPDATE_REFUSALS=1` writes the file anew).

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Our messages by what is refused; `name` is the file's.
pub struct Refusals {
    file: PathBuf,
    found: BTreeMap<String, String>,
}

impl Refusals {
    pub fn new(name: &str) -> Refusals {
        let file = crate::folder().join("refusals").join(format!("{name}.txt"));
        Refusals { file, found: BTreeMap::new() }
    }

    pub fn note(&mut self, what: &str, message: &str) {
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        self.found.insert(what.to_string(), message);
    }

    /// How the messages differ from those that were kept; nothing where the environment asked to keep them.
    pub fn differences(&self) -> Result<Vec<String>> {
        let lines = self.found.iter().map(|(what, message)| format!("{what}\n    {message}\n"));
        let text: String = lines.collect();
        if std::env::var_os("UPDATE_REFUSALS").is_some() {
            std::fs::create_dir_all(self.file.parent().context("the file stands in a folder")?)?;
            std::fs::write(&self.file, text)?;
            return Ok(Vec::new());
        }
        let kept = std::fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read {}; UPDATE_REFUSALS=1 writes it", self.file.display()))?;
        let kept = parse(&kept);
        let gone = kept.keys().filter(|what| !self.found.contains_key(*what));
        let gone = gone.map(|what| format!("{what}\n    is refused no more: run with UPDATE_REFUSALS=1"));
        let changed = self.found.iter().filter(|(what, message)| kept.get(*what) != Some(*message));
        let changed = changed.map(|(what, message)| {
            let before = kept.get(what).map_or("nothing was kept", String::as_str);
            format!("{what}\n    before: {before}\n    now:    {message}")
        });
        Ok(gone.chain(changed).collect())
    }
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.chunks_exact(2);
    pairs.map(|pair| (pair[0].to_string(), pair[1].trim_start().to_string())).collect()
}
