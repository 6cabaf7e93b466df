//! The table of `docs/guide/bad-inputs.md` names tests that are there.

use std::path::Path;

#[test]
fn every_test_of_the_table_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/guide/bad-inputs.md")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")).collect();
    assert!(rows.len() > 20);
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit_once(" | ").unwrap().1;
        let mut named = 0;
        let mut source = String::new();
        for name in tests.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                source = std::fs::read_to_string(root.join(name))
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            } else {
                let is_there = ["", "    "].iter().any(|indent| {
                    let test = format!("#[test]\n{indent}fn {name}()");
                    let in_virtual_time =
                        format!("#[tokio::test(start_paused = true)]\n{indent}async fn {name}()");
                    source.contains(&test) || source.contains(&in_virtual_time)
                });
                assert!(is_there, "there is no test {name}: {row}");
                named += 1;
            }
        }
        assert!(named > 0, "no test is named: {row}");
    }
}
