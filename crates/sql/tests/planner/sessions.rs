//! Statements that answer at once, and what a job request says.

use crate::connectors::connectors;
use sql::parser::parse_script;
use sql::session::{Outcome, Session};
use sql::source::SourceText;

fn run(session: &mut Session, text: &str) -> Vec<Outcome> {
    let source = SourceText::new("test", text);
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    statements
        .iter()
        .map(|statement| session.execute(statement).unwrap_or_else(|d| panic!("{}", d[0].render(&source))))
        .collect()
}

fn rows(outcome: &Outcome) -> Vec<String> {
    let Outcome::Rows { rows, .. } = outcome else { panic!("no rows: {outcome:?}") };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".into());
    rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join(" | ")).collect()
}

const TABLE: &str = "CREATE TABLE t (
  id INT NOT NULL, price DECIMAL(10, 2), ts TIMESTAMP(3), total AS price * 2,
  pos BIGINT METADATA FROM 'offset' VIRTUAL,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND, PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');";

#[test]
fn describe_prints_types_as_flink_does() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE VIEW v AS SELECT ts, CAST(ts AS TIMESTAMP(3)) AS plain, id FROM t;");
    let columns: Vec<String> = rows(&run(&mut session, "DESCRIBE t")[0])
        .iter()
        .map(|row| row.split(" | ").take(4).collect::<Vec<_>>().join(" | "))
        .collect();
    assert_eq!(
        columns,
        [
            "id | INT | FALSE | PRI(id)",
            "price | DECIMAL(10, 2) | TRUE | NULL",
            "ts | TIMESTAMP(3) *ROWTIME* | TRUE | NULL",
            "total | DECIMAL(21, 2) | TRUE | NULL",
            "pos | BIGINT | TRUE | NULL",
        ]
    );
    let view = rows(&run(&mut session, "DESCRIBE v")[0]);
    assert!(view[0].starts_with("ts | TIMESTAMP(3) *ROWTIME* |"), "{view:?}");
    assert!(view[1].starts_with("plain | TIMESTAMP(3) |"), "{view:?}");
}

#[test]
fn show_set_and_drop() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE VIEW v AS SELECT id FROM t;");
    assert_eq!(rows(&run(&mut session, "SHOW TABLES")[0]), ["t", "v"]);
    assert_eq!(rows(&run(&mut session, "SHOW VIEWS")[0]), ["v"]);
    run(&mut session, "DROP VIEW v;");
    assert_eq!(rows(&run(&mut session, "SHOW TABLES")[0]), ["t"]);
    run(&mut session, "SET 'table.dml-sync' = 'true';");
    assert_eq!(session.setting("table.dml-sync"), Some("true"));
    run(&mut session, "RESET;");
    assert_eq!(session.setting("table.dml-sync"), None);
}

#[test]
fn a_job_knows_its_name_its_end_and_its_fingerprint() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    let job = |session: &mut Session, text: &str| match run(session, text).pop() {
        Some(Outcome::Job(job)) => job,
        other => panic!("no job: {other:?}"),
    };
    let first = job(&mut session, "SELECT id FROM t WHERE price > 1;");
    let again = job(&mut session, "SELECT   id FROM t AS x WHERE x.price > 1;");
    let other = job(&mut session, "SELECT id FROM t WHERE price > 2;");
    assert_eq!(first.fingerprint, again.fingerprint);
    assert_ne!(first.fingerprint, other.fingerprint);
    assert!(!first.bounded);
    let bounded =
        job(&mut session, "SELECT id FROM t /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */;");
    assert!(bounded.bounded);
    run(&mut session, "SET 'pipeline.name' = 'mine';");
    assert_eq!(job(&mut session, "SELECT id FROM t;").name, "mine");
}

/// Two columns of one name are told apart in the text that the fingerprint is taken from.
#[test]
fn a_fingerprint_says_which_column_is_meant() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(
        &mut session,
        "CREATE TABLE names (id INT, price DECIMAL(10, 2))
         WITH ('connector' = 'filesystem', 'path' = 'n', 'format' = 'csv');",
    );
    let mut fingerprint = |columns: &str| {
        let text = format!("SELECT {columns} FROM t JOIN names AS n ON t.id = n.id;");
        match run(&mut session, &text).pop() {
            Some(Outcome::Job(job)) => job.fingerprint,
            other => panic!("no job: {other:?}"),
        }
    };
    let written = fingerprint("t.price AS a, n.price AS b");
    assert_eq!(written, fingerprint("t.price AS a, n.price AS b"));
    assert_ne!(written, fingerprint("n.price AS a, t.price AS b"));
}

