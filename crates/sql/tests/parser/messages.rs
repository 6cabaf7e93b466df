//! What the user reads: every file of `tests/errors` holds statements, each followed by its messages.
//!
//! A file is a list of cases: a line `-- case: name`, the statement, a line `----`, the rendered messages.

use crate::golden;
use sql::diagnostic::render_all;
use sql::parser::parse_script;
use sql::source::SourceText;

#[test]
fn messages_are_as_recorded() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for (path, text) in golden::files(&golden::directory("errors"), ".txt") {
        let mut actual = String::new();
        for case in text.split("-- case: ").skip(1) {
            let (name, rest) = case.split_once('\n').expect("a case has a name");
            let statement =
                rest.split("\n----\n").next().expect("a case has a statement").trim_end_matches('\n');
            let lookup = |name: &str| (name == "TOPIC").then(|| "flights".to_string());
            let (source, mut diagnostics) = SourceText::with_variables("query.sql", statement, &lookup);
            if diagnostics.is_empty() {
                diagnostics = parse_script(&source).1;
            }
            assert!(!diagnostics.is_empty(), "{}: case `{name}` is accepted", path.display());
            cases += 1;
            let rendered = render_all(&diagnostics, &source);
            actual += &format!("-- case: {name}\n{statement}\n----\n{rendered}\n");
        }
        failures.extend(golden::check(&path, &actual).err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases >= 60, "only {cases} cases");
}
