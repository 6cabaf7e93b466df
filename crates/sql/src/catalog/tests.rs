//! The catalog through statements, as a session uses it.
//!
//! Where the expected text is Flink's own, it was printed by Flink 2.3.0 for the same statements.

use super::*;
use crate::ast::{Statement, StatementKind};
use crate::parser::parse_script;
use crate::source::SourceText;

fn parse(text: &str) -> Vec<Statement> {
    let source = SourceText::new("test.sql", text);
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty(), "{}", crate::diagnostic::render_all(&diagnostics, &source));
    statements
}

/// Prepares and applies; everything else than a change is a mistake of the test.
fn run(catalog: &mut Catalog, text: &str) {
    for statement in parse(text) {
        let change = catalog.prepare(&statement.kind).expect("a statement about the catalog");
        match change {
            Ok(change) => {
                catalog.apply(change);
            }
            Err(error) => panic!("{statement}: {error}"),
        }
    }
}

fn fails(catalog: &Catalog, text: &str) -> String {
    let statements = parse(text);
    match catalog.prepare(&statements[0].kind).expect("a statement about the catalog") {
        Ok(change) => panic!("{text} is accepted: {change:?}"),
        Err(error) => error.to_string(),
    }
}

fn show(catalog: &Catalog, text: &str) -> Vec<String> {
    let statements = parse(text);
    let StatementKind::Show(show) = &statements[0].kind else { panic!("not a SHOW") };
    let listing = catalog.show(show).expect("answered by the catalog");
    let listing = listing.unwrap_or_else(|error| panic!("{text}: {error}"));
    listing.rows.into_iter().map(|row| row[0].clone().unwrap_or_default()).collect()
}

fn show_fails(catalog: &Catalog, text: &str) -> String {
    let statements = parse(text);
    let StatementKind::Show(show) = &statements[0].kind else { panic!("not a SHOW") };
    catalog.show(show).expect("answered by the catalog").expect_err(text).to_string()
}

const ORDERS: &str = "CREATE TABLE orders (
  order_id BIGINT NOT NULL COMMENT 'the order''s number',
  product VARCHAR, price DECIMAL(10, 2), amount INT,
  r ROW<a INT, b STRING 'x'>,
  ts TIMESTAMP(3) COMMENT 'when it ''happened''',
  ptime AS PROCTIME() COMMENT 'computed',
  cc AS UPPER(product) || 'x',
  mt TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, mo BIGINT METADATA,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND,
  CONSTRAINT PK_order_id PRIMARY KEY (order_id) NOT ENFORCED
) COMMENT 'the table' PARTITIONED BY (product) WITH ('connector' = 'datagen', 'a' = 'it''s');";

fn with_orders() -> Catalog {
    let mut catalog = Catalog::new();
    run(&mut catalog, ORDERS);
    catalog
}

#[test]
fn show_create_table_is_flinks() {
    assert_eq!(
        show(&with_orders(), "SHOW CREATE TABLE orders")[0],
        "CREATE TABLE `default_catalog`.`default_database`.`orders` (
  `order_id` BIGINT NOT NULL COMMENT 'the order''s number',
  `product` VARCHAR(2147483647),
  `price` DECIMAL(10, 2),
  `amount` INT,
  `r` ROW<`a` INT, `b` VARCHAR(2147483647) 'x'>,
  `ts` TIMESTAMP(3) COMMENT 'when it ''happened''',
  `ptime` AS PROCTIME() COMMENT 'computed',
  `cc` AS UPPER(`product`) || 'x',
  `mt` TIMESTAMP(3) WITH LOCAL TIME ZONE METADATA FROM 'timestamp' VIRTUAL,
  `mo` BIGINT METADATA,
  WATERMARK FOR `ts` AS `ts` - INTERVAL '1' SECOND,
  CONSTRAINT `PK_order_id` PRIMARY KEY (`order_id`) NOT ENFORCED
)
COMMENT 'the table'
PARTITIONED BY (`product`)
WITH (
  'a' = 'it''s',
  'connector' = 'datagen'
)
"
    );
}