#[test]
fn jobs_are_named_after_their_target_or_as_a_set() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE TABLE x (id INT) WITH ('connector' = 'print');");
    let jobs = run(
        &mut session,
        "EXPLAIN INSERT INTO x SELECT id FROM t; INSERT INTO x SELECT id FROM t;
         EXECUTE STATEMENT SET BEGIN INSERT INTO x SELECT id FROM t; INSERT INTO x SELECT 1 FROM t; END;
         EXECUTE STATEMENT SET BEGIN INSERT INTO x SELECT id FROM t; END; SELECT id FROM t;",
    );
    let names: Vec<&str> = jobs
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Job(job) => Some(job.name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["1-insert-into-x", "2-statement-set", "3-insert-into-x", "4-select"]);
}

/// What SET says of the zone reaches the plan.
#[test]
fn the_zone_is_part_of_the_fingerprint() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    let fingerprint = |session: &mut Session| match run(session, "SELECT id FROM t;").pop() {
        Some(Outcome::Job(job)) => job.fingerprint,
        other => panic!("no job: {other:?}"),
    };
    let utc = fingerprint(&mut session);
    run(&mut session, "SET 'table.local-time-zone' = '+02:00';");
    assert_ne!(utc, fingerprint(&mut session));
}

fn refused(session: &mut Session, text: &str) -> String {
    let source = SourceText::new("test", text);
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let problems = session.execute(&statements[0]).expect_err(text);
    problems[0].to_string()
}

fn names(session: &mut Session, table: &str) -> Vec<String> {
    let described = run(session, &format!("DESCRIBE {table}"));
    rows(&described[0]).iter().map(|row| row.split(" | ").next().unwrap_or_default().to_string()).collect()
}

#[test]
fn like_and_alter_are_bound_as_they_become() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE TABLE u (half AS price / 2) WITH ('topic' = 'u') LIKE t (EXCLUDING METADATA);");
    assert_eq!(names(&mut session, "u"), ["id", "price", "ts", "total", "half"]);
    run(&mut session, "ALTER TABLE u DROP (half, total); ALTER TABLE u ADD (note STRING FIRST);");
    assert_eq!(names(&mut session, "u"), ["note", "id", "price", "ts"]);
    run(&mut session, "INSERT INTO u SELECT 'x', id, price, ts FROM t;");
    // What cannot be bound changes nothing.
    assert!(refused(&mut session, "ALTER TABLE u ADD y AS nothing + 1").contains("'nothing' not found"));
    assert!(
        refused(&mut session, "ALTER TABLE u SET ('connector' = 'kafak')").contains("did you mean 'kafka'?")
    );
    assert_eq!(names(&mut session, "u"), ["note", "id", "price", "ts"]);
    let text = rows(&run(&mut session, "SHOW CREATE TABLE u")[0]).remove(0);
    assert!(text.contains("WATERMARK FOR `ts` AS `ts` - INTERVAL '1' SECOND"), "{text}");
    assert!(text.contains("'topic' = 'u'"), "{text}");
}

#[test]
fn views_and_tables_of_other_databases_are_read() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE VIEW v AS SELECT t.id, price FROM t WHERE t.price > 1;");
    run(&mut session, "CREATE DATABASE d; USE d;");
    assert!(refused(&mut session, "SELECT id FROM t").contains("'t' not found"));
    run(&mut session, "CREATE TEMPORARY VIEW t AS SELECT id FROM default_database.v;");
    assert_eq!(names(&mut session, "t"), ["id"]);
    // In the view, `t` still is the table of the other database.
    run(&mut session, "SELECT id, price FROM default_catalog.default_database.v;");
    assert_eq!(rows(&run(&mut session, "SHOW TABLES")[0]), ["t"]);
    run(&mut session, "DROP TEMPORARY VIEW t; USE default_database; DROP DATABASE d;");
    assert_eq!(names(&mut session, "t").len(), 5);
}

