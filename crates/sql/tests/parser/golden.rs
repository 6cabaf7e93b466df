//! Golden files: the text that a test produces is compared with a file; `UPDATE_GOLDEN=1` writes it.

use std::path::{Path, PathBuf};

/// The crate's folder in this checkout; what was built in another one and kept must not look there.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is").into()
}

pub fn directory(name: &str) -> PathBuf {
    package().join("tests").join(name)
}

/// Every file of a directory with this ending, in the order of their names, with its text.
pub fn files(directory: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), std::fs::read_to_string(&path).expect("a readable file")))
        .collect()
}

/// Compares with the file, or writes it.
pub fn check(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, actual).expect("the golden file can be written");
        return Ok(());
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    let line = expected.lines().zip(actual.lines()).take_while(|(left, right)| left == right).count();
    Err(format!(
        "{} differs in line {}; UPDATE_GOLDEN=1 accepts the new text\n  expected: {:?}\n  actual:   {:?}",
        path.display(),
        line + 1,
        expected.lines().nth(line).unwrap_or("(the end)"),
        actual.lines().nth(line).unwrap_or("(the end)"),
    ))
}
