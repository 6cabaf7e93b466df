//! The rules find what they are for, and nothing in a clean crate.

use super::*;

fn names(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn dependencies_are_read_without_those_of_tests() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nbase.workspace = true\n# why\nos = { path = \"../os\" }\n\n\
                    [dev-dependencies]\ntestkit.workspace = true\n\n[target.'cfg(unix)'.dependencies]\nstate.workspace = true\n";
    assert_eq!(dependencies(manifest), names(&["base", "os", "state"]));
}

#[test]
fn an_import_against_the_floors_is_found() {
    let house = names(&["base", "broker", "sql", "connectors", "eventwright"]);
    assert!(wrong_imports("sql", &names(&["base", "chrono"]), &house).is_empty());
    assert_eq!(wrong_imports("sql", &names(&["connectors"]), &house).len(), 1);
    assert_eq!(wrong_imports("base", &names(&["broker"]), &house).len(), 1);
    assert_eq!(wrong_imports("unheard-of", &[], &house).len(), 1);
    assert!(wrong_imports("eventwright", &house[..4], &house).is_empty());
}

#[test]
fn long_files_are_found_unless_generated() {
    let long = "x\n".repeat(FILE_LINES_MAX + 1);
    let files = vec![
        (PathBuf::from("a.rs"), format!("//! Generated from the message facts.\n{long}")),
        (PathBuf::from("b.rs"), format!("//! Written.\n{long}")),
        (PathBuf::from("c.rs"), "use std::fs;\n".to_owned()),
    ];
    let found = lengths(&files).unwrap();
    assert!(found.len() == 1 && found[0].starts_with("b.rs"), "{found:?}");
    let found = first_lines(&files).unwrap();
    assert!(found.len() == 1 && found[0].starts_with("c.rs"), "{found:?}");
}

#[test]
fn what_a_trial_left_at_the_top_is_found() {
    let paths = ["README.md", "crates/base/src/lib.rs", "data2/log/format", "data2/log/lock", "c.py"]
        .map(str::to_owned);
    let found = left_lying(&paths);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("c.py: ") && found[1].starts_with("data2: "), "{found:?}");
}