#[test]
fn settings_are_checked_and_what_is_without_effect_is_said() {
    let mut session = Session::new(connectors());
    assert!(
        refused(&mut session, "SET 'table.dml-snyc' = 'true'").contains("did you mean 'table.dml-sync'?")
    );
    assert!(refused(&mut session, "SET 'execution.runtime-mode' = 'batch'").contains("is not a value"));
    let answers = run(&mut session, "SET 'pipeline.auto-watermark-interval' = '0ms'; SET;");
    let Outcome::Done(message) = &answers[0] else { panic!("{answers:?}") };
    assert!(message.contains("is without effect"), "{message}");
    assert_eq!(rows(&answers[1]), ["pipeline.auto-watermark-interval | 0ms"]);
}

#[test]
fn an_option_of_a_table_that_changes_nothing_is_said_once() {
    let mut session = Session::new(connectors());
    let with = "'connector' = 'kafka', 'topic' = 't', 'format' = 'json'";
    let strategy = "'scan.watermark.emit.strategy' = 'on-event'";
    run(
        &mut session,
        &format!("CREATE TABLE a (id INT) WITH ({with}, {strategy}); CREATE TABLE b (id INT) WITH ({with});"),
    );
    let mut warnings = |text: &str| {
        let outcome = run(&mut session, text).remove(0);
        let Outcome::Job(job) = outcome else { panic!("{outcome:?}") };
        let messages = job.warnings.into_iter().map(|warning| warning.message);
        messages.filter(|message| message.contains("without effect")).collect::<Vec<_>>()
    };
    let said =
        "table 'a': 'scan.watermark.emit.strategy' is without effect: watermarks advance with every row";
    assert_eq!(warnings("INSERT INTO b SELECT id FROM a"), [said]);
    assert_eq!(warnings("INSERT INTO a SELECT id FROM b"), [said]);
    assert_eq!(warnings("INSERT INTO a SELECT id FROM a"), [said]);
    assert_eq!(warnings("INSERT INTO b SELECT id FROM b"), [""; 0]);
    let hint = format!("INSERT INTO b SELECT id FROM b /*+ OPTIONS({strategy}) */");
    assert_eq!(warnings(&hint), [said.replace("'a'", "'b'")]);
}

#[test]
fn a_renamed_table_leaves_its_name_to_another() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "ALTER TABLE t RENAME TO past; CREATE VIEW v AS SELECT id FROM past;");
    assert!(refused(&mut session, "SELECT id FROM t").contains("'t' not found"));
    // Equal options, other columns.
    run(
        &mut session,
        "CREATE TABLE t (word STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
         CREATE TABLE x (id STRING) WITH ('connector' = 'print'); ALTER VIEW v RENAME TO w;",
    );
    let both = "INSERT INTO x SELECT CAST(id AS STRING) FROM w UNION ALL SELECT word FROM t;";
    let Some(Outcome::Job(job)) = run(&mut session, both).pop() else { panic!("no job") };
    assert!(job.explain.contains("Scan(`past`) -> [`id` INT NOT NULL"), "{}", job.explain);
    assert!(job.explain.contains("Scan(`t`) -> [`word` STRING]"), "{}", job.explain);
    assert_eq!(rows(&run(&mut session, "SHOW VIEWS")[0]), ["w"]);
}

