//! The stage that looks rows up in a real PostgreSQL: every type, both ways to log in, and what goes wrong.

use anyhow::{Context, Result};

use crate::clients::Counts;
use crate::postgres::{OLD_USER, PASSWORD, Postgres, USER};
use crate::{node, peers, places};

const FOLDER: &str = "tests/postgres";

/// Runs the files and counts one check for each run.
pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let folder = tempfile::tempdir()?;
    let read = |name: &str| {
        let path = places::root().join(FOLDER).join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read file={}", path.display()))
    };
    for name in ["lookup.sql", "visits.csv"] {
        std::fs::write(folder.path().join(name), read(name)?)?;
    }
    let postgres = Postgres::start(&folder.path().join("postgres.log"))?;
    postgres.psql("shop", &read("shops.sql")?)?;
    let url = format!("jdbc:postgresql://127.0.0.1:{}/shop", postgres.port);
    let expected = read("expected.txt")?;
    // What it prints, and what it says.
    let job = |who: &str, password: &str, number: usize| -> Result<(String, String)> {
        let mut command = node::command()?;
        command.current_dir(folder.path()).args(["run", "lookup.sql", "--kafka", "127.0.0.1:0"]);
        for variable in [format!("URL={url}"), format!("WHO={who}"), format!("PASSWORD={password}")] {
            command.args(["--var", &variable]);
        }
        let output = command.arg("--data").arg(folder.path().join(format!("data-{number}"))).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&output.stdout), text(&output.stderr)))
    };
    let mut counts = Counts::default();
    let mut check = |name: &str, differs: Option<String>| match differs {
        None => counts.passed += 1,
        Some(what) => {
            counts.failed += 1;
            println!("postgres: {name}: {what}");
        }
    };
    for (number, who) in [USER, OLD_USER].into_iter().enumerate() {
        let (printed, _) = job(who, PASSWORD, number)?;
        check(
            who,
            (last_of_each(&printed) != last_of_each(&expected)).then(|| format!("it printed\n{printed}")),
        );
    }
    let mut told = |name: &str, said: String, part: &str| {
        check(name, (!said.contains(part)).then_some(said));
    };
    told("wrong password", job(USER, "wrong", 2)?.1, "password authentication failed for user");
    postgres.psql("shop", "ALTER TABLE stock ALTER COLUMN pieces TYPE text")?;
    told(
        "wrong type",
        job(USER, PASSWORD, 3)?.1,
        "the column 'pieces' is declared INT and is text; declare it as it is there",
    );
    postgres.psql("shop", "ALTER TABLE stock DROP COLUMN pieces")?;
    told("missing column", job(USER, PASSWORD, 4)?.1, "column \"pieces\" does not exist (SQLSTATE 42703)");
    Ok(counts)
}

/// Printed rows without the changes that steps may fold away: the last one of each id, and all of the first job.
fn last_of_each(printed: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for line in printed.lines().filter(|line| !line.starts_with("-U")) {
        let row = line.replacen("+U", "+I", 1);
        let is_count = |row: &str| row.matches(',').count() == 2;
        let id = row.split(',').next().unwrap_or_default().to_owned();
        if is_count(&row) {
            rows.retain(|other| !is_count(other) || other.split(',').next() != Some(&id));
        }
        rows.push(row);
    }
    rows
}
