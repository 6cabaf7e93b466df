//! Jobs that write to PostgreSQL: the example, kills of the node under rows that change, and refused rows. What every
//! connector must do is in `connectors`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use verify::Random;

use crate::counts::Counts;
use crate::golden::Results;
use crate::kill::{Conditions, Run, Subject};
use crate::postgres::{PASSWORD, Postgres, USER};
use crate::stages::{cargo, seed};
use crate::{node, places, process};

const EXAMPLE: &str = "examples/postgresql";
/// Written into two tables, and so counted, while nodes and servers come and go.
const ROWS: u64 = 12_000;
const KILLS: u64 = 40;
const LIMIT: Duration = Duration::from_secs(300);

const TARGETS: &str = "DROP TABLE IF EXISTS appended; DROP TABLE IF EXISTS latest; \
     CREATE TABLE appended (id bigint, name text, at timestamp DEFAULT now()); \
     CREATE TABLE latest (bucket bigint PRIMARY KEY, rows bigint, last bigint)";

/// `${SPEED}` rows come per second.
const JOB: &str = "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '${SPEED}', \
     'number-of-rows' = '12000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '11999');
CREATE TABLE appended (id BIGINT, name STRING) WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'appended',
  'username' = '${WHO}', 'password' = '${PASSWORD}');
CREATE TABLE latest (bucket BIGINT, `rows` BIGINT, `last` BIGINT, PRIMARY KEY (bucket) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'latest', 'username' = '${WHO}', 'password' = '${PASSWORD}');
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '100000';
SET 'restart-strategy.fixed-delay.delay' = '50 ms';
INSERT INTO appended SELECT id, 'number ' || CAST(id AS STRING) FROM numbers;
INSERT INTO latest SELECT id / 100, COUNT(*), MAX(id) FROM numbers GROUP BY id / 100;
";

const REFUSED: &str =
    "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1000',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '999');
CREATE TABLE small (id BIGINT) WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'small',
  'username' = '${WHO}', 'password' = '${PASSWORD}' ${LETTERS});
INSERT INTO small SELECT id FROM numbers;
";

/// Counts a check for each thing that was tried.
pub fn run() -> Result<Counts> {
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::start(&folder.path().join("postgres.log"))?;
    let given = format!("{} {USER} {PASSWORD}", postgres.port);
    let mut counts = cargo::test_program("postgres", ("EVENTWRIGHT_TEST_POSTGRES", &given))?;
    let mut check = |name: &str, result| counts.check(&format!("postgres: {name}"), result);
    std::fs::write(folder.path().join("job.sql"), JOB)?;
    std::fs::write(folder.path().join("refused.sql"), REFUSED)?;
    check("example", example(&postgres, folder.path()));
    check("refused rows", refused(&postgres, folder.path()));
    check("kills of the node", kills(&postgres, folder.path()));
    Ok(counts)
}

fn variables(postgres: &Postgres, others: &[(&str, &str)]) -> Vec<String> {
    let url = format!("jdbc:postgresql://127.0.0.1:{}/shop", postgres.port);
    let all = [("URL", url.as_str()), ("WHO", USER), ("PASSWORD", PASSWORD)];
    let all =
        all.iter().chain(others).flat_map(|(name, value)| ["--var".to_owned(), format!("{name}={value}")]);
    all.collect()
}

/// Runs a command of the binary to its end, and answers whether it succeeded and all that it said, which must not be the
/// password.
fn said(command: &mut Command) -> Result<(bool, String)> {
    let output = command.stdin(Stdio::null()).output()?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(!text.contains(PASSWORD), "the password was told:\n{text}");
    Ok((output.status.success(), text))
}

/// A topic into two tables, as it stands in the documentation.
fn example(postgres: &Postgres, folder: &Path) -> Result<()> {
    let files = places::root().join(EXAMPLE);
    postgres.psql("shop", &std::fs::read_to_string(files.join("shop.sql"))?)?;
    let variables = variables(postgres, &[]);
    let (_, plan) =
        said(node::command()?.current_dir(&files).args(["explain", "orders.sql"]).args(&variables))?;
    let guarantee = "(jdbc: exactly once (outbox; rows and offset in one transaction))";
    ensure!(plan.matches(guarantee).count() == 2, "the plans promise something else:\n{plan}");
    let mut run = node::command()?;
    run.current_dir(&files).args(["run", "orders.sql", "--kafka", "127.0.0.1:0"]).args(&variables);
    let (succeeded, text) = said(run.arg("--data").arg(folder.join("example")))?;
    ensure!(succeeded, "it failed: {text}");
    let read = |sql: &str| postgres.psql("shop", sql);
    let totals = read("COPY (SELECT * FROM totals ORDER BY shop) TO STDOUT")?;
    ensure!(
        totals == "Kiel\t2\t24.50\t2026-03-01 10:00:03\nUlm\t2\t30.00\t2026-03-01 10:00:04.5\n",
        "{totals}"
    );
    let orders = read(
        "COPY (SELECT count(*), count(DISTINCT id), sum((details->>'pieces')::int) FROM orders) TO STDOUT",
    )?;
    ensure!(orders == "4\t4\t9\n", "{orders}");
    Ok(())
}

