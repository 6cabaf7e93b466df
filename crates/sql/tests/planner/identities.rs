//! By what operators are known again when a statement changes: what their state is made of, and nothing else.

use crate::connectors::connectors;
use dataflow::engine::{layouts, rewrites};
use dataflow::plan::{Identities, NodeId, NodeKind, Plan};
use sql::parser::parse_script;
use sql::session::{Outcome, Session};
use sql::source::SourceText;

const TABLES: &str = "
CREATE TABLE orders (id BIGINT, customer STRING, amount INT, placed TIMESTAMP(3), WATERMARK FOR placed AS placed)
WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json');
CREATE TABLE same (id BIGINT, customer STRING, amount INT, placed TIMESTAMP(3), WATERMARK FOR placed AS placed)
WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json', 'scan.startup.mode' = 'latest-offset');
CREATE TABLE payments (id BIGINT, customer STRING, amount INT) WITH ('connector' = 'kafka', 'topic' = 'p', 'format' = 'json');
CREATE TABLE printed (k STRING, v BIGINT) WITH ('connector' = 'print');
CREATE TABLE noted (k STRING, v BIGINT) WITH ('connector' = 'print');
CREATE TABLE rows_of (k STRING, v INT) WITH ('connector' = 'print');
";

fn plan(statements: &str) -> Plan {
    let source = SourceText::new("test", format!("{TABLES}{statements}"));
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let mut session = Session::new(connectors());
    let mut plan = None;
    for statement in &statements {
        match session.execute(statement) {
            Ok(Outcome::Job(request)) => plan = Some((*request.plan).clone()),
            Ok(_) => {}
            Err(diagnostics) => panic!("{}", diagnostics[0].render(&source)),
        }
    }
    plan.expect("a job")
}

/// The identities of the operators that keep something, and of the scans, each sorted.
fn identities(statements: &str) -> (Vec<u64>, Vec<u64>) {
    let plan = plan(statements);
    let all = Identities::of(&plan).nodes;
    let of = |wanted: &dyn Fn(NodeId) -> bool| {
        let mut found: Vec<u64> =
            (0..plan.nodes.len()).filter(|index| wanted(NodeId(*index))).map(|index| all[index]).collect();
        found.sort_unstable();
        found
    };
    let is_scan = |id: NodeId| matches!(plan.node(id).kind, NodeKind::Scan { .. });
    (of(&|id| plan.kept(id).is_some()), of(&is_scan))
}

const COUNTED: &str =
    "INSERT INTO printed SELECT customer, COUNT(*) FROM orders WHERE amount > 10 GROUP BY customer;";

#[test]
fn names_sinks_and_what_stands_behind_are_no_part_of_it() {
    let (counted, scans) = identities(COUNTED);
    assert_eq!((counted.len(), scans.len()), (1, 1));
    for same in [
        "INSERT INTO noted SELECT customer, COUNT(*) FROM orders WHERE amount > 10 GROUP BY customer;",
        "INSERT INTO printed SELECT c, n FROM (SELECT customer AS c, COUNT(*) AS n FROM orders AS o WHERE o.amount > 10 \
         GROUP BY customer);",
        "INSERT INTO printed SELECT UPPER(customer), n + 1 FROM (SELECT customer, COUNT(*) AS n FROM orders \
         WHERE amount > 10 GROUP BY customer);",
        "INSERT INTO printed SELECT customer, COUNT(*) FROM same WHERE amount > 10 GROUP BY customer;",
    ] {
        assert_eq!(identities(same), (counted.clone(), scans.clone()), "{same}");
    }
}

#[test]
fn what_decides_the_state_is_part_of_it() {
    let (counted, _) = identities(COUNTED);
    for other in [
        "INSERT INTO printed SELECT customer, COUNT(*) FROM orders WHERE amount > 11 GROUP BY customer;",
        "INSERT INTO printed SELECT customer, COUNT(amount) FROM orders WHERE amount > 10 GROUP BY customer;",
        "INSERT INTO printed SELECT UPPER(customer), COUNT(*) FROM orders WHERE amount > 10 GROUP BY UPPER(customer);",
        "INSERT INTO printed SELECT customer, COUNT(*) FROM payments WHERE amount > 10 GROUP BY customer;",
        "SET 'table.exec.state.ttl' = '1 h'; \
         INSERT INTO printed SELECT customer, COUNT(*) FROM orders WHERE amount > 10 GROUP BY customer;",
    ] {
        let (found, _) = identities(other);
        assert_eq!(found.len(), 1, "{other}");
        assert_ne!(found, counted, "{other}");
    }
}

#[test]
fn a_column_that_somebody_else_reads_changes_nobody() {
    let (counted, _) = identities(COUNTED);
    let both = format!(
        "EXECUTE STATEMENT SET BEGIN {COUNTED} INSERT INTO rows_of SELECT customer, CAST(id AS INT) FROM orders; END;"
    );
    let (found, _) = identities(&both);
    assert_eq!(found, counted);
    let joined = "INSERT INTO printed SELECT o.customer, COUNT(*) FROM orders AS o JOIN payments AS p ON o.id = p.id \
                  GROUP BY o.customer;";
    let (joined, _) = identities(joined);
    assert_eq!(joined.len(), 2, "the join and the count");
}

