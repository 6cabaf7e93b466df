//! What was entered before, kept in a file that only its owner reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const ENTRIES_MAX: usize = 1_000;
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Longer statements are not kept.
const ENTRY_BYTES_MAX: usize = 64 << 10;

#[derive(Default)]
pub struct History {
    path: Option<PathBuf>,
    pub entries: Vec<String>,
}

/// An entry on one line.
fn line(entry: &str) -> String {
    entry.replace('\\', "\\\\").replace('\n', "\\n")
}

fn entry(line: &str) -> String {
    let mut out = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).mode(0o600).open(path)
}

/// The whole lines at the end of a file, and whether there were more.
fn tail(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let skipped = file.metadata()?.len().saturating_sub(FILE_BYTES_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    if skipped > 0 {
        let whole = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        text.drain(..whole);
    }
    Ok((text, skipped > 0))
}

impl History {
    /// A file that is not there is one that nothing was entered into; without a path nothing is kept.
    pub fn load(path: Option<PathBuf>) -> History {
        // Who cannot read it has no history, and nothing else is wrong.
        let (text, is_cut) = path.as_ref().and_then(|path| tail(path).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let entries =
            lines[lines.len().saturating_sub(ENTRIES_MAX)..].iter().map(|line| entry(line)).collect();
        let history = History { path, entries };
        if is_cut || lines.len() > ENTRIES_MAX * 2 {
            history.rewrite();
        }
        history
    }

    fn rewrite(&self) {
        let Some(path) = &self.path else { return };
        let text: String = self.entries.iter().map(|entry| line(entry) + "\n").collect();
        // Whoever cannot write it has no history, and nothing else is wrong.
        let _ = open(path, OpenOptions::new().write(true).truncate(true))
            .and_then(|mut file| file.write_all(text.as_bytes()));
    }

    pub fn add(&mut self, entry: &str) {
        let entry = entry.trim();
        if entry.is_empty()
            || entry.len() > ENTRY_BYTES_MAX
            || self.entries.last().is_some_and(|last| last == entry)
        {
            return;
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.remove(0);
        }
        self.entries.push(entry.to_string());
        let Some(path) = &self.path else { return };
        let _ = open(path, OpenOptions::new().append(true))
            .and_then(|mut file| file.write_all((line(entry) + "\n").as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_entered_is_there_the_next_time() {
        let path = std::env::temp_dir().join(format!("eventwright-history-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut history = History::load(Some(path.clone()));
        for entry in ["SELECT 1;", "SELECT E'\\n',\n  2;", "SELECT E'\\n',\n  2;", " "] {
            history.add(entry);
        }
        let again = History::load(Some(path.clone()));
        assert_eq!(again.entries, ["SELECT 1;", "SELECT E'\\n',\n  2;"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        (0..3 * ENTRIES_MAX).for_each(|number| history.add(&number.to_string()));
        let again = History::load(Some(path.clone()));
        assert_eq!((again.entries.len(), again.entries[0].as_str()), (ENTRIES_MAX, "2000"));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), ENTRIES_MAX);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_end_of_a_long_file_is_what_counts() {
        let path = std::env::temp_dir().join(format!("eventwright-long-history-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let long = "x".repeat(ENTRY_BYTES_MAX);
        let lines = (FILE_BYTES_MAX as usize / ENTRY_BYTES_MAX) + 1;
        let text: String = (0..lines).map(|number| format!("{number}{long}\n")).collect();
        std::fs::write(&path, text + "SELECT 1;\n").unwrap();
        let history = History::load(Some(path.clone()));
        assert_eq!(history.entries.last().unwrap(), "SELECT 1;");
        // The line that is cut is left out, and the file is short from now on.
        assert!(history.entries.iter().rev().skip(1).all(|entry| entry.len() > ENTRY_BYTES_MAX));
        assert!(std::fs::metadata(&path).unwrap().len() <= FILE_BYTES_MAX);
        std::fs::remove_file(&path).unwrap();
    }
}