#[test]
fn what_there_is_is_listed() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE VIEW v (a, b) COMMENT 'two' AS SELECT id, price FROM t;");
    run(&mut session, "CREATE DATABASE IF NOT EXISTS d COMMENT 'other' WITH ('k' = 'v'); CREATE DATABASE e;");
    let mut listed = |text: &str| rows(&run(&mut session, text)[0]);
    assert_eq!(listed("SHOW DATABASES"), ["d", "default_database", "e"]);
    assert_eq!(listed("SHOW DATABASES LIKE 'd%'"), ["d", "default_database"]);
    assert_eq!(listed("SHOW CATALOGS"), ["default_catalog"]);
    assert_eq!(listed("SHOW CURRENT DATABASE"), ["default_database"]);
    assert_eq!(
        listed("DESCRIBE DATABASE EXTENDED d"),
        ["name | d", "catalog | default_catalog", "comment | other", "option:k | v"]
    );
    let columns = listed("SHOW COLUMNS FROM t LIKE '%i%'");
    assert_eq!(columns.len(), 2, "{columns:?}");
    assert!(columns[0].starts_with("id | INT | FALSE | PRI(id) |"), "{columns:?}");
    assert!(columns[1].starts_with("price | DECIMAL(10, 2) | TRUE |"), "{columns:?}");
    assert_eq!(listed("SHOW COLUMNS IN v NOT LIKE 'a'").len(), 1);
    let functions = listed("SHOW FUNCTIONS");
    assert!(functions.len() > 60 && functions.is_sorted(), "{functions:?}");
    assert!(functions.contains(&"upper".to_string()));
    assert!(functions.iter().all(|name| !name.starts_with('$')), "{functions:?}");
    assert_eq!(listed("SHOW FUNCTIONS LIKE 'to_timestamp%'"), ["to_timestamp", "to_timestamp_ltz"]);
    assert!(listed("SHOW USER FUNCTIONS").is_empty());
    assert_eq!(
        listed("SHOW CREATE VIEW v"),
        ["CREATE VIEW `default_catalog`.`default_database`.`v` (
  `a`,
  `b`
)
COMMENT 'two'
AS SELECT `id`, `price`
FROM `default_catalog`.`default_database`.`t`
"]
    );
    assert!(refused(&mut session, "SHOW CREATE TABLE v").contains("write SHOW CREATE VIEW"));
    assert!(refused(&mut session, "SHOW COLUMNS FROM tt").contains("did you mean `t`?"));
    assert!(refused(&mut session, "USE f").contains("database `f` does not exist"));
}

/// SHOW CREATE answers a statement that makes the same table.
#[test]
fn what_show_create_prints_creates_the_table_again() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    let text = rows(&run(&mut session, "SHOW CREATE TABLE t")[0]).remove(0);
    let before = rows(&run(&mut session, "DESCRIBE t")[0]);
    run(&mut session, "DROP TABLE t;");
    run(&mut session, &text);
    assert_eq!(rows(&run(&mut session, "DESCRIBE t")[0]), before);
    assert_eq!(rows(&run(&mut session, "SHOW CREATE TABLE t")[0]), [text]);
}

#[test]
fn settings_reach_the_job() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE TABLE x (price DECIMAL(10, 2) NOT NULL) WITH ('connector' = 'print');");
    let mut job =
        |before: &str| match run(&mut session, &format!("{before} INSERT INTO x SELECT price FROM t;")).pop()
        {
            Some(Outcome::Job(job)) => job,
            other => panic!("no job: {other:?}"),
        };
    let plain = job("");
    assert!(plain.settings.is_empty());
    assert!(plain.explain.contains("$NOT_NULL(price, 'price')"), "{}", plain.explain);
    let set =
        job("SET 'parallelism.default' = ' 4 '; SET 'table.dml-sync' = 'TRUE'; SET 'pipeline.name' = 'mine';
         SET 'table.exec.sink.not-null-enforcer' = 'drop';");
    assert_eq!(set.name, "mine");
    assert_eq!(set.settings["parallelism.default"], "4");
    assert_eq!(set.settings["table.dml-sync"], "true");
    assert!(set.explain.contains("Filter(price IS NOT NULL)"), "{}", set.explain);
    assert_ne!(set.fingerprint, plain.fingerprint);
    let some = job("RESET 'table.exec.sink.not-null-enforcer'; RESET 'pipeline.name';");
    assert_eq!(some.name, "3-insert-into-x");
    assert_eq!(some.fingerprint, plain.fingerprint);
    assert_eq!(some.settings.len(), 2);
    assert!(job("RESET;").settings.is_empty());
    assert!(refused(&mut session, "RESET 'pipeline.nam'").contains("did you mean 'pipeline.name'?"));
    assert!(refused(&mut session, "SET 'parallelism.default' = '0'").contains("is not a value"));
}

/// What a wrong declaration would have declared is not reported as missing, under whatever statement.
#[test]
fn one_mistake_is_one_message() {
    let text = "CREATE TABLE a (x INTT) WITH ('connector' = 'print');
        CREATE VIEW v AS SELECT x FROM a;
        ALTER TABLE a ADD (y INT);
        DESCRIBE default_database.v;
        INSERT INTO a SELECT x FROM v;
        SELECT x FROM b;
        DROP VIEW v; DROP TABLE a;";
    let check = Session::new(connectors()).check_script(&SourceText::new("test", text));
    let messages: Vec<&str> = check.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("INTT"), "{messages:?}");
    assert_eq!(messages[1], "table or view 'b' not found");
}

