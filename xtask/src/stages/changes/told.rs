//! What a job says, and does, when the server, its tables or its slot are not as they should be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{log_of, start, wait_for};
use crate::postgres::Postgres;

const LIMIT: Duration = Duration::from_secs(60);

const TABLES: &str = "CREATE TABLE shapes (id int PRIMARY KEY, size int, name text); \
     ALTER TABLE shapes REPLICA IDENTITY FULL; INSERT INTO shapes VALUES (1, 10, 'round'), (2, 20, 'square'); \
     CREATE TABLE copied_shapes (id int PRIMARY KEY, size int, name text); \
     CREATE TABLE bare (id int PRIMARY KEY, size int, name text); \
     CREATE TABLE keyless (id int, size int, name text); ALTER TABLE keyless REPLICA IDENTITY FULL; \
     CREATE PUBLICATION foreign_one FOR TABLE bare";

/// A table `shapes` with these options and columns, copied.
struct Job<'a> {
    table: &'a str,
    columns: &'a str,
    slot: &'a str,
    options: &'a str,
    password: &'a str,
}

const SHAPES: Job<'static> = Job {
    table: "shapes",
    columns: "id INT, size INT, name STRING",
    slot: "shapes",
    options: "",
    password: "${PASSWORD}",
};

impl Job<'_> {
    /// Writes it into a folder of its own.
    fn place(&self, scratch: &Path, name: &str) -> Result<PathBuf> {
        let Job { table, columns, slot, options, password } = self;
        let folder = scratch.join(name);
        std::fs::create_dir(&folder)?;
        let text = format!(
            "SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '30';
SET 'restart-strategy.fixed-delay.delay' = '100 ms';
CREATE TABLE shapes ({columns}, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '${{PORT}}', 'username' = '${{WHO}}',
  'password' = '{password}', 'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = '{table}',
  'slot.name' = '{slot}' {options});
CREATE TABLE copied (id INT, size INT, name STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = '${{URL}}', 'table-name' = 'copied_shapes', 'username' = '${{WHO}}',
  'password' = '${{PASSWORD}}', 'sink.buffer-flush.interval' = '0 s', 'sink.buffer-flush.max-rows' = '1');
INSERT INTO copied SELECT id, CAST(size AS INT), name FROM shapes;
"
        );
        std::fs::write(folder.join("job.sql"), text)?;
        Ok(folder)
    }
}

/// Runs a job that must end by itself and say so.
fn fails(postgres: &Postgres, folder: &Path, part: &str) -> Result<()> {
    let status = start(postgres, folder)?.wait(LIMIT)?;
    let said = log_of(folder);
    ensure!(
        !status.success() && said.contains(part),
        "it ended with {status} and not with '{part}':\n{said}"
    );
    Ok(())
}

