//! SQLite: a file in the trial's folder, whose tables are written, and read by a key that counts up. It hangs while somebody else holds its lock.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rusqlite::Connection;

use super::outside::{Direction, KEYS, Outside, Place, REFUSED, text};

const TABLE: &str = "numbers";

#[derive(Default)]
pub struct Sqlite {
    /// The database of the last trial.
    path: PathBuf,
    /// Who holds the lock.
    holder: Option<Connection>,
}

impl Sqlite {
    fn make(&mut self, place: &Place, columns: &str) -> Result<()> {
        self.path = path(place);
        Connection::open(&self.path)?.execute_batch(&format!("CREATE TABLE {TABLE} ({columns})"))?;
        Ok(())
    }
}

fn insert(place: &Place, rows: &str) -> Result<()> {
    let database = Connection::open(path(place))?;
    // The job looks at it now and then.
    database.busy_timeout(super::trial::LIMIT)?;
    Ok(database.execute_batch(&format!("INSERT INTO {TABLE} (k, n) VALUES {rows}"))?)
}

fn path(place: &Place) -> PathBuf {
    place.folder.join("numbers.db")
}

impl Outside for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn connector(&self) -> &'static str {
        "jdbc"
    }

    fn version(&self) -> Result<String> {
        Ok(format!("SQLite {}", rusqlite::version()))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, _direction: Direction, case: &str) -> Option<&'static str> {
        match case {
            "away at start" | "away meanwhile" => {
                Some("a database in a file has no server that could be away")
            }
            "slow" | "flapping" => Some("there is no network in between"),
            "credentials" | "rotated" => Some("there are no users"),
            _ => None,
        }
    }

    fn has_server(&self) -> bool {
        false
    }

    fn freeze(&mut self) -> Result<()> {
        let holder = Connection::open(&self.path)?;
        // The job writes at most for a moment.
        holder.busy_timeout(super::trial::LIMIT)?;
        holder.execute_batch("BEGIN EXCLUSIVE")?;
        self.holder = Some(holder);
        Ok(())
    }

    fn thaw(&mut self) -> Result<()> {
        let holder = self.holder.take().context("nobody holds the lock")?;
        Ok(holder.execute_batch("COMMIT")?)
    }

    fn prepare(&mut self, place: &Place, direction: Direction) -> Result<()> {
        self.make(
            place,
            match direction {
                Direction::Source => "id INTEGER PRIMARY KEY AUTOINCREMENT, k INTEGER, n INTEGER",
                Direction::Sink => "k INTEGER, n INTEGER",
            },
        )
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let more = match direction {
            Direction::Source => "'scan.incrementing.column' = 'id', 'scan.poll-interval' = '100 ms'",
            Direction::Sink => "'sink.buffer-flush.interval' = '100 ms', 'sink.max-retries' = '0'",
        };
        let path = text(&path(place));
        format!("'connector' = 'jdbc', 'url' = 'jdbc:sqlite:{path}', 'table-name' = '{TABLE}', {more}")
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let rows: Vec<String> = numbers.map(|n| format!("({}, {n})", n % KEYS)).collect();
        insert(place, &rows.join(","))
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        insert(place, "(1, 'none')")?;
        let row = "{\"k\":\"1\",\"n\":\"none\"}";
        let letter =
            format!("{{\"kind\":\"+I\",\"schema\":\"\",\"table\":\"{TABLE}\",\"ts_ms\":0,\"row\":{row}}}");
        Ok(letter.into_bytes())
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let database = Connection::open(path(place))?;
        database.busy_timeout(super::trial::LIMIT)?;
        let mut rows = database.prepare(&format!("SELECT n FROM {TABLE} ORDER BY rowid"))?;
        let numbers = rows.query_map([], |row| row.get::<_, i64>(0))?;
        Ok(numbers.map(|n| n.map(|n| n as u64)).collect::<std::result::Result<_, _>>()?)
    }

    fn refuse(&mut self, place: &Place) -> Result<()> {
        Connection::open(path(place))?.execute_batch(&format!("DROP TABLE {TABLE}"))?;
        self.make(place, &format!("k INTEGER, n INTEGER CHECK (n <> {REFUSED})"))
    }

    fn mismatch(&mut self, place: &Place, _direction: Direction) -> Result<String> {
        self.make(place, "k INTEGER")?;
        Ok("column 'n'".to_owned())
    }
}
