//! Topics and views as tables: rows, what is read of them, look-ups by key, waits and subscriptions.

mod site;

use site::Site;

#[test]
fn a_topic_has_a_row_for_each_record() {
    let site = Site::new();
    site.topic("my.orders", 2);
    site.produce("my.orders", 0, &[r#"{"id": 1, "to": {"city": "Rome"}, "n": [1, 2]}"#, "plain"]);
    site.produce("my.orders", 1, &[r#"{"id": 2, "to": null}"#]);
    let mut client = site.client();
    let got = client.query(
        "SELECT partition, \"offset\", timestamp, key, value, headers, value_bytes FROM \"my.orders\" ORDER BY 1, 2",
    );
    assert!(got.errors.is_empty(), "{got:?}");
    let types: Vec<u32> = got.columns.iter().map(|column| column.1).collect();
    assert_eq!(types, [23, 20, 1184, 25, 25, 25, 17]);
    assert_eq!(
        got.texts()[1],
        ["0", "1", "2013-01-01 00:00:00.001+00", "1", "plain", "NULL", "\\x706c61696e"]
    );
    client.query("SET TimeZone = 'Europe/Berlin'");
    let berlin = "SELECT timestamp FROM topics.\"my.orders\" LIMIT 1";
    assert_eq!(client.one(berlin), "2013-01-01 01:00:00+01");
    let fields = "SELECT value->>'id', value->'to'->>'city', value #>> '{n,1}', (value->>'id')::int + 1
                  FROM \"my.orders\" WHERE value->>'id' IS NOT NULL ORDER BY 1";
    let got = client.query(fields);
    assert_eq!(got.texts(), [["1", "Rome", "2", "2"], ["2", "NULL", "NULL", "3"]], "{got:?}");
}

#[test]
fn filters_and_limits_bound_what_is_read() {
    let site = Site::new();
    site.topic("t", 3);
    for partition in 0..3 {
        for _ in 0..4 {
            site.produce("t", partition, &["a", "b", "c", "d", "e"]);
        }
    }
    let mut client = site.client();
    for (condition, count) in [
        ("partition = 1", "20"),
        ("partition IN (0, 2) AND \"offset\" >= 15", "10"),
        ("\"offset\" BETWEEN 3 AND 7 AND partition = 2", "5"),
        ("7 > \"offset\"", "21"),
        ("timestamp > '2013-01-01 00:00:00.003+00'", "12"),
        ("timestamp >= '2014-01-01'", "0"),
        ("value = 'a'", "12"),
        ("\"offset\" = 3 OR partition = 0", "22"),
    ] {
        assert_eq!(client.one(&format!("SELECT count(*) FROM t WHERE {condition}")), count, "{condition}");
    }
    assert_eq!(client.query("SELECT * FROM t LIMIT 7").rows.len(), 7);
    let plan = client.query("EXPLAIN SELECT \"offset\" FROM t WHERE partition = 1 AND \"offset\" > 17");
    let plan = format!("{plan:?}");
    assert!(plan.contains("partial_filters=[t.partition = Int32(1), t.offset > Int64(17)]"), "{plan}");
}

#[test]
fn aborted_records_are_nobodys_rows() {
    use kafka_wire::records::{BatchBuilder, Compression};
    let site = Site::new();
    site.topic("t", 1);
    site.produce("t", 0, &["a"]);
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(-1, None, None, &[]).expect("a record");
    let topic = site.broker.topic_for_records("t", false).unwrap_or_else(|_| panic!("it is there"));
    let taken = site.broker.take_in(&topic, vec![(0, batch.build().expect("a batch"))], |_| Ok(()));
    let lsn = taken.unwrap_or_else(|_| panic!("it is taken")).lsn.expect("a place");
    site.broker.log().wait_durable(lsn).expect("it is durable");
    let got = site.client().query("SELECT key, value FROM t ORDER BY \"offset\"");
    assert_eq!(got.texts(), [["0", "a"], ["NULL", "NULL"]]);
}

#[test]
fn a_view_is_scanned_joined_and_looked_up() {
    let site = Site::new();
    let rows: Vec<(&str, i64, Option<i64>)> = (0..10_000)
        .map(|day| (["Rome", "Oslo"][day as usize % 2], day, (day % 3 > 0).then_some(day)))
        .collect();
    site.sell(3, &rows);
    let mut client = site.client();
    assert_eq!(client.one("SELECT count(*) FROM sales"), "10000");
    assert_eq!(client.one("SELECT count(*) FROM public.sales WHERE city = 'Oslo'"), "5000");
    assert_eq!(
        client.query("SELECT * FROM sales WHERE city = 'Rome' AND day = 2").texts(),
        [["Rome", "2", "2"]]
    );
    assert_eq!(
        client.query("SELECT total AS t FROM sales s WHERE 4 = day AND s.city = 'Rome'").texts(),
        [["4"]]
    );
    assert_eq!(client.query("SELECT * FROM sales WHERE city = 'Oslo' AND day = 2").rows.len(), 0);
    assert_eq!(
        client.query("SELECT * FROM sales WHERE city = 'Rome' AND day = '2'").texts(),
        [["Rome", "2", "2"]]
    );
    let join = "SELECT a.city, sum(b.total) FROM sales a JOIN sales b ON a.day = b.day WHERE a.day < 5 GROUP BY 1 ORDER BY 1";
    assert_eq!(client.query(join).texts(), [["Oslo", "1"], ["Rome", "6"]]);
    let top = "SELECT city, day, row_number() OVER (PARTITION BY city ORDER BY day DESC) r FROM sales ORDER BY r, city LIMIT 2";
    assert_eq!(client.query(top).texts(), [["Oslo", "9999", "1"], ["Rome", "9998", "1"]]);
}

#[test]
fn a_session_reads_what_it_has_written() {
    let site = Site::new();
    site.topic("t", 1);
    let mut client = site.client();
    let lsn = site.produce("t", 0, &["a"]);
    let shown = format!("{:X}/{:X}", lsn.0 >> 32, lsn.0 & 0xffff_ffff);
    assert_eq!(client.one("SELECT pg_current_wal_lsn()"), shown);
    assert_eq!(client.one("SELECT pg_wal_lsn_diff('0/20', '0/10')"), "16");
    let ahead = format!("{:X}/{:X}", lsn.0 >> 32, (lsn.0 & 0xffff_ffff) + 1_000_000);
    // Nobody writes so far: the view is not there, and neither is the log.
    let got = client.query(&format!("WAIT FOR LSN '{ahead}' WITH (TIMEOUT '50ms')"));
    assert_eq!(got.code(), "57014", "{got:?}");
    assert_eq!(client.one(&format!("WAIT FOR LSN '{ahead}' WITH (TIMEOUT '50ms', NO_THROW)")), "timeout");
    // The log has it; the view comes when it is folded.
    let folded = std::thread::scope(|threads| {
        let waiting = threads.spawn(|| client.one(&format!("WAIT FOR LSN '{shown}' WITH (TIMEOUT '30s')")));
        site.sell(lsn.0, &[("Rome", 1, Some(1))]);
        waiting.join().expect("it comes")
    });
    assert_eq!(folded, "success");
    client.query(&format!("SET eventwright.read_after_lsn = '{shown}'"));
    assert_eq!(client.one("SELECT total FROM sales WHERE city = 'Rome' AND day = 1"), "1");
    client
        .query(&format!("SET eventwright.read_after_lsn = '{ahead}'; SET eventwright.read_timeout = '50ms'"));
    assert_eq!(client.query("SELECT count(*) FROM t").code(), "57014");
    assert_eq!(client.query("SET eventwright.read_after_lsn = 'x'").code(), "22023");
}

#[test]
fn a_subscription_gives_rows_and_then_changes() {
    let site = Site::new();
    site.topic("t", 1);
    site.sell(1, &[("Rome", 1, Some(5))]);
    let mut client = site.client();
    assert_eq!(client.query("SUBSCRIBE TO t").code(), "0A000");
    assert_eq!(client.query("SUBSCRIBE TO nothing").code(), "42P01");
    client.query("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE TO sales WITH (PROGRESS)");
    let got = client.query("FETCH ALL c");
    assert!(got.errors.is_empty(), "{got:?}");
    let names: Vec<&str> = got.columns.iter().map(|column| column.0.as_str()).collect();
    assert_eq!(names, ["mz_timestamp", "mz_progressed", "mz_diff", "city", "day", "total"]);
    assert_eq!(got.texts()[0], ["1", "f", "1", "Rome", "1", "5"]);
    site.sell(2, &[("Rome", 1, Some(6)), ("Oslo", 1, None)]);
    let mut rows = Vec::new();
    while rows.len() < 5 {
        let got = client.query("FETCH 100 c");
        assert!(got.errors.is_empty(), "{got:?}");
        rows.extend(got.rows);
    }
    let changed: Vec<Vec<&str>> =
        rows.iter().map(|row| row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect()).collect();
    assert_eq!(changed[0], ["1", "t", "NULL", "NULL", "NULL", "NULL"]);
    assert_eq!(changed[1], ["2", "f", "1", "Oslo", "1", "NULL"]);
    assert_eq!(changed[2], ["2", "f", "-1", "Rome", "1", "5"]);
    assert_eq!(changed[3], ["2", "f", "1", "Rome", "1", "6"]);
    client.query("COMMIT");
    // A copy goes on until it is cancelled.
    client.query("SET statement_timeout = '200ms'");
    let got = client.query("COPY (SUBSCRIBE TO sales) TO STDOUT");
    assert_eq!((got.code(), String::from_utf8_lossy(&got.copied).lines().count()), ("57014", 2));
}

#[test]
fn a_view_that_is_rebuilt_with_another_key_is_no_longer_looked_up_by_the_old_one() {
    use views::ViewKey;
    let site = Site::new();
    site.sell(1, &[("Rome", 1, Some(5))]);
    let mut client = site.client();
    let statement = "SELECT total FROM sales WHERE city = $1 AND day = $2";
    client.parse("s", statement, &[]);
    let look_up = |client: &mut site::Client| {
        client.bind("s", &[Some(b"Rome"), Some(b"1")], 0, 0);
        client.execute(0);
        client.sync()
    };
    assert_eq!(look_up(&mut client).texts(), [["5"]]);
    site.rebuild(2, ViewKey::Columns(vec![1, 0]));
    site.sell(3, &[("Rome", 1, Some(6))]);
    assert_eq!(look_up(&mut client).code(), "42P01");
    client.query("DEALLOCATE s");
    client.parse("s", statement, &[]);
    assert_eq!(look_up(&mut client).texts(), [["6"]]);
}

#[test]
fn topics_may_be_called_like_tables_of_the_catalog() {
    let site = Site::new();
    for topic in ["pg_events", "pg_type"] {
        site.topic(topic, 1);
        site.produce(topic, 0, &["a", "b"]);
    }
    let mut client = site.client();
    // Two rows for one value are an error, and not the least of them as in queries of the catalog.
    assert_eq!(client.query("SELECT (SELECT value FROM pg_events)").code(), "21000");
    assert_eq!(client.one("SELECT (SELECT value FROM pg_events WHERE \"offset\" = 1)"), "b");
    // The catalog comes first where no schema is named.
    assert_eq!(client.one("SELECT typname FROM pg_type WHERE oid = 23"), "int4");
    assert_eq!(client.one("SELECT count(value) FROM topics.pg_type"), "2");
    assert_eq!(client.one("SELECT (SELECT typname FROM pg_type WHERE typname LIKE 'int_')"), "int2");
}

#[test]
fn numerics_that_are_no_number_are_refused_at_once() {
    let site = Site::new();
    let mut client = site.client();
    client.parse("s", "SELECT $1::numeric", &[]);
    let asked = |client: &mut site::Client, value: &[u8], format: u16| {
        client.bind("s", &[Some(value)], format, 0);
        client.execute(0);
        client.sync()
    };
    assert_eq!(asked(&mut client, b"0e2147483647", 0).code(), "22P02");
    for sign in [0xc000_u16, 0xd000, 0xf000] {
        let value = [[0; 4].as_slice(), &sign.to_be_bytes(), &[0; 2]].concat();
        assert_eq!(asked(&mut client, &value, 1).code(), "22P03", "{sign:x}");
    }
    let got = asked(&mut client, b"1.5e1", 0);
    assert!(got.one().starts_with("15"), "{got:?}");
}