#[test]
fn no_view_reads_itself() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE VIEW v AS SELECT id FROM t; CREATE VIEW w AS SELECT id FROM v;");
    let itself = "is defined by itself";
    assert!(refused(&mut session, "CREATE OR REPLACE VIEW v AS SELECT id FROM v").contains(itself));
    assert!(refused(&mut session, "CREATE OR REPLACE VIEW v AS SELECT id FROM w").contains(itself));
    assert!(refused(&mut session, "ALTER VIEW v AS SELECT id FROM w").contains(itself));
    assert!(refused(&mut session, "CREATE TEMPORARY VIEW t AS SELECT id FROM t").contains(itself));
    assert!(refused(&mut session, "CREATE VIEW x (a, b) AS SELECT id FROM t").contains("names 2 columns"));
    // What was refused changed nothing.
    run(&mut session, "SELECT id FROM w;");
    assert_eq!(rows(&run(&mut session, "SHOW TABLES")[0]), ["t", "v", "w"]);
    run(&mut session, "ALTER VIEW v AS SELECT id, price FROM t;");
    assert_eq!(names(&mut session, "v"), ["id", "price"]);
}

/// The columns of a table: name and type.
fn columns(session: &Session, table: &str) -> Vec<String> {
    let columns = session.columns_of(table).unwrap_or_default();
    columns.into_iter().map(|(name, data_type)| format!("{name} {data_type}")).collect()
}

const WITH: &str = "WITH ('connector' = 'kafka', 'topic' = 'copy', 'format' = 'json')";

#[test]
fn a_table_made_of_a_query_has_its_columns_and_is_filled() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    let made =
        run(&mut session, &format!("CREATE TABLE copy {WITH} AS SELECT ts, id, price + 1 AS more FROM t;"));
    let [Outcome::Job(job)] = &made[..] else { panic!("{made:?}") };
    assert_eq!(job.name, "1-insert-into-copy");
    assert_eq!(columns(&session, "copy"), ["ts TIMESTAMP(3)", "id INT", "more DECIMAL(13, 2)"]);

    let declared = "CREATE TABLE wide (note STRING, id BIGINT, double AS id * 2, WATERMARK FOR ts AS ts)";
    let made =
        run(&mut session, &format!("{declared} {WITH} AS SELECT ts, id FROM t;").replace("double", "twice"));
    let [Outcome::Job(job)] = &made[..] else { panic!("{made:?}") };
    assert_eq!(
        columns(&session, "wide"),
        ["note STRING", "twice BIGINT", "ts TIMESTAMP(3) *ROWTIME*", "id BIGINT"]
    );
    assert!(job.explain.contains("NULL"), "{}", job.explain);

    run(&mut session, &format!("CREATE TABLE turned (price, id) {WITH} AS SELECT id, price FROM t;"));
    assert_eq!(columns(&session, "turned"), ["price DECIMAL(10, 2)", "id INT"]);

    let kept = run(&mut session, &format!("CREATE TABLE IF NOT EXISTS turned {WITH} AS SELECT ts FROM t;"));
    assert!(matches!(&kept[..], [Outcome::Done(said)] if said.contains("exists already")), "{kept:?}");
}

#[test]
fn a_table_whose_query_cannot_fill_it_is_not_made() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    for (columns, query, message) in [
        ("(price, id)", "SELECT id FROM t", "the query has no column 'price'"),
        ("(id)", "SELECT id, price FROM t", "column 'price' of the query is not in the list"),
        ("(id AS 1)", "SELECT id FROM t", "computed here and selected too"),
        ("(id DATE)", "SELECT id FROM t", "incompatible types"),
        ("", "SELECT NULL AS nothing FROM t", "which no table can have"),
        ("", "SELECT missing FROM t", "'missing'"),
    ] {
        let text = format!("CREATE TABLE copy {columns} {WITH} AS {query};");
        assert!(refused(&mut session, &text).contains(message), "{text}: {}", refused(&mut session, &text));
        assert!(session.columns_of("copy").is_none(), "{text}");
    }
}

