//! Checks the house rules that only a machine keeps: floors, first lines, lengths of files, licences, versions.
//!
//! Each rule returns its findings as lines of text; a clean checkout has none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::counts::Counts;
use crate::{deny, places, process};

const GIT_LIMIT: Duration = Duration::from_secs(60);

/// Lines above which a file that people write has become a maze.
const FILE_LINES_MAX: usize = 1000;

/// What stands at the top of the repository; what a trial has left there does not belong into it.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "FINDINGS.md",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "console",
    "crates",
    "deny.toml",
    "deploy",
    "docs",
    "examples",
    "fuzz",
    "rustfmt.toml",
    "tests",
    "xtask",
];

/// Which crates of the house a crate may import. The floors are the order of the lines; the binary and the tools stand
/// above all.
const FLOORS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("metrics", &[]),
    ("os", &["base"]),
    ("auth", &["os"]),
    ("traces", &["auth", "metrics", "os"]),
    ("kafka-wire", &["base"]),
    ("formats", &["base"]),
    ("eventlog", &["base", "metrics", "os", "kafka-wire"]),
    ("state", &["base", "os"]),
    ("kafka-client", &["auth", "base", "os", "kafka-wire"]),
    ("pg-client", &["auth", "base", "os"]),
    ("mysql-client", &["auth", "base", "os"]),
    ("mongo-client", &["auth", "base", "formats", "os"]),
    ("verify", &["os", "kafka-client", "kafka-wire"]),
    ("sql-shell", &["base", "os", "pg-client"]),
    ("broker", &["auth", "base", "metrics", "os", "eventlog", "kafka-wire", "traces"]),
    ("dataflow", &["base", "os", "state", "traces"]),
    ("runtime", &["base", "metrics", "os", "kafka-wire", "dataflow", "state", "eventlog", "traces"]),
    ("sql", &["base", "dataflow", "state"]),
    (
        "connectors",
        &[
            "auth",
            "base",
            "os",
            "dataflow",
            "formats",
            "kafka-wire",
            "kafka-client",
            "pg-client",
            "mysql-client",
            "mongo-client",
            "eventlog",
            "traces",
        ],
    ),
    ("asyncapi", &["base", "sql"]),
    ("registry", &["base", "os", "kafka-wire", "formats", "eventlog"]),
    ("views", &["base", "metrics", "os", "kafka-wire", "dataflow", "state", "eventlog", "formats"]),
    (
        "pg-server",
        &[
            "auth",
            "base",
            "metrics",
            "os",
            "formats",
            "kafka-wire",
            "dataflow",
            "eventlog",
            "broker",
            "registry",
            "runtime",
            "views",
        ],
    ),
    ("remote", &["base", "connectors", "eventlog", "kafka-wire", "os", "state"]),
    (
        "http-server",
        &[
            "auth",
            "base",
            "metrics",
            "os",
            "formats",
            "kafka-wire",
            "kafka-client",
            "eventlog",
            "broker",
            "registry",
            "runtime",
            "traces",
            "views",
        ],
    ),
];

/// The binary wires everything; the test kit and the tools look at everything.
const ABOVE_ALL: &[&str] = &["eventwright", "differential", "xtask"];

/// Runs all checks and returns how many rules hold; findings are printed.
pub fn check() -> Result<Counts> {
    let checkout = places::root();
    let mut report = Report(Counts::default());
    report.rule("imports follow the floors", floors(checkout)?);
    let sources = rust_files(checkout)?;
    report.rule("every source file begins with its purpose", first_lines(&sources)?);
    report.rule("no source file is a maze", lengths(&sources)?);
    report.rule("nothing was left lying at the top", left_lying(&tracked(checkout)?));
    let rules = deny::Rules::read(&checkout.join("deny.toml"))?;
    let packages = deny::packages(checkout)?;
    report.rule("licences are on the list", deny::licences(&rules, &packages));
    report.rule("no crate comes in two versions", deny::duplicates(&rules, &packages));
    Ok(report.0)
}

/// What the checks found.
struct Report(Counts);