/// Rows that the table does not take fail the job, or go to a topic.
fn refused(postgres: &Postgres, folder: &Path) -> Result<()> {
    // The tests of the crate have left one of their own.
    postgres
        .psql("shop", "DROP TABLE IF EXISTS small; CREATE TABLE small (id smallint CHECK (id % 100 <> 7))")?;
    let run = |letters: &str, data: &str| -> Result<(bool, String)> {
        let mut command = node::command()?;
        command.current_dir(folder).args(["run", "refused.sql", "--kafka", "127.0.0.1:0"]);
        command.args(variables(postgres, &[("LETTERS", letters)]));
        said(command.arg("--data").arg(folder.join(data)))
    };
    let (succeeded, text) = run("", "refused-1")?;
    let told = "violates check constraint \"small_id_check\" (SQLSTATE 23514); the row is (id=7)";
    ensure!(!succeeded && text.contains(told), "it did not fail as it should: {text}");
    let (succeeded, text) = run(", 'dead-letter.topic' = 'refused'", "refused-2")?;
    ensure!(succeeded, "it failed: {text}");
    let found = postgres.psql("shop", "COPY (SELECT count(*), count(DISTINCT id) FROM small) TO STDOUT")?;
    ensure!(found == "990\t990\n", "{found}");
    let node = node::start(&folder.join("refused-2"), &folder.join("node.log"))?;
    let mut consume = node::command()?;
    consume.args(["topic", "consume", "refused", "-b", &node.bootstrap]);
    let letters = process::output(&mut consume, LIMIT);
    node.stop()?;
    let letters = letters?;
    ensure!(letters.lines().count() == 10 && letters.contains("{\"id\":907}"), "{letters}");
    Ok(())
}

fn results(postgres: &Postgres) -> Result<Results> {
    let rows = |sql: &str| -> Result<Vec<String>> {
        let found = postgres.psql("shop", &format!("COPY ({sql}) TO STDOUT"))?;
        Ok(found.lines().map(str::to_owned).collect())
    };
    let mut results = Results::new();
    let appended = "SELECT count(*), count(DISTINCT id), sum(id) FROM appended";
    results.insert("appended".into(), rows(appended)?);
    results.insert("latest".into(), rows("SELECT count(*), sum(rows), sum(last) FROM latest")?);
    Ok(results)
}

fn expected() -> Results {
    let buckets = ROWS / 100;
    let last: u64 = (0..buckets).map(|bucket| bucket * 100 + 99).sum();
    let appended = format!("{ROWS}\t{ROWS}\t{}", ROWS * (ROWS - 1) / 2);
    Results::from([
        ("appended".into(), vec![appended]),
        ("latest".into(), vec![format!("{buckets}\t{ROWS}\t{last}")]),
    ])
}

/// The node is killed in and between commits of its own and of the database.
fn kills(postgres: &Postgres, folder: &Path) -> Result<()> {
    let seed = seed();
    let mut random = Random(seed);
    let (mut kills, mut runs) = (0, 0);
    let folder = Rc::new(folder.to_owned());
    let link = Rc::clone(&folder);
    let port = postgres.port;
    let arguments = [vec!["job.sql".to_owned()], variables(postgres, &[("SPEED", "1000000000")])].concat();
    let subject = Subject {
        name: "postgres".into(),
        arguments,
        topics: Vec::new(),
        prepare: Box::new(move |run| {
            std::fs::create_dir_all(run)?;
            std::fs::copy(link.join("job.sql"), run.join("job.sql")).context("no job")?;
            Ok(())
        }),
        collect: Box::new(move |_, _| bail!("the results lie in the server at port={port}")),
        expected: Results::new(),
    };
    while kills < KILLS {
        runs += 1;
        postgres.psql("shop", TARGETS)?;
        let path = folder.join(format!("kills-{runs}"));
        let run = Run::new(&subject, &path, Conditions::default())?;
        kills += run.until_done(&mut random).with_context(|| format!("seed={seed} run={runs}"))?.len() as u64;
        let found = results(postgres)?;
        ensure!(found == expected(), "seed={seed} run={runs}: {found:?} instead of {:?}", expected());
        std::fs::remove_dir_all(&path)?;
    }
    println!("postgres: {kills} kills of the node in {runs} runs, nothing lost and nothing twice");
    Ok(())
}