const COUNT_CHAR: &str = "CREATE FUNCTION count_char AS 'com.github.nexmark.flink.udf.CountChar';";

#[test]
fn a_built_in_class_is_called_by_the_name_that_declares_it() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    let call = "SELECT Count_Char(CAST(id AS STRING), '1') AS ones FROM t;";
    assert!(refused(&mut session, call).contains("function 'Count_Char' not found"));
    run(&mut session, COUNT_CHAR);
    run(&mut session, &format!("CREATE VIEW v AS {call}"));
    assert_eq!(columns(&session, "v"), ["ones BIGINT"]);
    run(&mut session, "SELECT default_database.count_char('a', 'a') FROM t;");
    assert!(refused(&mut session, "SELECT count_char(1, 2, 3) FROM t;").contains("COUNT_CHAR(text, text)"));
    let listed = rows(&run(&mut session, "SHOW USER FUNCTIONS")[0]);
    assert_eq!(listed, ["count_char"]);
    assert!(refused(&mut session, COUNT_CHAR).contains("exists already"));
    run(&mut session, "DROP FUNCTION count_char;");
    assert!(refused(&mut session, call).contains("not found"));
    run(&mut session, &COUNT_CHAR.replace("CREATE", "CREATE TEMPORARY SYSTEM"));
    run(
        &mut session,
        &format!(
            "CREATE DATABASE d; USE d; {}",
            call.replace("FROM t", "FROM default_database.t")
                .replace("default_database.t", "default_catalog.default_database.t")
        ),
    );
    assert!(refused(&mut session, "DROP FUNCTION count_char;").contains("does not exist"));
    run(&mut session, "DROP TEMPORARY SYSTEM FUNCTION count_char;");
}

#[test]
fn other_classes_are_refused_with_what_to_do() {
    let mut session = Session::new(connectors());
    for (statement, message) in [
        ("CREATE FUNCTION f AS 'com.example.F';", "functions in the JVM are not supported yet"),
        ("CREATE FUNCTION f AS 'm.f' LANGUAGE PYTHON;", "functions in Python are not supported yet"),
        ("CREATE FUNCTION nowhere.f AS 'com.github.nexmark.flink.udf.CountChar';", "`nowhere`"),
    ] {
        let found = refused(&mut session, statement);
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn explain_shows_what_its_details_ask_for() {
    let mut session = Session::new(connectors());
    let explain = |session: &mut Session, details: &str| {
        let text = format!("EXPLAIN {details} INSERT INTO s SELECT COUNT(*), b FROM t GROUP BY b");
        let source = SourceText::new("explain.sql", text);
        let statement = parse_script(&source).0.remove(0);
        match session.execute(&statement) {
            Ok(Outcome::Explain(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    let declared = SourceText::new(
        "tables.sql",
        "CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
         CREATE TABLE s (n BIGINT, b STRING) WITH ('connector' = 'print');",
    );
    for statement in parse_script(&declared).0 {
        session.execute(&statement).unwrap();
    }
    let plain = explain(&mut session, "");
    assert!(
        plain.contains(
            "== State ==\n#1 GroupAggregate: the aggregates of each group by (b), for ever; updates by (b)\n"
        ),
        "{plain}"
    );
    assert!(plain.contains("== Advice ==\n- the state of GroupAggregate #1 is kept for ever"), "{plain}");
    assert!(!plain.contains("changelogMode") && plain.contains("== Changelog =="), "{plain}");
    assert!(explain(&mut session, "PLAN FOR").contains("== State =="));
    let all = explain(&mut session, "ESTIMATED_COST, CHANGELOG_MODE, PLAN_ADVICE, JSON_EXECUTION_PLAN");
    assert!(all.contains("changelogMode=[I,UB,UA]") && all.contains("== Cost =="), "{all}");
    let json = all.split("== Physical Execution Plan ==\n").nth(1).expect("the JSON plan");
    let state = "\"upsert_keys\": [[\"b\"]], \"predecessors\": [{\"id\": 0}], \"state\": {\"kept\": \"the aggregates of each group\", \"by\": [\"b\"], \"until\": \"for ever\"}";
    assert!(json.contains(state), "{json}");
    // What one EXPLAIN asked for does not stay.
    assert_eq!(explain(&mut session, ""), plain);
}
