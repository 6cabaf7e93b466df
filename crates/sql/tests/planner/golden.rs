//! Golden files: each `plans/*.sql` has its EXPLAIN texts beside it, each `errors/*.sql` its messages.

use crate::connectors::connectors;
use sql::diagnostic::render_all;
use sql::session::Session;
use sql::source::SourceText;
use std::fs;
use std::path::{Path, PathBuf};

/// The crate's folder in this checkout; what was built in another one and kept must not look there.
pub fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is").into()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let root = package().join("tests/planner").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {folder}");
    files
}

fn compare(path: &Path, found: &str) -> Option<String> {
    let golden = path.with_extension("golden");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, found).unwrap();
        return None;
    }
    let wanted = fs::read_to_string(&golden).unwrap_or_default();
    (wanted != found).then(|| format!("--- {} ---\n{found}", golden.display()))
}

/// Checks a script and renders all that comes of it.
pub fn check(name: &str, text: &str) -> (String, usize) {
    let source = SourceText::new(name, text);
    let check = Session::new(connectors()).check_script(&source);
    let mut found = render_all(&check.diagnostics, &source);
    let wrong = check.diagnostics.len();
    for job in &check.jobs {
        job.plan.validate().unwrap_or_else(|error| panic!("{name}: {error}\n{}", job.explain));
        // Only a file about it shows what is kept and advised, so that the others stay short.
        let shown = match name.starts_with("explain") {
            true => job.explain.as_str(),
            false => job.explain.split("\n== State ==").next().unwrap_or_default(),
        };
        found += &format!("job {}{}\n{}\n", job.name, if job.bounded { " (bounded)" } else { "" }, shown);
    }
    (found, wrong)
}

fn run(folder: &str, expects_errors: bool) {
    let mut different = Vec::new();
    for path in files(folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let (found, wrong) = check(&name, &text);
        assert_eq!(wrong > 0, expects_errors, "{}: {wrong} errors\n{found}", path.display());
        different.extend(compare(&path, &found));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn plans_are_as_they_were() {
    run("plans", false);
}

#[test]
fn messages_are_as_they_were() {
    run("errors", true);
}
