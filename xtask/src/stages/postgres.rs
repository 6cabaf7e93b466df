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
    let job = |who: &str, password: &str, number: usize| {
        let variables = [format!("URL={url}"), format!("WHO={who}"), format!("PASSWORD={password}")];
        let mut options: Vec<&str> = Vec::new();
        variables.iter().for_each(|variable| options.extend(["--var", variable]));
        node::run_with("lookup.sql", &folder.path().join(format!("data-{number}")), folder.path(), &options)
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
        let printed = job(who, PASSWORD, number)?;
        check(
            who,
            (last_of_each(&printed) != last_of_each(&expected)).then(|| format!("it printed\n{printed}")),
        );
    }
    let failure =
        |result: Result<String>| result.err().map_or_else(String::new, |error| format!("{error:#}"));
    let told =
        |name: &str, text: String, part: &str| (name.to_owned(), (!text.contains(part)).then_some(text));
    let mut told_all = vec![told(
        "wrong password",
        failure(job(USER, "wrong", 2)),
        "password authentication failed for user",
    )];
    postgres.psql("shop", "ALTER TABLE stock ALTER COLUMN pieces TYPE text")?;
    told_all.push(told(
        "wrong type",
        failure(job(USER, PASSWORD, 3)),
        "the column 'pieces' is declared INT and is text; declare it as it is there",
    ));
    postgres.psql("shop", "ALTER TABLE stock DROP COLUMN pieces")?;
    told_all.push(told(
        "missing column",
        failure(job(USER, PASSWORD, 4)),
        "column \"pieces\" does not exist (SQLSTATE 42703)",
    ));
    for (name, differs) in told_all {
        check(&name, differs);
    }
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