pub(super) fn run(
    postgres: &mut Postgres,
    scratch: &Path,
    check: &mut dyn FnMut(&str, Result<()>),
) -> Result<()> {
    postgres.psql("shop", TABLES)?;
    let wrong: [(&str, Job<'_>, &str); 7] = [
        ("wrong password", Job { password: "wrong", ..SHAPES }, "password authentication failed"),
        (
            "the row as it was is not told",
            Job { table: "bare", ..SHAPES },
            "REPLICA IDENTITY FULL, or read it with",
        ),
        ("no key", Job { table: "keyless", ..SHAPES }, "has no primary key"),
        ("no table", Job { table: "nowhere", ..SHAPES }, "no table of the database matches"),
        (
            "no column",
            Job { columns: "id INT, size INT, nam STRING, name STRING", ..SHAPES },
            "has no column \"nam\"; did you mean 'name'?",
        ),
        (
            "wrong type",
            Job { columns: "id INT, size BOOLEAN, name STRING", ..SHAPES },
            "is declared BOOLEAN and is integer; declare it as it is there, or STRING",
        ),
        (
            "publication without the table",
            Job { options: ", 'publication.name' = 'foreign_one'", ..SHAPES },
            "ALTER PUBLICATION \"foreign_one\" ADD TABLE \"public\".\"shapes\"",
        ),
    ];
    for (number, (name, job, part)) in wrong.into_iter().enumerate() {
        let folder = job.place(scratch, &format!("wrong-{number}"));
        check(name, folder.and_then(|folder| fails(postgres, &folder, part)));
    }
    check("wal_level", wal_level(postgres, scratch));
    check("a server that is away", away(postgres, scratch));
    check("tables that change their shape", changed(postgres, scratch));
    check("truncated", truncated(postgres, scratch));
    check("slots that are gone or moved", lost(postgres, scratch));
    Ok(())
}

fn wal_level(postgres: &mut Postgres, scratch: &Path) -> Result<()> {
    postgres.run("ALTER SYSTEM SET wal_level = 'replica'")?;
    postgres.restart("fast")?;
    let failed = fails(postgres, &SHAPES.place(scratch, "wal-level")?, "must set wal_level = logical");
    postgres.run("ALTER SYSTEM RESET wal_level")?;
    postgres.restart("fast")?;
    failed
}

/// The job begins while there is no server, and reads when it comes. Another job on its slot is refused.
fn away(postgres: &mut Postgres, scratch: &Path) -> Result<()> {
    let folder = SHAPES.place(scratch, "away")?;
    postgres.stop("fast")?;
    let mut running = start(postgres, &folder)?;
    postgres.serve()?;
    wait_for(postgres, &folder, "SELECT sum(size) FROM copied_shapes", "30")?;
    let second = Job { options: ", 'scan.startup.mode' = 'latest-offset'", ..SHAPES };
    let second = second.place(scratch, "second")?;
    let text = std::fs::read_to_string(second.join("job.sql"))?;
    let once = text.replace("'restart-strategy.type' = 'fixed-delay'", "'restart-strategy.type' = 'none'");
    std::fs::write(second.join("job.sql"), once)?;
    fails(postgres, &second, "the slot 'shapes' is being read")?;
    postgres.psql("shop", "INSERT INTO shapes VALUES (3, 30, 'flat')")?;
    wait_for(postgres, &folder, "SELECT sum(size) FROM copied_shapes", "60")?;
    running.stop(LIMIT).map(drop)
}

/// New columns are passed over, lost ones are NULL, values that do not fit become dead letters, types that cannot fit are
/// told.
fn changed(postgres: &mut Postgres, scratch: &Path) -> Result<()> {
    postgres.psql("shop", "DELETE FROM copied_shapes")?;
    let job = Job { slot: "changed", options: ", 'dead-letter.topic' = 'unread'", ..SHAPES };
    let folder = job.place(scratch, "changed")?;
    let mut running = start(postgres, &folder)?;
    wait_for(postgres, &folder, "SELECT count(*) FROM copied_shapes", "3")?;
    postgres.psql(
        "shop",
        "ALTER TABLE shapes ADD COLUMN colour text DEFAULT 'red'; INSERT INTO shapes VALUES (4, 40, 'x', 'blue'); \
         ALTER TABLE shapes ALTER size TYPE bigint; \
         INSERT INTO shapes VALUES (5, 5000000000, 'huge', 'blue'), (6, 60, 'y', 'blue'); \
         UPDATE shapes SET size = 50 WHERE id = 5; \
         ALTER TABLE shapes DROP COLUMN name; INSERT INTO shapes VALUES (7, 70, 'green')",
    )?;
    let found = "SELECT string_agg(id || ':' || size || ':' || coalesce(name, '-'), ' ' ORDER BY id) FROM copied_shapes";
    wait_for(postgres, &folder, found, "1:10:round 2:20:square 3:30:flat 4:40:x 5:50:huge 6:60:y 7:70:-")?;
    running.stop(LIMIT)?;
    postgres
        .psql("shop", "ALTER TABLE shapes ALTER size TYPE text; INSERT INTO shapes VALUES (8, 'wide')")?;
    let told = "the column 'size' of the table public.shapes is declared INT and is text";
    fails(postgres, &folder, told)
}

fn truncated(postgres: &mut Postgres, scratch: &Path) -> Result<()> {
    postgres.psql(
        "shop",
        "DELETE FROM copied_shapes; TRUNCATE shapes; ALTER TABLE shapes ADD COLUMN name text; \
         ALTER TABLE shapes ALTER size TYPE int USING 1; INSERT INTO shapes (id, size) VALUES (1, 10)",
    )?;
    let one = Job { slot: "truncated", ..SHAPES };
    let folder = one.place(scratch, "truncated")?;
    let mut running = start(postgres, &folder)?;
    wait_for(postgres, &folder, "SELECT count(*) FROM copied_shapes", "1")?;
    postgres.psql("shop", "TRUNCATE shapes; INSERT INTO shapes (id, size) VALUES (2, 20)")?;
    let status = running.wait(LIMIT)?;
    let said = log_of(&folder);
    ensure!(!status.success() && said.contains("public.shapes was truncated"), "{said}");
    // The rows stay, and those that follow come.
    let other = Job {
        slot: "truncated",
        options: ", 'truncate.handling.mode' = 'skip', 'scan.startup.mode' = 'committed-offset'",
        ..SHAPES
    };
    let folder = other.place(scratch, "skipped")?;
    let mut running = start(postgres, &folder)?;
    wait_for(postgres, &folder, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM copied_shapes", "1 2")?;
    running.stop(LIMIT).map(drop)
}

/// A slot that somebody moved or dropped has lost changes, and the job says so.
fn lost(postgres: &mut Postgres, scratch: &Path) -> Result<()> {
    postgres.psql("shop", "DELETE FROM copied_shapes")?;
    let job = Job { slot: "lost", ..SHAPES };
    let folder = job.place(scratch, "lost")?;
    let mut running = start(postgres, &folder)?;
    wait_for(postgres, &folder, "SELECT count(*) FROM copied_shapes", "1")?;
    running.stop(LIMIT)?;
    postgres.psql(
        "shop",
        "INSERT INTO shapes (id, size) VALUES (3, 30); SELECT pg_replication_slot_advance('lost', pg_current_wal_lsn())",
    )?;
    fails(postgres, &folder, "the slot 'lost' stands at ")?;
    postgres.psql("shop", "SELECT pg_drop_replication_slot('lost')")?;
    fails(postgres, &folder, "the slot 'lost' is gone, so changes are lost")
}