#[test]
fn a_key_at_a_column_gets_flinks_name_and_makes_it_not_null() {
    let mut catalog = Catalog::new();
    run(
        &mut catalog,
        "CREATE TEMPORARY TABLE t (id INT PRIMARY KEY NOT ENFORCED, name STRING) DISTRIBUTED BY HASH(id) INTO 4 BUCKETS WITH ('connector' = 'datagen')",
    );
    assert_eq!(
        show(&catalog, "SHOW CREATE TABLE t")[0],
        "CREATE TEMPORARY TABLE `default_catalog`.`default_database`.`t` (
  `id` INT NOT NULL,
  `name` VARCHAR(2147483647),
  CONSTRAINT `PK_id` PRIMARY KEY (`id`) NOT ENFORCED
)
DISTRIBUTED BY HASH(`id`) INTO 4 BUCKETS
WITH (
  'connector' = 'datagen'
)
"
    );
}

#[test]
fn show_create_can_be_run_again() {
    let catalog = with_orders();
    let text = show(&catalog, "SHOW CREATE TABLE orders").remove(0);
    let mut again = Catalog::new();
    run(&mut again, &text);
    assert_eq!(show(&again, "SHOW CREATE TABLE orders")[0], text);
}

#[test]
fn describe_has_flinks_columns() {
    let catalog = with_orders();
    let found = catalog.resolve(&parse_name("orders")).unwrap();
    let column = |name: &str, data_type: &str, nullable| ResolvedColumn {
        name: name.into(),
        data_type: data_type.into(),
        nullable,
    };
    let columns = [
        column("order_id", "BIGINT", false),
        column("ts", "TIMESTAMP(3)", true),
        column("ptime", "TIMESTAMP_LTZ(3) *PROCTIME*", false),
        column("mt", "TIMESTAMP_LTZ(3)", true),
    ];
    let listing = catalog.describe(&found, &columns, None);
    assert_eq!(listing.columns, ["name", "type", "null", "key", "extras", "watermark", "comment"]);
    let rows: Vec<String> = listing
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or("null")).collect::<Vec<_>>().join(", "))
        .collect();
    assert_eq!(
        rows,
        [
            "order_id, BIGINT, FALSE, PRI(order_id), null, null, the order's number",
            "ts, TIMESTAMP(3) *ROWTIME*, TRUE, null, null, `ts` - INTERVAL '1' SECOND, when it 'happened'",
            "ptime, TIMESTAMP_LTZ(3) *PROCTIME*, FALSE, null, AS PROCTIME(), null, computed",
            "mt, TIMESTAMP_LTZ(3), TRUE, null, METADATA FROM 'timestamp' VIRTUAL, null, null",
        ]
    );
}

fn parse_name(text: &str) -> ObjectName {
    let statements = parse(&format!("DESCRIBE {text}"));
    let StatementKind::Describe(describe) = &statements[0].kind else { panic!("not a DESCRIBE") };
    describe.name.clone()
}

#[test]
fn names_are_resolved_in_the_current_catalog_and_database() {
    let mut catalog = Catalog::new();
    run(
        &mut catalog,
        "CREATE DATABASE d; CREATE TABLE d.t (a INT) WITH ('connector' = 'x'); USE d;
         CREATE TABLE u (b INT) WITH ('connector' = 'x');
         CREATE CATALOG c WITH ('type' = 'generic_in_memory', 'default-database' = 'e')",
    );
    assert_eq!(show(&catalog, "SHOW TABLES"), ["t", "u"]);
    assert_eq!(show(&catalog, "SHOW TABLES FROM default_catalog.default_database"), Vec::<String>::new());
    assert!(catalog.find(&parse_name("d.t")).is_some());
    run(&mut catalog, "USE CATALOG c");
    assert_eq!(show(&catalog, "SHOW CURRENT CATALOG"), ["c"]);
    assert_eq!(show(&catalog, "SHOW CURRENT DATABASE"), ["e"]);
    assert_eq!(catalog.names(), ["default_catalog.d.t", "default_catalog.d.u"]);
    assert!(catalog.find(&parse_name("u")).is_none());
    assert!(catalog.find(&parse_name("default_catalog.d.u")).is_some());
    // Names are case-sensitive.
    assert!(catalog.find(&parse_name("default_catalog.d.U")).is_none());
}

