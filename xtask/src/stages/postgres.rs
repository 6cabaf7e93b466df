//! The stage at a real PostgreSQL: lookups of every type, both ways to log in, sinks, and what goes wrong.

mod sinks;

use anyhow::{Context, Result};

use crate::counts::Counts;
use crate::postgres::{OLD_USER, PASSWORD, Postgres, SECURED_USER, USER};
use crate::{node, peers, places};

const FOLDER: &str = "tests/postgres";
const LOOKUP: &str = "lookup.sql";

/// Runs the files and counts one check for each run.
pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let folder = tempfile::tempdir()?;
    let read = |name: &str| {
        let path = places::root().join(FOLDER).join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read file={}", path.display()))
    };
    for name in [LOOKUP, "visits.csv", "keys.sql", "keys.json"] {
        std::fs::write(folder.path().join(name), read(name)?)?;
    }
    let postgres = Postgres::start(&folder.path().join("postgres.log"))?;
    postgres.psql("shop", &read("shops.sql")?)?;
    let url = format!("jdbc:postgresql://127.0.0.1:{}/shop", postgres.port);
    // What it prints, and what it says.
    let job_at =
        |url: &str, file: &str, who: &str, password: &str, number: usize| -> Result<(String, String)> {
            let mut command = node::command()?;
            command.current_dir(folder.path()).args(["run", file, "--kafka", "127.0.0.1:0"]);
            for variable in [format!("URL={url}"), format!("WHO={who}"), format!("PASSWORD={password}")] {
                command.args(["--var", &variable]);
            }
            let output = command.arg("--data").arg(folder.path().join(format!("data-{number}"))).output()?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok((text(&output.stdout), text(&output.stderr)))
        };
    let job =
        |file: &str, who: &str, password: &str, number: usize| job_at(&url, file, who, password, number);
    let mut counts = Counts::default();
    let mut check = |name: &str, differs: Option<String>| match differs {
        None => counts.pass(),
        Some(what) => counts.fail(format!("postgres: {name}: {what}")),
    };
    let whole =
        [(LOOKUP, "expected.txt", USER), (LOOKUP, "expected.txt", OLD_USER), ("keys.sql", "keys.txt", USER)];
    for (number, (file, expected, who)) in whole.into_iter().enumerate() {
        let (printed, said) = job(file, who, PASSWORD, number)?;
        let differs = last_of_each(&printed) != last_of_each(&read(expected)?);
        check(&format!("{file} as {who}"), differs.then(|| format!("it printed\n{printed}{said}")));
    }
    let (authority, other) = postgres.certificates();
    let over_tls = |authority: &std::path::Path, host: &str| {
        let url = url.replace("127.0.0.1", host);
        format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display())
    };
    let (printed, said) = job_at(&over_tls(&authority, "127.0.0.1"), LOOKUP, SECURED_USER, PASSWORD, 6)?;
    let differs = last_of_each(&printed) != last_of_each(&read("expected.txt")?);
    check("over TLS", differs.then(|| format!("it printed\n{printed}{said}")));
    let mut told = |name: &str, said: String, part: &str| {
        check(name, (!said.contains(part)).then_some(said));
    };
    told("wrong password", job(LOOKUP, USER, "wrong", 3)?.1, "password authentication failed for user");
    told("TLS is left out", job(LOOKUP, SECURED_USER, PASSWORD, 7)?.1, "no encryption");
    let untrusted = "TLS with the server failed";
    let foreign = over_tls(&other, "127.0.0.1");
    told("another authority", job_at(&foreign, LOOKUP, SECURED_USER, PASSWORD, 8)?.1, untrusted);
    let named = over_tls(&authority, "localhost");
    told("another name", job_at(&named, LOOKUP, SECURED_USER, PASSWORD, 9)?.1, untrusted);
    postgres.psql("shop", "ALTER TABLE stock ALTER COLUMN pieces TYPE text")?;
    told(
        "wrong type",
        job(LOOKUP, USER, PASSWORD, 4)?.1,
        "the column 'pieces' is declared INT and is text; declare it as it is there",
    );
    postgres.psql("shop", "ALTER TABLE stock DROP COLUMN pieces")?;
    told(
        "missing column",
        job(LOOKUP, USER, PASSWORD, 5)?.1,
        "column \"pieces\" does not exist (SQLSTATE 42703)",
    );
    drop(postgres);
    counts.add(sinks::run()?);
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