impl Report {
    fn rule(&mut self, name: &str, findings: Vec<String>) {
        if findings.is_empty() {
            self.0.pass();
            return;
        }
        self.0.fail(format!("house: {name}: {} findings\n  {}", findings.len(), findings.join("\n  ")));
    }
}

fn floors(checkout: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut names = Vec::new();
    for entry in fs::read_dir(checkout.join("crates"))? {
        let folder = entry?.path();
        let manifest = folder.join("Cargo.toml");
        if manifest.is_file() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text =
                fs::read_to_string(&manifest).with_context(|| format!("file={}", manifest.display()))?;
            names.push((name, dependencies(&text)));
        }
    }
    names.sort();
    let house: Vec<String> = names.iter().map(|(name, _)| name.clone()).collect();
    for (name, imports) in &names {
        findings.extend(wrong_imports(name, imports, &house));
    }
    Ok(findings)
}

fn wrong_imports(name: &str, imports: &[String], house: &[String]) -> Vec<String> {
    if ABOVE_ALL.contains(&name) {
        let binary = imports.iter().filter(|import| *import == "eventwright" && name != "xtask");
        return binary.map(|_| format!("{name} imports the binary, which has no logic to import")).collect();
    }
    let Some((_, allowed)) = FLOORS.iter().find(|(floor, _)| *floor == name) else {
        return vec![format!(
            "crate={name} has no line in the floors of xtask/src/house.rs; add it where it belongs"
        )];
    };
    imports
        .iter()
        .filter(|import| house.contains(import) && !allowed.contains(&import.as_str()))
        .map(|import| format!("{name} imports {import}, which it must not; allowed: {}", allowed.join(", ")))
        .collect()
}

/// The names under `[dependencies]` and `[build-dependencies]`; what only tests import is free.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut counted = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            let last = section.rsplit('.').next().unwrap_or(section);
            counted = last == "dependencies" || last == "build-dependencies";
            // `[dependencies.name]` is a dependency of its own.
            if let Some(name) = section.strip_prefix("dependencies.") {
                names.push(name.to_owned());
            }
        } else if counted && !line.is_empty() && !line.starts_with('#') {
            let end = line.find(['.', '=', ' ']).unwrap_or(line.len());
            names.push(line[..end].to_owned());
        }
    }
    names
}

/// All Rust files of the house, the tools and the tests, with their text.
/// What git keeps; nothing where the sources came without it.
fn tracked(checkout: &Path) -> Result<Vec<String>> {
    if !checkout.join(".git").exists() {
        return Ok(Vec::new());
    }
    let listed =
        process::output(Command::new("git").args(["ls-files", "-z"]).current_dir(checkout), GIT_LIMIT)?;
    Ok(listed.split_terminator('\0').map(str::to_owned).collect())
}

fn left_lying(paths: &[String]) -> Vec<String> {
    let tops: BTreeSet<&str> = paths.iter().filter_map(|path| path.split('/').next()).collect();
    let unknown = tops.into_iter().filter(|top| !TOP.contains(top));
    unknown.map(|top| format!("{top}: `git rm -r` it, or name it in xtask/src/house.rs")).collect()
}

fn rust_files(checkout: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["crates", "xtask", "tests", "benches", "examples"].iter().map(|name| checkout.join(name)).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).with_context(|| format!("file={}", path.display()))?;
                files.push((path.strip_prefix(checkout).unwrap_or(&path).to_owned(), text));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn first_lines(files: &[(PathBuf, String)]) -> Result<Vec<String>> {
    Ok(files
        .iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| format!("{}: the first line is not `//! ` and what the file is for", path.display()))
        .collect())
}

fn lengths(files: &[(PathBuf, String)]) -> Result<Vec<String>> {
    Ok(files
        .iter()
        .filter(|(_, text)| !is_generated(text))
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, count)| *count > FILE_LINES_MAX)
        .map(|(path, count)| format!("{}: {count} lines, more than {FILE_LINES_MAX}", path.display()))
        .collect())
}

/// A generated file says so in its first lines.
fn is_generated(text: &str) -> bool {
    text.lines().take(5).any(|line| line.to_ascii_lowercase().contains("generated"))
}

#[cfg(test)]
mod tests;