#[test]
fn what_is_missing_is_named_with_the_nearest() {
    let catalog = with_orders();
    assert_eq!(
        catalog.resolve(&parse_name("ordres")).unwrap_err().to_string(),
        "table or view 'ordres' not found (did you mean `orders`?)"
    );
    assert_eq!(
        catalog.resolve(&parse_name("default_databse.orders")).unwrap_err().to_string(),
        "database `default_databse` does not exist in catalog `default_catalog` (did you mean `default_database`?)"
    );
    assert_eq!(
        catalog.resolve(&parse_name("c.d.orders")).unwrap_err().to_string(),
        "catalog `c` does not exist"
    );
    assert_eq!(
        Catalog::new().resolve(&parse_name("t")).unwrap_err().to_string(),
        "table or view 't' not found (no table has been created yet)"
    );
}

#[test]
fn a_temporary_table_hides_a_permanent_one() {
    let mut catalog = with_orders();
    run(&mut catalog, "CREATE TEMPORARY TABLE orders (tmp INT) WITH ('connector' = 'x')");
    assert!(show(&catalog, "SHOW CREATE TABLE orders")[0].contains("`tmp` INT"));
    assert_eq!(show(&catalog, "SHOW TABLES"), ["orders"]);
    assert!(fails(&catalog, "DROP TABLE orders").contains("DROP TEMPORARY"));
    run(&mut catalog, "DROP TEMPORARY TABLE orders");
    assert!(show(&catalog, "SHOW CREATE TABLE orders")[0].contains("`order_id`"));
    assert!(fails(&catalog, "DROP TEMPORARY TABLE orders").contains("not found"));
}

#[test]
fn creating_twice_needs_if_not_exists_or_or_replace() {
    let mut catalog = with_orders();
    assert!(
        fails(&catalog, "CREATE TABLE orders (a INT) WITH ('connector' = 'x')")
            .starts_with("table `orders` exists already")
    );
    let before = catalog.resolve(&parse_name("orders")).unwrap().version;
    run(&mut catalog, "CREATE TABLE IF NOT EXISTS orders (a INT) WITH ('connector' = 'x')");
    assert_eq!(catalog.resolve(&parse_name("orders")).unwrap().version, before);
    run(&mut catalog, "CREATE OR REPLACE TABLE orders (a INT) WITH ('connector' = 'x')");
    assert_ne!(catalog.resolve(&parse_name("orders")).unwrap().version, before);
    assert!(fails(&catalog, "CREATE VIEW orders AS SELECT 1 AS x").contains("exists already"));
}

#[test]
fn views_keep_what_they_read_when_the_database_changes() {
    let mut catalog = with_orders();
    run(
        &mut catalog,
        "CREATE VIEW v (a, b) COMMENT 'view' AS
           WITH w AS (SELECT * FROM orders) SELECT order_id, COUNT(*) FROM w
           JOIN orders AS o ON EXISTS (SELECT 1 FROM orders WHERE amount IN (SELECT amount FROM nowhere))
           GROUP BY order_id;
         CREATE VIEW x AS SELECT * FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' HOUR))",
    );
    let orders = "`default_catalog`.`default_database`.`orders`";
    let text = show(&catalog, "SHOW CREATE VIEW v").remove(0);
    assert_eq!(
        text,
        format!(
            "CREATE VIEW `default_catalog`.`default_database`.`v` (
  `a`,
  `b`
)
COMMENT 'view'
AS WITH `w` AS (
SELECT *
FROM {orders}
)
SELECT `order_id`, COUNT(*)
FROM `w`
INNER JOIN {orders} AS `o` ON EXISTS (SELECT 1
FROM {orders}
WHERE `amount` IN (SELECT `amount`
FROM `nowhere`))
GROUP BY `order_id`
"
        )
    );
    assert!(show(&catalog, "SHOW CREATE VIEW x")[0].contains(&format!("TABLE {orders}")));
    assert_eq!(show(&catalog, "SHOW VIEWS"), ["v", "x"]);
    assert_eq!(show(&catalog, "SHOW TABLES"), ["orders", "v", "x"]);
    assert!(show_fails(&catalog, "SHOW CREATE TABLE v").contains("write SHOW CREATE VIEW"));
    assert!(show_fails(&catalog, "SHOW CREATE VIEW orders").contains("write SHOW CREATE TABLE"));
    assert!(fails(&catalog, "DROP TABLE v").contains("write DROP VIEW"));
    assert!(fails(&catalog, "ALTER TABLE v DROP c").contains("write ALTER VIEW"));
    run(&mut catalog, "ALTER VIEW v AS SELECT 2 AS r; ALTER VIEW v RENAME TO y");
    assert_eq!(
        show(&catalog, "SHOW CREATE VIEW y")[0],
        "CREATE VIEW `default_catalog`.`default_database`.`y`\nCOMMENT 'view'\nAS SELECT 2 AS `r`\n"
    );
}

