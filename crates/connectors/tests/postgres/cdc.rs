//! Feeds of `postgres-cdc`: what is read of keys, of large rows and of columns that are gone meanwhile.

use crate::server::{Server, server};
use arrow_schema::{DataType, Field, Schema};
use base::ErrorKind;
use connectors::Connectors;
use dataflow::feed::{Feed, FeedRecord, FeedRequest, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use os::Os;
use std::sync::Arc;

/// What a haul may hold beside its last row.
const HAUL_BYTES_MAX: usize = 8 << 20;
const POLLS_MAX: usize = 500;

/// A feed over a table of the server, with a slot of its own that goes with it.
struct Fed {
    server: Server,
    slot: String,
    feed: Option<Box<dyn Feed>>,
}

impl Fed {
    /// Columns are the name, and whether it may be NULL; all are texts but the first, `id`, by which rows are known.
    fn new(name: &str, columns: &[(&str, bool)], options: &[(&str, &str)]) -> Fed {
        let server = server();
        let mut all = vec![
            ("connector", "postgres-cdc"),
            ("hostname", "127.0.0.1"),
            ("port", server.port.as_str()),
            ("username", server.user.as_str()),
            ("password", server.password.as_str()),
            ("database-name", "shop"),
            ("schema-name", "public"),
            ("table-name", name),
            ("slot.name", name),
            ("publication.name", name),
            ("changelog-mode", "upsert"),
        ];
        all.extend_from_slice(options);
        let id = Field::new("id", DataType::Int64, false);
        let others = columns.iter().map(|(name, nullable)| Field::new(*name, DataType::Utf8, *nullable));
        let table = Arc::new(TableDefinition {
            name: "t".into(),
            schema: Arc::new(Schema::new(std::iter::once(id).chain(others).collect::<Vec<_>>())),
            metadata: Vec::new(),
            primary_key: vec!["id".into()],
            partition_keys: Vec::new(),
            options: all.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        });
        let connectors = connectors::table(Connectors { os: Os::real(), log: None });
        let request = FeedRequest { table, identity: "cdc".into() };
        let feed = connectors.find("postgres-cdc").unwrap().feed(request).unwrap();
        Fed { server, slot: name.into(), feed: Some(feed) }
    }

    fn feed(&mut self) -> &mut dyn Feed {
        &mut **self.feed.as_mut().unwrap()
    }

    /// Hauls until so many records have come.
    fn hauls(&mut self, records: usize) -> Result<Vec<Haul>, SourceError> {
        let mut hauls: Vec<Haul> = Vec::new();
        let mut came = 0;
        for _ in 0..POLLS_MAX {
            if came >= records {
                return Ok(hauls);
            }
            let haul = self.feed().poll(100)?;
            came += haul.records.len();
            hauls.push(haul);
        }
        panic!("{came} records came, and not {records}");
    }

    /// Takes the haul of the position with which it begins.
    fn begun(&mut self) {
        self.feed().open(None).unwrap();
        assert!(self.feed().poll(0).unwrap().position.is_some());
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        // The server ends what reads the slot when the connection is gone.
        self.feed = None;
        let slot = &self.slot;
        let end = format!(
            "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots \
             WHERE slot_name = '{slot}' AND active_pid IS NOT NULL"
        );
        self.server.run(&end);
        self.server.run(&format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'"
        ));
    }
}

fn bytes(records: &[FeedRecord]) -> usize {
    records.iter().map(|record| record.value.as_ref().map_or(0, Vec::len)).sum()
}

fn all(hauls: Vec<Haul>) -> Vec<Vec<u8>> {
    hauls.into_iter().flat_map(|haul| haul.records).filter_map(|record| record.value).collect()
}

#[test]
fn columns_that_a_key_only_includes_are_not_of_the_key() {
    let server = server();
    server.run(
        "CREATE TABLE cdc_included (name text, id bigint, PRIMARY KEY (id) INCLUDE (name)); \
         INSERT INTO cdc_included VALUES ('one', 1), (NULL, 2), ('three', 3)",
    );
    let mut fed = Fed::new("cdc_included", &[("name", true)], &[]);
    fed.begun();
    assert_eq!(all(fed.hauls(3).unwrap()).len(), 3);
}

