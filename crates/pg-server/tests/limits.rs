//! What one statement may ask for: neither its shape nor its functions take more than the server gives.

mod site;

use site::Site;

#[test]
fn a_chain_of_anything_is_refused_and_the_server_goes_on() {
    let site = Site::new();
    let mut client = site.client();
    // Bytes of a message are bounded too: 16 MiB.
    let chain = |head: &str, link: &str, count: usize| format!("{head}{}", link.repeat(count));
    for (head, link) in [
        ("SELECT 1", " IS NULL"),
        ("SELECT 1", " IS NOT NULL"),
        ("SELECT 1", " ISNULL"),
        ("SELECT 1", " NOTNULL"),
        ("SELECT 'a'", " LIKE 'a'"),
        ("SELECT 'a'", " ILIKE 'a'"),
        ("SELECT 'a'", " SIMILAR TO 'a'"),
        ("SELECT 1", " IN (1)"),
        ("SELECT 1", " BETWEEN 1 AND 2"),
        ("SELECT now()", " AT TIME ZONE 'UTC'"),
        ("SELECT 'a'", " COLLATE \"C\""),
        ("SELECT 1", "::int"),
        ("SELECT 1", " + 1"),
        ("SELECT 1", " OPERATOR(pg_catalog.+) 1"),
        ("SELECT ARRAY[1]", "[1]"),
        ("SELECT (x)", ".y"),
        ("SELECT x", ".y"),
        ("SELECT ", "NOT "),
        ("SELECT ", "- "),
        ("SELECT ", "("),
        ("SELECT * FROM sales", " CROSS JOIN sales"),
        ("SELECT * FROM sales", " NATURAL JOIN sales"),
        ("SELECT * FROM sales", ", sales"),
        ("SELECT 1", " UNION SELECT 1"),
        ("SELECT 1", " EXCEPT SELECT 1"),
        ("SELECT 1", ", 1"),
    ] {
        for count in [10_000, 1_000_000] {
            let statement = chain(head, link, count);
            // A list of columns is no chain.
            if (link, count) == (", 1", 10_000) || statement.len() >= 16 << 20 {
                continue;
            }
            let got = client.query(&statement);
            assert_eq!(got.code(), "54001", "{link} {count}: {:?}", got.errors);
        }
    }
    // The longest that are taken, on the stack that the server has.
    for (head, link, count) in [
        ("SELECT 1", " IS NULL", 100),
        ("SELECT '1'", "::text", 100),
        ("SELECT 1", " + 1", 100),
        ("SELECT 1", " UNION ALL SELECT 1", 45),
    ] {
        let got = client.query(&chain(head, link, count));
        assert!(got.errors.is_empty(), "{link}: {:?}", got.errors);
    }
    for link in [", ", " CROSS JOIN "] {
        let tables: String = (0..45).map(|number| format!("{link}sales s{number}")).collect();
        let got = client.query(&format!("SELECT 1 FROM sales{tables}"));
        assert_eq!(got.tags, ["SELECT 0"], "{link}: {:?}", got.errors);
    }
    assert_eq!(client.one("SELECT 1"), "1");
}

#[test]
fn long_lists_pass() {
    let site = Site::new();
    site.topic("t", 1);
    site.produce("t", 0, &["a", "b"]);
    let mut client = site.client();
    for list in [
        (0..50_000).map(|number| number.to_string()).collect::<Vec<_>>(),
        (0..20_000).map(|number| format!("-{number}")).collect(),
        (0..20_000).map(|number| format!("{number}.5")).chain(["0".into()]).collect(),
    ] {
        let statement = format!("SELECT count(*) FROM t WHERE \"offset\" IN ({})", list.join(", "));
        let wanted = if list.len() == 50_000 { "2" } else { "1" };
        assert_eq!(client.one(&statement), wanted, "{}", list[1]);
    }
}

#[test]
fn functions_that_make_much_of_little_are_bounded() {
    let site = Site::new();
    site.topic("t", 1);
    site.produce("t", 0, &["a", "b", "c"]);
    let mut client = site.client();
    for (call, code) in [
        ("range(1, 1000000000000)", "54000"),
        ("range(1000000000000)", "54000"),
        ("generate_series(9223372036854775807, -9223372036854775807, -1)", "54000"),
        ("repeat('abc', 1000000000)", "54000"),
        ("repeat(value, 60000000)", "54000"),
        ("lpad(value, 2000000000)", "54000"),
        ("rpad('a', 2000000000, value)", "54000"),
        ("replace(repeat('a', 1000000), 'a', repeat('b', 1000000))", "54000"),
        ("replace(repeat('a', 1000000), '', repeat('b', 1000000))", "54000"),
        ("generate_series(date '2000-01-01', date '9000-01-01', interval '1 day')", "0A000"),
        ("array_repeat(value, 1000000000)", "42883"),
        ("list_repeat(value, 1000000000)", "42883"),
        ("array_resize(make_array(1), 1000000000)", "42883"),
        ("list_resize(make_array(1), 1000000000)", "42883"),
    ] {
        let got = client.query(&format!("SELECT {call} FROM t"));
        assert_eq!(got.code(), code, "{call}: {got:?}");
    }
    for (call, wanted) in [
        ("range(1, 4)", "{1,2,3}"),
        ("generate_series(3, 1, -1)", "{3,2,1}"),
        ("range(NULL)", "NULL"),
        ("repeat('ab', 3)", "ababab"),
        ("repeat('ab', -3)", ""),
        ("lpad('a', 3, 'xy')", "xya"),
        ("rpad('a', 3)", "a  "),
        ("replace('banana', 'an', 'x')", "bxxa"),
        ("length(repeat('a', 60000000))", "60000000"),
        ("string_agg(replace(value, 'b', NULL), '-')", "NULL"),
        ("string_agg(repeat(value, 2), '-' ORDER BY value)", "aa-bb-cc"),
        ("string_agg(value->>'x', '-')", "NULL"),
    ] {
        assert_eq!(client.one(&format!("SELECT {call} FROM t LIMIT 1")), wanted, "{call}");
    }
    // Behind FROM it is made as it is read.
    assert_eq!(client.query("SELECT * FROM generate_series(1, 1000000000000) LIMIT 2").rows.len(), 2);
}