#[test]
fn like_takes_everything_unless_told_otherwise() {
    let mut catalog = with_orders();
    run(&mut catalog, "CREATE TABLE l (extra STRING) WITH ('a' = 'z') LIKE orders");
    let text = show(&catalog, "SHOW CREATE TABLE l").remove(0);
    for part in [
        "`extra` VARCHAR(2147483647),",
        "WATERMARK FOR `ts`",
        "PRIMARY KEY (`order_id`)",
        "'a' = 'z'",
        "`ptime` AS",
        "`mo` BIGINT METADATA",
        "PARTITIONED BY",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("COMMENT 'the table'"));
    run(
        &mut catalog,
        "CREATE TABLE m (x INT) WITH ('b' = 'c') LIKE orders (EXCLUDING ALL INCLUDING CONSTRAINTS)",
    );
    let text = show(&catalog, "SHOW CREATE TABLE m").remove(0);
    for part in ["WATERMARK", "'connector'", "`ptime`", "METADATA", "PARTITIONED"] {
        assert!(!text.contains(part), "{part} is in\n{text}");
    }
    assert!(text.contains("PRIMARY KEY (`order_id`)"));
}

#[test]
fn like_overwrites_in_place_where_told_and_refuses_conflicts() {
    let mut catalog = with_orders();
    run(
        &mut catalog,
        "CREATE TABLE l (ptime AS LOCALTIMESTAMP, WATERMARK FOR ts AS ts) WITH ('a' = 'z')
         LIKE orders (OVERWRITING WATERMARKS OVERWRITING GENERATED OVERWRITING OPTIONS)",
    );
    let text = show(&catalog, "SHOW CREATE TABLE l").remove(0);
    assert!(text.contains("  `ptime` AS LOCALTIMESTAMP,\n  `cc` AS"), "{text}");
    assert!(text.contains("WATERMARK FOR `ts` AS `ts`,"), "{text}");
    for (statement, expected) in [
        (
            "CREATE TABLE x (order_id STRING) LIKE orders",
            "column `order_id` exists already in the source table",
        ),
        ("CREATE TABLE x (ptime AS NOW()) LIKE orders", "add OVERWRITING GENERATED"),
        ("CREATE TABLE x (mo INT METADATA) LIKE orders", "add OVERWRITING METADATA"),
        (
            "CREATE TABLE x (WATERMARK FOR ts AS ts) LIKE orders",
            "add OVERWRITING WATERMARKS or EXCLUDING WATERMARKS",
        ),
        ("CREATE TABLE x (PRIMARY KEY (price) NOT ENFORCED) LIKE orders", "add EXCLUDING CONSTRAINTS"),
        ("CREATE TABLE x (y INT) PARTITIONED BY (y) LIKE orders", "add EXCLUDING PARTITIONS"),
        ("CREATE TABLE x WITH ('a' = 'b') LIKE orders (INCLUDING OPTIONS)", "add OVERWRITING OPTIONS"),
        ("CREATE TABLE x LIKE nowhere", "table or view 'nowhere' not found"),
    ] {
        let message = fails(&catalog, statement);
        assert!(message.contains(expected), "{statement}: {message}");
    }
}

