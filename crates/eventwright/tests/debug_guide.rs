//! The page about looking into a step: its job, its records, and what is shown, while the node runs and when it does not.

mod guide;

use guide::{Node, blocks, run};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/debug.md");

/// Times differ, and so do the numbers of steps: there are some without rows.
fn without_steps(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let job = first.split(", step").next().unwrap_or_default();
    let rest = lines.filter(|line| !line.starts_with("  run again from"));
    std::iter::once(job).chain(rest).fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_page_shows_what_a_step_did() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("totals.sql"), &blocks(GUIDE, "sql")[0]).unwrap();
    let command = "eventwright run totals.sql --data data --keep-running";
    let node = Node::start(folder, command, command);
    let commands = blocks(GUIDE, "sh");
    run(folder, &node.script(&commands[0]));
    // The others come when the first has been taken, so that there is something before them.
    let taken = "eventwright trace payments/0/0";
    node.run_until(folder, taken, |shown| shown.contains("totals/0/0"));
    run(folder, &node.script(&commands[1]));
    let wanted = &blocks(GUIDE, "text")[0];
    let command = "eventwright debug step --at totals/0/1";
    let shown = node.run_until(folder, command, |shown| !shown.is_empty());
    assert_eq!(without_steps(&shown), without_steps(wanted), "{shown}");

    let json = run(folder, &node.script(&format!("{command} --job totals --rows 1 -o json")));
    let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&answer["job"], &answer["is_same"]), (&"totals".into(), &true.into()), "{json}");
    assert_eq!(answer["inputs"][0]["shown"].as_array().unwrap().len(), 1, "{json}");
    let step = answer["step"].as_u64().unwrap();
    let known = run(folder, &node.script(&commands[2]));
    assert!(known.starts_with("job totals, whose last step is ") && known.contains("steps 1 to "), "{known}");
    for (command, problem) in [
        (
            "debug step 99999 --job totals",
            "step 99999 of job 'totals' cannot be run again (steps that can: 1 to ",
        ),
        ("debug step 1 --job total", "there is no job 'total'"),
        (
            "debug step --at totals/0/1 --job other",
            "no step of job 'other' is known that wrote or took totals/0/1",
        ),
        ("debug step --at totals", "write TOPIC/PARTITION/OFFSET"),
        ("debug step 1 --job totals --savepoint .", "is not in a folder for savepoints"),
    ] {
        let failed = guide::shell(folder, &node.script(&format!("eventwright {command}"))).output().unwrap();
        let error = String::from_utf8_lossy(&failed.stderr);
        assert!(!failed.status.success() && error.contains(problem), "{command}: {error}");
    }

    // The same of the directory alone.
    drop(node);
    let of_directory = commands[3].replace("step 2", &format!("step {step}"));
    let shown = run(folder, &of_directory);
    assert_eq!(without_steps(&shown), without_steps(wanted), "{shown}");
    let at = run(folder, "eventwright debug step --at totals/0/1 --data data --file totals.sql");
    assert_eq!(without_steps(&at), without_steps(wanted));
    let failed = guide::shell(folder, "eventwright debug step 1 --job totals --data data").output().unwrap();
    let error = String::from_utf8_lossy(&failed.stderr);
    assert!(error.contains("name the job's Flink SQL file by --file FILE"), "{error}");
}