#[test]
fn the_zone_of_casts_is_part_of_it() {
    let in_zone = |zone: &str, query: &str| {
        let (found, _) = identities(&format!("SET 'table.local-time-zone' = '{zone}'; {query}"));
        assert_eq!(found.len(), 1, "{query}");
        found
    };
    let shown = "CAST(CAST(placed AS TIMESTAMP_LTZ(3)) AS STRING)";
    let plain = "INSERT INTO printed SELECT customer, COUNT(*) FROM orders GROUP BY customer;";
    let grouped = format!("INSERT INTO printed SELECT {shown}, COUNT(*) FROM orders GROUP BY {shown};");
    let pattern = "INSERT INTO rows_of SELECT customer, n FROM orders MATCH_RECOGNIZE (PARTITION BY customer ORDER BY placed \
                   MEASURES LAST(b.amount) AS n ONE ROW PER MATCH PATTERN (a b) \
                   DEFINE b AS CAST(CAST(b.placed AS TIMESTAMP_LTZ(3)) AS STRING) < '2026');";
    assert_eq!(in_zone("Europe/Berlin", plain), in_zone("Asia/Tokyo", plain));
    for query in [grouped.as_str(), pattern] {
        assert_eq!(in_zone("Asia/Tokyo", query), in_zone("Asia/Tokyo", query));
        assert_ne!(in_zone("Europe/Berlin", query), in_zone("Asia/Tokyo", query), "{query}");
    }
}

#[test]
fn the_table_of_a_lookup_is_part_of_it() {
    let joined = |table: &str, option: &str| {
        identities(&format!(
            "CREATE TABLE asking (id BIGINT, proc AS PROCTIME()) WITH ('connector' = 'kafka', 'topic' = 'a', \
             'format' = 'json'); \
             CREATE TABLE names (id BIGINT, name STRING) WITH ('connector' = 'database', 'url' = 'jdbc:sqlite:d', \
             'table-name' = '{table}'{option}); \
             INSERT INTO printed SELECT n.name, a.id FROM asking AS a \
             JOIN names FOR SYSTEM_TIME AS OF a.proc AS n ON a.id = n.id;"
        ))
        .0
    };
    assert_eq!(joined("one", ""), joined("one", ""));
    assert_ne!(joined("one", ""), joined("other", ""));
}

/// Whether the state of the first statement's operators can become that of the second's, each of one of its own family.
fn migrates(old: &str, new: &str) -> bool {
    let known = |statements: &str| {
        let plan = plan(statements);
        let identities = Identities::of(&plan);
        let layouts = layouts(&plan, &identities);
        let kept = (0..plan.nodes.len()).filter(|index| plan.kept(NodeId(*index)).is_some());
        kept.map(|index| (identities.families[index], layouts[index].clone())).collect::<Vec<_>>()
    };
    let old = known(old);
    known(new).iter().all(|(family, layout)| {
        old.iter().any(|(of_old, old)| of_old == family && rewrites(old, layout).is_some())
    })
}

#[test]
fn what_an_aggregate_is_made_of_decides_what_it_can_become() {
    let groups = |calls: &str, rest: &str| {
        format!("INSERT INTO sunk SELECT customer, {calls} FROM orders {rest} GROUP BY customer;")
    };
    let sunk = |columns: usize, ttl: &str| {
        let columns: Vec<String> = (0..columns).map(|number| format!(", c{number} STRING")).collect();
        format!("{ttl} CREATE TABLE sunk (k STRING{}) WITH ('connector' = 'print'); ", columns.concat())
    };
    let text = |call: &&str| format!("CAST({call} AS STRING)");
    let statement = |ttl: &str, calls: &[&str], rest: &str| {
        let texts: Vec<String> = calls.iter().map(text).collect();
        sunk(calls.len(), ttl) + &groups(&texts.join(", "), rest)
    };
    let ttl = |time: &str| format!("SET 'table.exec.state.ttl' = '{time}';");
    let all = ["COUNT(*)", "SUM(amount)", "MAX(id)", "COUNT(DISTINCT amount)", "LISTAGG(customer)"];
    let old = statement("", &all, "");
    for (calls, rest, ttl, is_made) in [
        (
            &["COUNT(*)", "MAX(id)", "COUNT(DISTINCT amount)", "LISTAGG(customer)"][..],
            "",
            String::new(),
            true,
        ),
        (&["COUNT(DISTINCT amount)", "LISTAGG(customer)"], "", ttl("1 h"), true),
        (&["SUM(amount)"], "", String::new(), true),
        (&["MAX(id)", "SUM(amount)"], "", ttl("1 h"), true),
        // Values are kept for all who read them, or for nobody.
        (&["COUNT(DISTINCT amount)"], "", String::new(), false),
        (&["LISTAGG(customer)"], "", String::new(), false),
        // What was never kept cannot be made of it.
        (&["SUM(id)"], "", String::new(), false),
        (&["MIN(id)"], "", String::new(), false),
        (&["COUNT(amount)"], "", String::new(), false),
        (&["SUM(amount) FILTER (WHERE id > 0)"], "", String::new(), false),
        (&["SUM(DISTINCT amount)"], "", String::new(), false),
        (&["COUNT(*)"], "WHERE id > 3", String::new(), false),
        (&["COUNT(*)"], "WHERE id > 3", ttl("1 h"), false),
    ] {
        let new = statement(&ttl, calls, rest);
        assert_eq!(migrates(&old, &new), is_made, "{new}");
    }
    assert!(migrates(&statement(&ttl("1 h"), &all, ""), &statement("", &all, "")));
    // Values that are kept once for several filters are kept in another way where they are forgotten.
    let filtered = ["COUNT(*)", "COUNT(DISTINCT id)", "COUNT(DISTINCT id) FILTER (WHERE amount > 3)"];
    assert!(!migrates(&statement("", &filtered, ""), &statement(&ttl("1 h"), &filtered, "")));
}