#[test]
fn large_rows_behind_small_ones_come_in_hauls_that_fit_a_frame() {
    const ROW_BYTES: usize = 100_000;
    let server = server();
    server.run(&format!(
        "CREATE TABLE cdc_large (id bigint PRIMARY KEY, body text); \
         INSERT INTO cdc_large SELECT n, CASE WHEN n <= 100 THEN 'small' ELSE repeat('x', {ROW_BYTES}) END \
         FROM generate_series(1, 400) n"
    ));
    let mut fed = Fed::new("cdc_large", &[("body", true)], &[]);
    fed.begun();
    // So far that rows of a fetch wait in the connection, which is given up then.
    let first = fed.hauls(150).unwrap();
    let position = first.last().unwrap().position.clone();
    fed.feed().open(position.as_deref()).unwrap();
    let came = first.iter().map(|haul| haul.records.len()).sum::<usize>();
    assert!(came < 400, "{came} rows in {} hauls", first.len());
    let hauls: Vec<Haul> = first.into_iter().chain(fed.hauls(400 - came).unwrap()).collect();
    for haul in &hauls {
        let bytes = bytes(&haul.records);
        assert!(bytes <= HAUL_BYTES_MAX + 2 * ROW_BYTES, "{} records of {bytes} bytes", haul.records.len());
    }
    let mut rows = all(hauls);
    assert_eq!(rows.len(), 400);
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), 400, "each row comes once");
}

#[test]
fn a_fetch_that_ends_with_its_haul_does_not_end_its_table() {
    let server = server();
    server.run(
        "CREATE TABLE cdc_even (id bigint PRIMARY KEY, body text); \
         INSERT INTO cdc_even SELECT n, repeat('x', 1 << 20) FROM generate_series(1, 20) n",
    );
    let mut fed = Fed::new("cdc_even", &[("body", true)], &[("scan.snapshot.fetch.size", "8")]);
    fed.begun();
    let hauls = fed.hauls(20).unwrap();
    assert_eq!(hauls.first().map(|haul| haul.records.len()), Some(8));
    assert_eq!(all(hauls).len(), 20);
}

/// A large value does not change, is not sent, and its column goes before anybody can ask for it.
fn lose_a_column(name: &str, may_be_null: bool) -> Fed {
    server().run(&format!(
        "CREATE TABLE {name} (id bigint PRIMARY KEY, body text, note text); \
         ALTER TABLE {name} ALTER body SET STORAGE EXTERNAL"
    ));
    let columns = [("body", may_be_null), ("note", true)];
    let mut fed = Fed::new(name, &columns, &[("scan.startup.mode", "latest-offset")]);
    fed.begun();
    fed.server.run(&format!(
        "INSERT INTO {name} VALUES (1, repeat('x', 10000), 'before'); UPDATE {name} SET note = 'after' WHERE id = 1"
    ));
    fed.server.run(&format!("ALTER TABLE {name} DROP COLUMN body"));
    fed
}

#[test]
fn a_value_that_was_not_sent_and_is_gone_with_its_column_is_null_and_its_row_comes() {
    let mut fed = lose_a_column("cdc_lost", true);
    let rows = all(fed.hauls(2).unwrap());
    let holds = |row: &[u8], text: &str| row.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds(&rows[0], "before") && holds(&rows[0], &"x".repeat(10_000)));
    assert!(holds(&rows[1], "after") && !holds(&rows[1], "xxx"));
}

#[test]
fn a_value_that_was_not_sent_and_must_not_be_null_fails_the_job_when_its_column_is_gone() {
    let mut fed = lose_a_column("cdc_lost_for_good", false);
    let error = fed.hauls(2).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let told = "has lost the column 'body', which is declared NOT NULL; begin a new job without the column";
    assert!(error.message.contains(told), "{error}");
}
