//! Which changes leave each node of a plan: what the readers need of it, and by which keys rows are told apart.

use crate::connectors::connectors;
use dataflow::plan::{Changelog, NodeKind, Plan};
use sql::parser::parse_script;
use sql::session::{Outcome, Session};
use sql::source::SourceText;

const TABLES: &str = "
CREATE TABLE orders (id BIGINT, customer STRING, amount INT, placed TIMESTAMP(3), WATERMARK FOR placed AS placed)
WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json');
CREATE TABLE payments (id BIGINT, order_id BIGINT, amount INT) WITH ('connector' = 'kafka', 'topic' = 'p', 'format' = 'json');
CREATE TABLE customers (id STRING, name STRING, country STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'c', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE dims (id STRING, country STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'filesystem', 'path' = 'd', 'format' = 'csv');
CREATE TABLE appended (k STRING, v BIGINT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json');
CREATE TABLE by_text (k STRING, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 't', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE by_number (k STRING, v BIGINT, PRIMARY KEY (v) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'n', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE by_both (k STRING, v BIGINT, PRIMARY KEY (k, v) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'b', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE printed (k STRING, v BIGINT) WITH ('connector' = 'print');
CREATE VIEW ranked AS SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount DESC) AS n FROM orders;
";

fn plan(statements: &str) -> Plan {
    let text = format!("{TABLES}{statements}");
    let source = SourceText::new("test", &text);
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let mut session = Session::new(connectors());
    let mut job = None;
    for statement in &statements {
        match session.execute(statement) {
            Ok(Outcome::Job(request)) => job = Some(request),
            Ok(_) => {}
            Err(diagnostics) => panic!("{}", diagnostics[0].render(&source)),
        }
    }
    let plan = job.expect("a job").plan;
    plan.validate().unwrap_or_else(|error| panic!("{error}\n{}", plan.describe()));
    (*plan).clone()
}

/// The nodes that may change rows and the sinks, in plan order, with what leaves them.
fn modes(plan: &Plan) -> String {
    let shown = plan.nodes.iter().filter_map(|node| {
        let name = match node.kind {
            NodeKind::GroupAggregate { .. } => "Group",
            NodeKind::Join { .. } => "Join",
            NodeKind::BoundedJoin { .. } => "BoundedJoin",
            NodeKind::LookupJoin(_) => "LookupJoin",
            NodeKind::Rank { .. } => "Rank",
            NodeKind::ChangelogNormalize { .. } => "Normalize",
            NodeKind::UpsertMaterialize { .. } => "Materialize",
            NodeKind::ConflictMaterialize { .. } => "Conflicts",
            NodeKind::Union => "Union",
            NodeKind::Filter { .. } => "Filter",
            NodeKind::WindowAggregate { .. } => "Window",
            NodeKind::Sink { .. } => "Sink",
            NodeKind::Scan { .. }
            | NodeKind::LookupAnswers
            | NodeKind::Project { .. }
            | NodeKind::Watermark { .. } => return None,
            NodeKind::WindowAssign { .. } => "Assign",
            NodeKind::SessionWindow { .. } => "Session",
            NodeKind::SessionAggregate { .. } => "SessionSums",
            NodeKind::WindowRank { .. } => "WindowRank",
            NodeKind::WindowJoin { .. } => "WindowJoin",
            NodeKind::ProcessingTime => "ProcessingTime",
            NodeKind::Unnest(_) => "Unnest",
            NodeKind::IntervalJoin { .. } => "IntervalJoin",
            NodeKind::Over { .. } => "Over",
            NodeKind::TemporalJoin { .. } => "TemporalJoin",
            NodeKind::Deduplicate { .. } => "Deduplicate",
            NodeKind::TemporalSort { .. } => "Sort",
            NodeKind::Replicate => "Replicate",
            NodeKind::MatchRecognize { .. } => "Match",
        };
        let modes = match node.changelog {
            Changelog::Insert => "I",
            Changelog::Upsert => "U",
            Changelog::Retract => "R",
        };
        Some(format!("{name}:{modes}"))
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn expect(statement: &str, expected: &str) {
    assert_eq!(modes(&plan(statement)), expected, "{statement}");
}

#[test]
fn groups_update_by_their_keys() {
    expect("INSERT INTO by_text SELECT customer, COUNT(*) FROM orders GROUP BY customer;", "Group:U Sink:U");
    // The key in a type that keeps different values apart.
    expect(
        "INSERT INTO by_number SELECT MAX(customer), amount FROM orders GROUP BY amount;",
        "Group:U Sink:U",
    );
    // Different keys may become one.
    expect(
        "INSERT INTO by_text SELECT UPPER(customer), COUNT(*) FROM orders GROUP BY customer;",
        "Group:R Materialize:U Sink:U",
    );
    expect(
        "INSERT INTO by_number SELECT customer, COUNT(*) FROM orders GROUP BY customer;",
        "Group:R Materialize:U Sink:U",
    );
    // The sink's key says more than the query's: what a row was is needed to delete it.
    expect("INSERT INTO by_both SELECT customer, COUNT(*) FROM orders GROUP BY customer;", "Group:R Sink:R");
    expect("INSERT INTO by_text SELECT 'all', COUNT(*) FROM orders;", "Group:R Sink:R");
    expect("INSERT INTO printed SELECT customer, COUNT(*) FROM orders GROUP BY customer;", "Group:R Sink:R");
    // A group without aggregates only appears.
    expect("INSERT INTO appended SELECT DISTINCT customer, id FROM orders;", "Group:I Sink:I");
    expect(
        "INSERT INTO appended SELECT customer, CAST(1 AS BIGINT) FROM (SELECT customer, COUNT(*) FROM orders GROUP BY customer);",
        "Group:I Sink:I",
    );
    // An aggregate over an aggregate takes rows back.
    expect(
        "INSERT INTO by_number SELECT MAX(customer), n FROM (SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer) GROUP BY n;",
        "Group:R Group:U Sink:U",
    );
}

#[test]
fn changes_that_may_be_repeated_are_told_by_the_key() {
    let table = "CREATE TABLE changed (id STRING, n BIGINT, PRIMARY KEY (id) NOT ENFORCED)
        WITH ('connector' = 'kafka', 'topic' = 'd', 'format' = 'debezium-json');";
    let sum = "INSERT INTO printed SELECT 'all', SUM(n) FROM changed;";
    expect(&format!("{table}{sum}"), "Group:R Sink:R");
    let repeats = "SET 'table.exec.source.cdc-events-duplicate' = 'true';";
    expect(&format!("{repeats}{table}{sum}"), "Normalize:R Group:R Sink:R");
    expect(
        &format!("{repeats}{table}{} {sum}", "RESET 'table.exec.source.cdc-events-duplicate';"),
        "Group:R Sink:R",
    );
}

#[test]
fn conflicts_are_settled_in_front_of_the_sink() {
    let groups =
        "INSERT INTO by_number SELECT customer, COUNT(*) FROM orders GROUP BY customer ON CONFLICT DO";
    expect(&format!("{groups} DEDUPLICATE;"), "Group:R Materialize:U Sink:U");
    expect(&format!("{groups} NOTHING;"), "Group:R Conflicts:U Sink:U");
    expect(&format!("{groups} ERROR;"), "Group:R Conflicts:U Sink:U");
    // Of rows that only come the last is the latest, but the first must be known.
    expect("INSERT INTO by_number SELECT customer, id FROM orders ON CONFLICT DO DEDUPLICATE;", "Sink:I");
    expect(
        "INSERT INTO by_number SELECT customer, id FROM orders ON CONFLICT DO NOTHING;",
        "Conflicts:U Sink:U",
    );
    // Nothing can conflict where the query updates by the table's key.
    let same = "INSERT INTO by_text SELECT customer, COUNT(*) FROM orders GROUP BY customer ON CONFLICT DO";
    expect(&format!("{same} ERROR;"), "Group:U Sink:U");
    let setting = |value: &str| format!("SET 'table.exec.sink.upsert-materialize' = '{value}'; ");
    expect(&format!("{}{same} ERROR;", setting("FORCE")), "Group:R Conflicts:U Sink:U");
    expect(&format!("{}{groups} ERROR;", setting("NONE")), "Group:R Sink:R");
    // Nothing comes behind the rows of VALUES.
    expect(
        "INSERT INTO by_text VALUES ('a', 1), ('a', 2) ON CONFLICT DO NOTHING;",
        "ProcessingTime:I Conflicts:U Sink:U",
    );
    // A table that takes every change, and has a key of its own.
    let printed =
        "CREATE TABLE by_n (k STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'print');
        INSERT INTO by_n SELECT customer, COUNT(*) FROM orders GROUP BY customer";
    expect(&format!("{printed};"), "Group:R Materialize:R Sink:R");
    expect(&format!("{printed} ON CONFLICT DO ERROR;"), "Group:R Conflicts:R Sink:R");
}

#[test]
fn filters_see_the_rows_that_go() {
    expect(
        "INSERT INTO by_text SELECT customer, COUNT(*) FROM orders GROUP BY customer HAVING COUNT(*) < 10;",
        "Group:R Filter:R Sink:R",
    );
    // A condition on the key goes below, where rows only come.
    expect(
        "INSERT INTO by_text SELECT customer, COUNT(*) FROM orders GROUP BY customer HAVING customer <> 'x';",
        "Filter:I Group:U Sink:U",
    );
    // A condition on a constant row for all does not: the row is there also when nothing is let through.
    expect(
        "INSERT INTO printed SELECT 'x', n FROM (SELECT COUNT(*) AS n FROM orders) WHERE 1 > 2;",
        "Group:R Filter:R Sink:R",
    );
}

#[test]
fn the_setting_says_when_rows_are_kept_by_the_key_of_the_sink() {
    let mismatch = "INSERT INTO by_number SELECT customer, COUNT(*) FROM orders GROUP BY customer;";
    let matching = "INSERT INTO by_text SELECT customer, COUNT(*) FROM orders GROUP BY customer;";
    let inserts = "INSERT INTO by_text SELECT customer, id FROM orders;";
    let set = |value: &str, statement: &str| {
        format!("SET 'table.exec.sink.upsert-materialize' = '{value}';{statement}")
    };
    expect(&set("NONE", mismatch), "Group:R Sink:R");
    expect(&set("NONE", matching), "Group:U Sink:U");
    expect(&set("FORCE", matching), "Group:R Materialize:U Sink:U");
    expect(&set("FORCE", inserts), "Materialize:U Sink:U");
    expect(&set("AUTO", inserts), "Sink:I");
    expect(&set("AUTO", mismatch), "Group:R Materialize:U Sink:U");
}

#[test]
fn sources_that_update_are_made_complete() {
    expect("INSERT INTO by_text SELECT id, CAST(1 AS BIGINT) FROM customers;", "Normalize:U Sink:U");
    expect("INSERT INTO printed SELECT id, CAST(1 AS BIGINT) FROM customers;", "Normalize:R Sink:R");
    expect(
        "INSERT INTO by_text SELECT country, COUNT(*) FROM customers GROUP BY country;",
        "Normalize:R Group:U Sink:U",
    );
    // The key is read although nobody asks for it.
    let plan = plan("INSERT INTO by_text SELECT country, COUNT(*) FROM customers GROUP BY country;");
    assert!(plan.describe().contains("ChangelogNormalize(keys=[`id`])"), "{}", plan.describe());
    expect(
        "INSERT INTO by_text SELECT id, CHAR_LENGTH(name) FROM customers UNION ALL SELECT customer, id FROM orders;",
        "Normalize:R Union:R Materialize:U Sink:U",
    );
}

#[test]
fn joins_have_the_keys_of_the_sides_that_match_once() {
    // Two streams that only grow.
    expect(
        "INSERT INTO appended SELECT o.customer, p.id FROM orders o JOIN payments p ON o.id = p.order_id;",
        "Join:I Sink:I",
    );
    // Each customer has one row: the group's key is the pair's.
    let totals = "(SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer)";
    expect(
        &format!(
            "INSERT INTO by_text SELECT t.customer, t.n FROM {totals} t JOIN customers c ON t.customer = c.id;"
        ),
        "Group:R Normalize:R Join:U Sink:U",
    );
    expect(
        &format!(
            "INSERT INTO by_text SELECT t.customer, t.n FROM {totals} t LEFT JOIN customers c ON t.customer = c.id;"
        ),
        "Group:R Normalize:R Join:U Sink:U",
    );
    // Many customers of one name: a total has many rows.
    expect(
        &format!(
            "INSERT INTO by_text SELECT t.customer, t.n FROM {totals} t JOIN customers c ON t.customer = c.name;"
        ),
        "Group:R Normalize:R Join:R Materialize:U Sink:U",
    );
    // The other way round a customer has one total at most.
    expect(
        &format!(
            "INSERT INTO by_text SELECT c.id, t.n FROM {totals} t JOIN customers c ON t.customer = c.name;"
        ),
        "Group:R Normalize:R Join:U Sink:U",
    );
    // Padded rows of a RIGHT JOIN have no left side.
    expect(
        &format!(
            "INSERT INTO by_text SELECT c.id, t.n FROM {totals} t RIGHT JOIN customers c ON t.customer = c.name;"
        ),
        "Normalize:R Group:R Join:U Sink:U",
    );
}

#[test]
fn padded_rows_that_nobody_lets_through_are_not_made() {
    let query = |condition: &str| {
        format!(
            "INSERT INTO printed SELECT o.customer, p.id FROM orders o LEFT JOIN payments p ON o.id = p.order_id WHERE {condition};"
        )
    };
    for condition in [
        "p.amount > 3",
        "p.amount + o.amount = 3",
        "p.id IS NOT NULL AND o.amount > 1",
        "p.amount = 1 OR p.amount IN (2, 3)",
        "NOT (p.amount > 3)",
        "(p.amount > 3) IS TRUE",
    ] {
        let modes = modes(&plan(&query(condition)));
        assert!(modes.contains("Join:I") && modes.ends_with("Sink:I"), "{condition}: {modes}");
    }
    for condition in [
        "p.amount IS NULL",
        "COALESCE(p.amount, 3) > 1",
        "p.amount > 3 OR o.amount > 3",
        "(p.amount > 3) IS NOT TRUE",
        "CASE WHEN p.id > 1 THEN FALSE ELSE TRUE END",
    ] {
        let modes = modes(&plan(&query(condition)));
        assert!(modes.contains("Join:R") && modes.ends_with("Sink:R"), "{condition}: {modes}");
    }
}

#[test]
fn a_bounded_table_is_read_first_where_nothing_changes() {
    expect(
        "INSERT INTO appended SELECT d.country, o.id FROM orders o LEFT JOIN dims d ON o.customer = d.id;",
        "BoundedJoin:I Sink:I",
    );
    // Rows that change stay joined with all rows of the table.
    expect(
        "INSERT INTO by_text SELECT t.customer, t.n FROM (SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer) t LEFT JOIN dims d ON t.customer = d.id;",
        "Group:R Join:U Sink:U",
    );
    // The same table twice, the second one read before the first.
    let twice = plan(
        "INSERT INTO appended SELECT e.country, o.id FROM orders o JOIN dims d ON o.customer = d.id JOIN dims e ON d.country = e.id;",
    );
    assert_eq!(modes(&twice), "BoundedJoin:I BoundedJoin:I Sink:I");
    assert_eq!(twice.scans().len(), 3);
}

#[test]
fn ranks_update_by_partition_and_number() {
    // One row per partition: the partition is its key.
    expect("INSERT INTO by_text SELECT customer, id FROM ranked WHERE n = 1;", "Rank:U Sink:U");
    expect("INSERT INTO by_both SELECT customer, n FROM ranked WHERE n <= 3;", "Rank:U Sink:U");
    // Behind the key of the partition alone there are three rows.
    expect(
        "INSERT INTO by_text SELECT customer, id FROM ranked WHERE n <= 3;",
        "Rank:R Materialize:U Sink:U",
    );
    let by_total = "(SELECT customer, n, ROW_NUMBER() OVER (ORDER BY n DESC) AS rn FROM (SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer))";
    // Without the number rows go by themselves, and come after those that went.
    expect(
        &format!("INSERT INTO by_text SELECT customer, n FROM {by_total} WHERE rn <= 3;"),
        "Group:R Rank:U Sink:U",
    );
    // With the number a row may come under a new one before it goes under the old one.
    expect(
        &format!("INSERT INTO by_text SELECT customer, rn FROM {by_total} WHERE rn <= 3;"),
        "Group:R Rank:R Materialize:U Sink:U",
    );
    expect(
        &format!("INSERT INTO by_number SELECT customer, rn FROM {by_total} WHERE rn <= 3;"),
        "Group:R Rank:U Sink:U",
    );
    // A row that moves to another partition may come there before it goes here.
    expect(
        "INSERT INTO by_text SELECT id, CAST(1 AS BIGINT) FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY country ORDER BY name) AS rn FROM customers) WHERE rn <= 3;",
        "Normalize:R Rank:R Materialize:U Sink:U",
    );
}

#[test]
fn each_reader_of_row_numbers_says_which_it_wants() {
    let both = plan(
        "EXECUTE STATEMENT SET BEGIN
         INSERT INTO printed SELECT customer, id FROM ranked WHERE n <= 3;
         INSERT INTO by_text SELECT customer, id FROM ranked WHERE n = 1; END;",
    );
    assert_eq!(modes(&both), "Rank:R Sink:R Rank:U Sink:U");
    assert_eq!(both.scans().len(), 1, "{}", both.describe());
    let range = |condition: &str| {
        let plan = plan(&format!("INSERT INTO printed SELECT customer, id FROM ranked WHERE {condition};"));
        let range = plan.nodes.iter().find_map(|node| match node.kind {
            NodeKind::Rank { first, last, .. } => Some((first, last)),
            _ => None,
        });
        range.expect("a Top-N")
    };
    assert_eq!(range("n <= 3"), (1, 3));
    assert_eq!(range("n < 3"), (1, 2));
    assert_eq!(range("3 >= n"), (1, 3));
    assert_eq!(range("3 = n"), (3, 3));
    assert_eq!(range("n BETWEEN 2 AND 4"), (2, 4));
    assert_eq!(range("n > 1 AND n <= 5 AND n < 4"), (2, 3));
}

#[test]
fn the_latest_row_by_event_time_is_the_last_that_came() {
    let latest_first = |query: &str| {
        let plan = plan(&format!("INSERT INTO printed SELECT customer, id FROM ({query}) WHERE n <= 1;"));
        plan.nodes.iter().any(|node| matches!(node.kind, NodeKind::Rank { latest_first: true, .. }))
    };
    let numbered = |order: &str, from: &str| {
        format!("SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY {order}) AS n FROM {from}")
    };
    assert!(latest_first(&numbered("placed DESC", "orders")));
    assert!(!latest_first(&numbered("placed", "orders")));
    assert!(!latest_first(&numbered("amount DESC", "orders")));
    assert!(!latest_first(&numbered("placed DESC, id", "orders")));
    assert!(!latest_first(&numbered(
        "placed DESC",
        "(SELECT id, customer, CAST(placed AS TIMESTAMP(3)) AS placed FROM orders)"
    )));
}

#[test]
fn state_is_forgotten_after_the_time_that_is_set() {
    let query = "INSERT INTO printed SELECT customer, COUNT(*) FROM orders GROUP BY customer;";
    assert_eq!(plan(query).state_ttl_ms, None);
    assert_eq!(plan(&format!("SET 'table.exec.state.ttl' = '90 s';{query}")).state_ttl_ms, Some(90_000));
    assert_eq!(plan(&format!("SET 'table.exec.state.ttl' = '0';{query}")).state_ttl_ms, None);
    let reset = format!("SET 'table.exec.state.ttl' = '1 d';RESET 'table.exec.state.ttl';{query}");
    assert_eq!(plan(&reset).state_ttl_ms, None);
}

#[test]
fn a_partition_is_idle_after_the_time_of_its_table_or_else_of_the_session() {
    let query =
        "INSERT INTO printed SELECT k, COUNT(*) FROM timed GROUP BY k, TUMBLE(since, INTERVAL '1' MINUTE);";
    let idle_ms = |settings: &str, option: &str| {
        let plan = plan(&format!(
            "CREATE TABLE timed (k STRING, since TIMESTAMP(3), WATERMARK FOR since AS since) \
             WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json'{option});{settings}{query}"
        ));
        plan.idle_ms(plan.scans()[0])
    };
    let of_table = ", 'scan.watermark.idle-timeout' = '5 s'";
    assert_eq!(idle_ms("", ""), None);
    assert_eq!(idle_ms("SET 'table.exec.source.idle-timeout' = '2 s';", ""), Some(2000));
    assert_eq!(idle_ms("SET 'table.exec.source.idle-timeout' = '0';", ""), None);
    assert_eq!(idle_ms("SET 'table.exec.source.idle-timeout' = '2 s';", of_table), Some(5000));
    assert_eq!(idle_ms("", of_table), Some(5000));
    let never = ", 'scan.watermark.idle-timeout' = '0 s'";
    assert_eq!(idle_ms("SET 'table.exec.source.idle-timeout' = '2 s';", never), None);
}

#[test]
fn explain_shows_the_modes_that_flink_shows() {
    let text = format!(
        "{TABLES}EXPLAIN CHANGELOG_MODE INSERT INTO by_text SELECT customer, COUNT(*) FROM orders GROUP BY customer;"
    );
    let source = SourceText::new("test", &text);
    let mut session = Session::new(connectors());
    let mut explained = String::new();
    for statement in parse_script(&source).0 {
        if let Ok(Outcome::Explain(text)) = session.execute(&statement) {
            explained = text;
        }
    }
    let tree = explained.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = tree
        .lines()
        .skip(1)
        .map(|line| line.rsplit_once(", changelogMode=").map_or(line, |(_, mode)| mode))
        .collect();
    assert_eq!(lines, ["[I,UA]", "[I,UA]", "[I,UA]", "[I]", "[I]", "[I]"], "{explained}");
    assert!(!explained.contains("== Changelog =="), "{explained}");
}