#[test]
fn alter_table_changes_the_definition() {
    let mut catalog = with_orders();
    run(
        &mut catalog,
        "ALTER TABLE orders ADD (n1 INT COMMENT 'new' FIRST, n2 AS amount + 1 AFTER order_id);
         ALTER TABLE orders DROP WATERMARK;
         ALTER TABLE orders DROP (n2, amount);
         ALTER TABLE orders RENAME order_id TO oid;
         ALTER TABLE orders MODIFY price BIGINT COMMENT 'big' FIRST;
         ALTER TABLE orders ADD WATERMARK FOR ts AS ts - INTERVAL '5' SECOND;
         ALTER TABLE orders MODIFY WATERMARK FOR ts AS ts;
         ALTER TABLE orders SET ('a' = 'new', 'z' = '1');
         ALTER TABLE orders RESET ('a', 'never set');
         ALTER TABLE IF EXISTS nowhere SET ('a' = 'b');",
    );
    let text = show(&catalog, "SHOW CREATE TABLE orders").remove(0);
    assert!(
        text.contains(
            "(\n  `price` BIGINT COMMENT 'big',\n  `n1` INT COMMENT 'new',\n  `oid` BIGINT NOT NULL"
        ),
        "{text}"
    );
    assert!(text.contains("PRIMARY KEY (`oid`)"), "{text}");
    assert!(text.contains("WATERMARK FOR `ts` AS `ts`,"), "{text}");
    assert!(text.contains("WITH (\n  'connector' = 'datagen',\n  'z' = '1'\n)"), "{text}");
    run(&mut catalog, "ALTER TABLE orders DROP PRIMARY KEY; ALTER TABLE orders RENAME TO old_orders");
    assert_eq!(show(&catalog, "SHOW TABLES"), ["old_orders"]);
}

#[test]
fn alter_table_refuses_what_would_break_the_table() {
    let catalog = with_orders();
    for (statement, expected) in [
        ("ALTER TABLE orders DROP product", "the computed column `cc` reads it"),
        ("ALTER TABLE orders DROP ts", "the watermark reads it"),
        ("ALTER TABLE orders DROP order_id", "it is part of the primary key"),
        ("ALTER TABLE orders DROP (cc, product)", "it is a partition key"),
        ("ALTER TABLE orders RENAME product TO p", "cannot be renamed: the computed column `cc` reads it"),
        ("ALTER TABLE orders RENAME amount TO price", "column `price` exists already"),
        ("ALTER TABLE orders DROP amout", "did you mean `amount`?"),
        ("ALTER TABLE orders MODIFY nope INT", "column `nope` does not exist in the table"),
        ("ALTER TABLE orders ADD amount INT", "column `amount` exists already"),
        ("ALTER TABLE orders ADD x INT AFTER nope", "column `nope` does not exist"),
        ("ALTER TABLE orders ADD WATERMARK FOR ts AS ts", "the table already has a watermark"),
        ("ALTER TABLE orders ADD PRIMARY KEY (price) NOT ENFORCED", "the table already has a primary key"),
        ("ALTER TABLE orders DROP CONSTRAINT nope", "its primary key is called `PK_order_id`"),
        ("ALTER TABLE orders DROP DISTRIBUTION", "the table has no distribution"),
        ("ALTER TABLE orders MODIFY DISTRIBUTION BY HASH(amount)", "the table has no distribution to modify"),
        ("ALTER TABLE orders RESET ('connector')", "a table cannot be without its connector"),
        ("ALTER TABLE nowhere DROP a", "table 'nowhere' not found"),
        ("ALTER TABLE orders RENAME TO orders", "exists already"),
    ] {
        let message = fails(&catalog, statement);
        assert!(message.contains(expected), "{statement}: {message}");
    }
}

#[test]
fn definitions_name_columns_that_are_there() {
    let catalog = Catalog::new();
    for (statement, expected) in [
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (b) NOT ENFORCED)",
            "column `b` of the primary key is not declared",
        ),
        ("CREATE TABLE t (a INT, c AS a, PRIMARY KEY (c) NOT ENFORCED)", "is not a physical column"),
        ("CREATE TABLE t (a INT, PRIMARY KEY (a, a) NOT ENFORCED)", "named twice"),
        ("CREATE TABLE t (a INT) PARTITIONED BY (b)", "column `b` of the partition is not declared"),
        ("CREATE TABLE t (a INT) DISTRIBUTED BY (b)", "column `b` of the distribution is not declared"),
        (
            "CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR tz AS ts)",
            "column `tz` of the watermark is not declared",
        ),
        ("CREATE TABLE t (a AS 1)", "at least one column that is not computed"),
        ("CREATE TABLE d.t (a INT)", "database `d` does not exist"),
    ] {
        let message = fails(&catalog, statement);
        assert!(message.contains(expected), "{statement}: {message}");
    }
}