/// A scan holds a thread until it is read to its end; those of one session may not be all that there are.
#[test]
fn open_cursors_leave_threads_to_others() {
    let site = Site::new();
    site.topic("big", 1);
    let values = vec!["x"; 1_000];
    // More than the batches that are read ahead.
    for _ in 0..40 {
        site.produce("big", 0, &values);
    }
    let (mut holder, mut other) = (site.client(), site.client());
    holder.query("BEGIN");
    let mut refused = None;
    for number in 0..200 {
        holder.query(&format!("DECLARE c{number} CURSOR FOR SELECT \"offset\" FROM topics.big"));
        let got = holder.query(&format!("FETCH 1 FROM c{number}"));
        if let Some((code, ..)) = got.errors.first() {
            refused = Some((number, code.to_string()));
            break;
        }
    }
    assert_eq!(refused, Some((96, "54000".to_string())));
    assert_eq!(other.one("SELECT count(*) FROM topics.big"), "40000");
    // What is closed makes room again.
    holder.query("ROLLBACK");
    holder.query("BEGIN");
    holder.query("DECLARE c CURSOR FOR SELECT * FROM topics.big");
    assert!(holder.query("FETCH 1 FROM c").errors.is_empty());
}

/// What WITH names is planned each time that it is named.
#[test]
fn names_of_with_do_not_double_without_end() {
    let site = Site::new();
    let mut client = site.client();
    let doubled = |levels: usize| {
        let with: String = (1..=levels)
            .map(|level| format!(", c{level} AS (SELECT a.x FROM c{0} a CROSS JOIN c{0} b)", level - 1))
            .collect();
        format!("WITH c0 AS (SELECT 1 AS x){with} SELECT count(*) FROM c{levels}")
    };
    assert_eq!(client.one(&doubled(6)), "1");
    for statement in [
        doubled(25),
        // Though nobody asks for it.
        doubled(25).replace("count(*) FROM c25", "1"),
        // As a sub-query of an expression, and of another WITH.
        format!("SELECT ({})", doubled(25)),
        format!("WITH c AS ({}) SELECT * FROM c", doubled(25)),
    ] {
        let got = client.query(&statement);
        assert_eq!(got.code(), "54001", "{:?}", got.errors);
    }
}

/// Messages, statements, portals and rows of a session come out of one budget, and go back to it.
#[test]
fn what_a_session_keeps_is_counted() {
    let site = Site::with_memory(&[], 16 << 20);
    site.topic("big", 1);
    let value = "x".repeat(10_000);
    site.produce("big", 0, &vec![value.as_str(); 100]);
    let mut client = site.client();
    // Statements.
    let long = format!("SELECT '{}'", "x".repeat(10_000));
    let mut kept = 0;
    let refused = loop {
        client.parse(&format!("s{kept}"), &long, &[]);
        let got = client.sync();
        if !got.errors.is_empty() {
            break got;
        }
        kept += 1;
        assert!(kept < 1_000, "nothing is refused");
    };
    assert_eq!(refused.code(), "53200");
    // Rows of a cursor find no room beside them.
    client.query("BEGIN");
    client.query("DECLARE c CURSOR FOR SELECT * FROM topics.big");
    assert_eq!(client.query("FETCH 1 FROM c").code(), "53200");
    client.query("ROLLBACK");
    // Another session has its own.
    let mut other = site.client();
    assert_eq!(other.query("SELECT * FROM topics.big").tags, ["SELECT 100"]);
    assert_eq!(client.query("DEALLOCATE ALL").tags, ["DEALLOCATE ALL"]);
    client.query("BEGIN");
    client.query("DECLARE c CURSOR FOR SELECT * FROM topics.big");
    assert_eq!(client.query("FETCH 1 FROM c").tags, ["FETCH 1"]);
    client.query("ROLLBACK");
    // The values of a portal, and the message that they come in.
    client.parse("", "SELECT length($1::text)", &[]);
    let parameter = vec![b'x'; 1 << 20];
    client.bind("", &[Some(&parameter)], 0, 0);
    client.execute(0);
    assert_eq!(client.sync().one(), "1048576");
    client.parse("", "SELECT length($1::text)", &[]);
    let parameter = vec![b'x'; 5 << 20];
    client.send_what_is_taken(&site::bound("", &[Some(&parameter)], 0, 0));
    let (kind, body) = client.next_but("1");
    assert_eq!((kind, site::code_of(&body)), (b'E', "53200".to_string()));
}
