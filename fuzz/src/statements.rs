//! SQL text: parsed, bound and planned beside a small catalog.

use connectors::Connectors;
use os::sim::SimOs;
use sql::session::Session;
use sql::source::SourceText;

const CATALOG: &str = "
CREATE TABLE orders (id BIGINT, customer STRING, amount DECIMAL(10, 2), tags ARRAY<STRING>, at_time TIMESTAMP(3),
    WATERMARK FOR at_time AS at_time - INTERVAL '5' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE customers (name STRING, city STRING, PRIMARY KEY (name) NOT ENFORCED)
    WITH ('connector' = 'datagen');
CREATE TABLE result (customer STRING, total DECIMAL(20, 2)) WITH ('connector' = 'print');
";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A table of a database would be looked at, on the machine's own disk.
    if text.to_ascii_lowercase().contains("jdbc") {
        return;
    }
    let connectors = connectors::table(Connectors { os: SimOs::new(1).os(), log: None });
    let source = SourceText::new("fuzz", format!("{CATALOG}{text}"));
    let check = Session::new(connectors).check_script(&source);
    let length = source.expanded().len();
    for diagnostic in check.diagnostics.iter().chain(&check.lints) {
        assert!(diagnostic.span.end as usize <= length, "a message about text that is not there");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "INSERT INTO result SELECT customer, SUM(amount) FROM orders GROUP BY customer;",
        "SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(at_time), INTERVAL '1' MINUTE)) \
         GROUP BY window_start, window_end;",
        "SELECT o.id, c.city FROM orders AS o LEFT JOIN customers c ON o.customer = c.name WHERE o.amount > 1e2;",
        "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount DESC) AS n FROM orders) \
         WHERE n <= 3;",
        "SELECT CASE WHEN id IN (1, 2) THEN UPPER(customer) ELSE CAST(id AS STRING) END, t FROM orders \
         CROSS JOIN UNNEST(tags) AS u (t);",
        "SELECT * FROM orders MATCH_RECOGNIZE (PARTITION BY customer ORDER BY at_time MEASURES A.id AS first_id \
         PATTERN (A B+ C) DEFINE B AS B.amount > A.amount, C AS C.amount < 1);",
        "SET 'table.exec.state.ttl' = '1 h'; CREATE VIEW v AS SELECT DISTINCT city FROM customers; EXPLAIN SELECT * \
         FROM v UNION ALL VALUES ('x'), (U&'\\00e4');",
        "SELECT JSON_VALUE('{\"a\":[1]}', '$.a[0]'), REGEXP_EXTRACT('ab', '(a)(b)', 1), DATE '2024-02-29' + INTERVAL \
         '1-2' YEAR TO MONTH, X'00', -9223372036854775808, 1 / 0 /* c */ -- d",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