#[test]
fn databases_and_catalogs_come_and_go() {
    let mut catalog = Catalog::new();
    run(
        &mut catalog,
        "CREATE CATALOG c COMMENT 'mine' WITH ('type' = 'generic_in_memory', 'default-database' = 'd1')",
    );
    assert_eq!(
        show(&catalog, "SHOW CREATE CATALOG c")[0],
        "CREATE CATALOG `c`\nCOMMENT 'mine'\nWITH (\n  'default-database' = 'd1',\n  'type' = 'generic_in_memory'\n)\n"
    );
    run(&mut catalog, "USE CATALOG c; CREATE TABLE t (a INT) WITH ('connector' = 'x')");
    assert!(fails(&catalog, "DROP DATABASE d1").contains("is in use"));
    run(&mut catalog, "CREATE DATABASE d2; CREATE DATABASE IF NOT EXISTS d2; USE d2");
    assert!(fails(&catalog, "DROP DATABASE d1").contains("is not empty"));
    run(&mut catalog, "DROP DATABASE d1 CASCADE; DROP DATABASE IF EXISTS d1");
    assert_eq!(show(&catalog, "SHOW DATABASES"), ["d2"]);
    assert!(fails(&catalog, "DROP CATALOG c").contains("is in use"));
    run(&mut catalog, "USE CATALOG default_catalog; DROP CATALOG c; DROP CATALOG IF EXISTS c");
    assert_eq!(show(&catalog, "SHOW CATALOGS"), ["default_catalog"]);
    for (statement, expected) in [
        ("CREATE CATALOG c", "needs the option 'type'"),
        ("CREATE CATALOG c WITH ('type' = 'hive')", "a catalog of type 'hive' is not supported"),
        ("CREATE CATALOG c WITH ('type' = 'generic_in_memory', 'x' = 'y')", "unknown option 'x'"),
        ("CREATE CATALOG default_catalog WITH ('type' = 'generic_in_memory')", "exists already"),
        ("CREATE DATABASE default_database", "exists already"),
        ("USE default_databas", "did you mean `default_database`?"),
        ("USE CATALOG nope", "catalog `nope` does not exist"),
        ("DROP DATABASE nope", "does not exist"),
        ("DROP FUNCTION f", "function `f` does not exist"),
    ] {
        let message = fails(&catalog, statement);
        assert!(message.contains(expected), "{statement}: {message}");
    }
}

#[test]
fn patterns_are_those_of_mysql() {
    let mut catalog = Catalog::new();
    for name in ["orders", "order_items", "persons", "`a%b`"] {
        run(&mut catalog, &format!("CREATE TABLE {name} (a INT) WITH ('connector' = 'x')"));
    }
    for (like, expected) in [
        ("LIKE 'order%'", vec!["order_items", "orders"]),
        ("NOT LIKE 'order%'", vec!["a%b", "persons"]),
        ("LIKE '%s'", vec!["order_items", "orders", "persons"]),
        ("LIKE 'order_'", vec!["orders"]),
        ("LIKE '%r\\_i%'", vec!["order_items"]),
        ("LIKE 'a\\%b'", vec!["a%b"]),
        ("LIKE 'a\\%'", vec![]),
        ("LIKE 'ORDERS'", vec![]),
        ("ILIKE 'ORDERS'", vec!["orders"]),
        ("LIKE '%e%r%o%'", vec!["persons"]),
        ("LIKE '%'", vec!["a%b", "order_items", "orders", "persons"]),
        ("LIKE ''", vec![]),
    ] {
        assert_eq!(show(&catalog, &format!("SHOW TABLES {like}")), expected, "{like}");
    }
}
