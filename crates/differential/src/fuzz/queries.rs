//! Random queries over the suite's tables: joins, filters, groups, windows, ranks, sets, nested ones.
//!
//! Results must be defined: no order decides but where a key breaks ties, and no sums of floating-point numbers.

use crate::run::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    BigInt,
    Decimal,
    Double,
    Text,
    Boolean,
    Time,
}

use Kind::*;

struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// The column of event time.
    time: Option<&'static str>,
    /// A column or two that make a row unique.
    unique: &'static str,
}

const TABLES: &[Table] = &[
    Table {
        name: "bids",
        columns: &[("auction", Int), ("bidder", Text), ("price", Decimal), ("qty", Int), ("ts", Time)],
        time: Some("ts"),
        unique: "ts",
    },
    Table {
        name: "late",
        columns: &[("id", Int), ("k", Text), ("v", Int), ("ts", Time)],
        time: Some("ts"),
        unique: "id",
    },
    Table {
        name: "auctions",
        columns: &[("id", Int), ("item", Text), ("seller", Text), ("opens", Time), ("closes", Time)],
        time: Some("opens"),
        unique: "id",
    },
    Table {
        name: "people",
        columns: &[("name", Text), ("city", Text), ("age", Int)],
        time: None,
        unique: "name",
    },
    Table {
        name: "numbers",
        columns: &[
            ("id", Int),
            ("i", Int),
            ("b", BigInt),
            ("d", Double),
            ("m", Decimal),
            ("s", Text),
            ("f", Boolean),
        ],
        time: None,
        unique: "id",
    },
    Table {
        name: "products",
        columns: &[("id", Int), ("name", Text), ("price", Decimal), ("stock", Int)],
        time: None,
        unique: "id",
    },
    Table {
        name: "sales",
        columns: &[("id", Int), ("product", Int), ("qty", Int)],
        time: None,
        unique: "id",
    },
];

/// A query as parts that can be left out.
#[derive(Debug, Clone)]
pub struct Query {
    distinct: bool,
    items: Vec<String>,
    from: String,
    /// A join behind `from`.
    join: Option<String>,
    filters: Vec<String>,
    keys: Vec<String>,
    having: Option<String>,
    /// Around the whole: `%` is the query.
    around: Option<String>,
    set: Option<(&'static str, Box<Query>)>,
    features: Vec<&'static str>,
}

impl Query {
    pub fn text(&self) -> String {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let mut text = format!("SELECT {distinct}{} FROM {}", self.items.join(", "), self.from);
        if let Some(join) = &self.join {
            text.push_str(join);
        }
        if !self.filters.is_empty() {
            text.push_str(&format!(" WHERE {}", self.filters.join(" AND ")));
        }
        if !self.keys.is_empty() {
            text.push_str(&format!(" GROUP BY {}", self.keys.join(", ")));
        }
        if let Some(having) = &self.having {
            text.push_str(&format!(" HAVING {having}"));
        }
        if let Some((operation, other)) = &self.set {
            text.push_str(&format!(" {operation} {}", other.text()));
        }
        match &self.around {
            Some(around) => around.replacen('%', &text, 1),
            None => text,
        }
    }

    /// What it is made of.
    pub fn kind(&self) -> String {
        let mut features = self.features.clone();
        if self.distinct {
            features.push("DISTINCT");
        }
        if self.having.is_some() {
            features.push("HAVING");
        }
        if !self.filters.is_empty() {
            features.push("WHERE");
        }
        if let Some((operation, _)) = &self.set {
            features.push(operation);
        }
        format!("query {}", features.join(" "))
    }

    /// The same with one part left out.
    pub fn smaller(&self) -> Vec<Query> {
        let mut smaller = Vec::new();
        let mut with = |change: &dyn Fn(&mut Query)| {
            let mut query = self.clone();
            change(&mut query);
            smaller.push(query);
        };
        for index in 0..self.filters.len() {
            with(&|query| drop(query.filters.remove(index)));
        }
        if self.having.is_some() {
            with(&|query| query.having = None);
        }
        if self.set.is_some() {
            with(&|query| query.set = None);
        } else if self.around.is_none() && self.items.len() > 1 {
            for index in 0..self.items.len() {
                with(&|query| drop(query.items.remove(index)));
            }
        }
        if self.distinct {
            with(&|query| query.distinct = false);
        }
        smaller
    }
}

type Column = (String, Kind);

fn pick<'a, T>(random: &mut Random, from: &'a [T]) -> &'a T {
    &from[random.below(from.len() as u64) as usize]
}

fn columns(table: &Table, alias: &str) -> Vec<Column> {
    table.columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect()
}

pub fn random(random: &mut Random) -> Query {
    match random.below(17) {
        0 => plain(random),
        1 => set(random),
        2 | 3 => window(random),
        4 | 5 => rank(random),
        6 => nested(random),
        7 => over(random),
        8 => grouping_sets(random),
        9 => window_join(random),
        10 => window_rank(random),
        11 => interval_join(random),
        _ => {
            let (mut query, columns) = source(random);
            if random.below(3) == 0 {
                select(random, &mut query, &columns);
            } else {
                group(random, &mut query, &columns);
            }
            query
        }
    }
}

/// One table or a join, with filters; no items yet.
fn source(random: &mut Random) -> (Query, Vec<Column>) {
    let left = pick(random, TABLES);
    let mut all = columns(left, "x");
    let mut query = simple(&[], Vec::new(), format!("{} AS x", left.name), Vec::new(), Vec::new());
    if random.below(2) == 0 {
        let right = pick(random, TABLES);
        let right_columns = columns(right, "y");
        // By time an interval join: which late rows of it count depends on how two inputs interleave.
        let late = left.name == "late" || right.name == "late";
        let pairs: Vec<(String, String)> = all
            .iter()
            .filter(|(_, kind)| !(late && *kind == Time))
            .flat_map(|(a, kind)| {
                let same = right_columns.iter().filter(move |(_, other)| kind == other);
                same.map(move |(b, _)| (a.clone(), b.clone()))
            })
            .collect();
        if !pairs.is_empty() {
            let (kind, keyword) = *pick(
                random,
                &[
                    ("INNER", "JOIN"),
                    ("INNER", "JOIN"),
                    ("LEFT", "LEFT JOIN"),
                    ("RIGHT", "RIGHT JOIN"),
                    ("FULL", "FULL JOIN"),
                ],
            );
            let (a, b) = pick(random, &pairs).clone();
            let mut on = format!("{a} = {b}");
            let both: Vec<Column> = all.iter().chain(&right_columns).cloned().collect();
            if random.below(3) == 0 {
                on.push_str(&format!(" AND {}", predicate(random, &both, 0)));
            }
            query.join = Some(format!(" {keyword} {} AS y ON {on}", right.name));
            query.features.push(kind);
            all = both;
        }
    }
    for _ in 0..random.below(3) {
        query.filters.push(predicate(random, &all, 2));
    }
    if query.join.is_none() && random.below(4) == 0 {
        let other = pick(random, TABLES);
        let inner = columns(other, "z");
        let pairs: Vec<(&Column, &Column)> =
            all.iter().flat_map(|a| inner.iter().filter(move |b| a.1 == b.1).map(move |b| (a, b))).collect();
        if !pairs.is_empty() {
            let (a, b) = pick(random, &pairs);
            let (a, b) = (a.0.clone(), b.0.clone());
            let extra = predicate(random, &inner, 0);
            let (feature, filter) = match random.below(4) {
                0 => ("IN", format!("{a} IN (SELECT {b} FROM {} AS z WHERE {extra})", other.name)),
                1 => ("NOT IN", format!("{a} NOT IN (SELECT {b} FROM {} AS z WHERE {extra})", other.name)),
                2 => (
                    "EXISTS",
                    format!("EXISTS (SELECT 1 FROM {} AS z WHERE {b} = {a} AND {extra})", other.name),
                ),
                _ => (
                    "NOT EXISTS",
                    format!("NOT EXISTS (SELECT 1 FROM {} AS z WHERE {b} = {a} AND {extra})", other.name),
                ),
            };
            query.filters.push(filter);
            query.features.push(feature);
        }
    }
    (query, all)
}

fn predicate(random: &mut Random, columns: &[Column], depth: usize) -> String {
    if depth > 0 && random.below(3) == 0 {
        let (a, b) = (predicate(random, columns, depth - 1), predicate(random, columns, depth - 1));
        return match random.below(3) {
            0 => format!("({a} OR {b})"),
            1 => format!("({a} AND {b})"),
            _ => format!("NOT ({a})"),
        };
    }
    let (column, kind) = pick(random, columns).clone();
    let same: Vec<&Column> =
        columns.iter().filter(|(name, other)| *other == kind && *name != column).collect();
    if !same.is_empty() && random.below(6) == 0 {
        let other = &pick(random, &same).0;
        return format!("{column} {} {other}", pick(random, &["=", "<>", "<", ">="]));
    }
    match (random.below(6), kind) {
        (0, _) => format!("{column} IS NULL"),
        (1, _) => format!("{column} IS NOT NULL"),
        (_, Boolean) => column,
        (2, Text) => format!("{column} LIKE '%a%'"),
        (3, Int) => format!("{column} IN (1, 2, 3, 34)"),
        (3, Text) => format!("{column} NOT IN ('ann', 'lamp', 'b')"),
        (4, Int) => format!("{column} BETWEEN 2 AND 5"),
        _ => {
            let literal = pick(random, literals(kind));
            format!("{column} {} {literal}", pick(random, &["=", "<>", "<", "<=", ">", ">="]))
        }
    }
}

fn literals(kind: Kind) -> &'static [&'static str] {
    match kind {
        Int | BigInt => &["0", "1", "2", "3", "5", "30"],
        Decimal => &["0.05", "10.00", "12.25", "20", "99.99"],
        Double => &["0e0", "2.5e0", "1"],
        Text => &["'ann'", "'bob'", "'Oslo'", "'lamp'", "'a'", "'b'"],
        Boolean => &["TRUE", "FALSE"],
        Time => &["TIMESTAMP '2026-03-05 12:00:20.000'", "TIMESTAMP '2026-03-05 12:00:45.000'"],
    }
}

fn item(random: &mut Random, columns: &[Column]) -> String {
    let (column, kind) = pick(random, columns).clone();
    match (random.below(6), kind) {
        (0, Int | BigInt) => format!("{column} + 1"),
        (0, Decimal) => format!("{column} * 2"),
        (0, Text) => format!("UPPER({column})"),
        (1, Int) => format!("COALESCE({column}, 0)"),
        (1, Text) => format!("{column} || '!'"),
        (2, Text) => format!("CASE WHEN {column} > 'b' THEN 'x' ELSE {column} END"),
        (2, Int) => format!("CAST({column} AS STRING)"),
        (3, Time) => format!("EXTRACT(SECOND FROM {column})"),
        _ => column,
    }
}

fn select(random: &mut Random, query: &mut Query, columns: &[Column]) {
    let count = 1 + random.below(3);
    query.items = (0..count).map(|_| item(random, columns)).collect();
    query.distinct = random.below(4) == 0;
    query.features.push("SELECT");
}

fn plain(random: &mut Random) -> Query {
    let (mut query, columns) = source(random);
    select(random, &mut query, &columns);
    query
}

fn aggregate(random: &mut Random, columns: &[Column], feature: &str) -> String {
    let (column, kind) = pick(random, columns).clone();
    let filter = match random.below(5) {
        0 => format!(" FILTER (WHERE {})", predicate(random, columns, 0)),
        _ => String::new(),
    };
    let function = match kind {
        Int | BigInt | Decimal => *pick(random, &["SUM", "AVG", "MIN", "MAX", "COUNT"]),
        Boolean => "COUNT",
        _ => *pick(random, &["MIN", "MAX", "COUNT"]),
    };
    // Flink refuses SUM and AVG of distinct values over slices when it runs them.
    let sliced = matches!(feature, "HOP" | "CUMULATE") && matches!(function, "SUM" | "AVG");
    let distinct = if !sliced && random.below(4) == 0 { "DISTINCT " } else { "" };
    if random.below(5) == 0 {
        format!("COUNT(*){filter}")
    } else {
        format!("{function}({distinct}{column}){filter}")
    }
}

fn aggregates(random: &mut Random, columns: &[Column], feature: &str) -> Vec<String> {
    let count = 1 + random.below(3);
    (0..count).map(|_| aggregate(random, columns, feature)).collect()
}

fn group(random: &mut Random, query: &mut Query, columns: &[Column]) {
    let keys = random.below(3) as usize;
    let mut names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    for _ in 0..keys {
        let key = pick(random, &names).clone();
        names.retain(|name| *name != key);
        query.keys.push(key);
    }
    query.items = query.keys.iter().cloned().chain(aggregates(random, columns, "")).collect();
    if !query.keys.is_empty() && random.below(4) == 0 {
        query.having = Some(format!("COUNT(*) {} {}", pick(random, &[">", "<=", "="]), 1 + random.below(3)));
    }
    query.features.push(if keys == 0 { "GLOBAL" } else { "GROUP" });
}

fn set(random: &mut Random) -> Query {
    let operation =
        *pick(random, &["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"]);
    let half = |random: &mut Random, kind: Kind| loop {
        let (mut query, columns) = source(random);
        let of_kind: Vec<&Column> = columns.iter().filter(|(_, other)| *other == kind).collect();
        if !of_kind.is_empty() {
            query.items = vec![pick(random, &of_kind).0.clone()];
            return query;
        }
    };
    let kind = *pick(random, &[Int, Text]);
    let mut query = half(random, kind);
    query.set = Some((operation, Box::new(half(random, kind))));
    query
}

fn window(random: &mut Random) -> Query {
    let table = timed(random);
    let time = table.time.unwrap_or_default();
    let bare = bare(table);
    let keys: Vec<String> =
        if random.below(2) == 0 { vec![pick(random, &bare[..2]).0.clone()] } else { Vec::new() };
    let size = *pick(random, &[5, 10, 20, 30, 60]);
    let (feature, call) = match random.below(4) {
        0 => {
            ("TUMBLE", format!("TUMBLE(TABLE {}, DESCRIPTOR({time}), INTERVAL '{size}' SECOND)", table.name))
        }
        1 => (
            "HOP",
            format!(
                "HOP(TABLE {}, DESCRIPTOR({time}), INTERVAL '5' SECOND, INTERVAL '{size}' SECOND)",
                table.name
            ),
        ),
        2 => (
            "CUMULATE",
            format!(
                "CUMULATE(TABLE {}, DESCRIPTOR({time}), INTERVAL '5' SECOND, INTERVAL '{size}' SECOND)",
                table.name
            ),
        ),
        _ => {
            let by = match keys.first() {
                Some(key) => format!(" PARTITION BY {key}"),
                None => String::new(),
            };
            let gap = *pick(random, &[2, 4, 10, 15]);
            (
                "SESSION",
                format!("SESSION(TABLE {}{by}, DESCRIPTOR({time}), INTERVAL '{gap}' SECOND)", table.name),
            )
        }
    };
    let ends = ["window_start".to_string(), "window_end".to_string()];
    let mut filters = Vec::new();
    if feature != "SESSION" && random.below(3) == 0 {
        filters.push(predicate(random, &bare, 1));
    }
    let items =
        ends.iter().cloned().chain(keys.iter().cloned()).chain(aggregates(random, &bare, feature)).collect();
    let keys = ends.iter().cloned().chain(keys.iter().cloned()).collect();
    let mut query = simple(&[feature], items, format!("TABLE({call})"), filters, keys);
    query.having = (random.below(5) == 0).then(|| "COUNT(*) > 1".to_string());
    query
}

fn rank(random: &mut Random) -> Query {
    let table = pick(random, TABLES);
    let bare = bare(table);
    let by = pick(random, &bare).0.clone();
    let order = pick(random, &bare).0.clone();
    let direction = *pick(random, &["", " DESC", " DESC NULLS LAST", " ASC NULLS FIRST"]);
    let ties = if order == table.unique { String::new() } else { format!(", {}", table.unique) };
    let partition = if random.below(4) == 0 { String::new() } else { format!("PARTITION BY {by} ") };
    let number = format!("ROW_NUMBER() OVER ({partition}ORDER BY {order}{direction}{ties}) AS n");
    // With an offset, Flink leaves rows standing that a deleted row of a changing table moved.
    let limits = ["n <= 2", "n <= 3", "n = 2", "n BETWEEN 2 AND 3"];
    let changes = matches!(table.name, "products" | "sales");
    let limit = *pick(random, if changes { &limits[..2] } else { &limits });
    let shown = if random.below(2) == 0 { "*".to_string() } else { pick(random, &bare).0.clone() };
    // No Top-1: Flink leaves rows standing in it (FINDINGS.md).
    let mut filters = Vec::new();
    if random.below(3) == 0 {
        filters.push(predicate(random, &bare, 1));
    }
    let around = match random.below(4) {
        0 => format!("SELECT COUNT(*), MAX({order}), COUNT(DISTINCT {by}) FROM (%) WHERE {limit}"),
        _ => format!("SELECT {shown} FROM (%) WHERE {limit}"),
    };
    let mut query = simple(&["RANK"], vec!["*".into(), number], table.name.to_string(), filters, Vec::new());
    query.around = Some(around);
    query
}

fn nested(random: &mut Random) -> Query {
    let (mut query, columns) = source(random);
    let (key, _) = pick(random, &columns).clone();
    let aggregate = aggregate(random, &columns, "");
    query.items = vec![format!("{key} AS k"), format!("{aggregate} AS n"), "COUNT(*) AS c".into()];
    query.keys = vec![key];
    query.features.push("NESTED");
    let around = *pick(
        random,
        &[
            "SELECT c, COUNT(*), MAX(n) FROM (%) GROUP BY c",
            "SELECT MAX(n), MIN(n), COUNT(n), COUNT(DISTINCT c) FROM (%)",
            "SELECT SUM(c), COUNT(*) FROM (%) WHERE n IS NOT NULL",
            "SELECT k, c FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY c DESC, k) AS r FROM (%)) WHERE r <= 2",
            "SELECT q.k, q.n, p.city FROM (%) AS q LEFT JOIN people AS p ON q.c = p.age",
        ],
    );
    query.around = Some(around.to_string());
    query
}

/// Aggregates over a frame, in the order of event time.
fn over(random: &mut Random) -> Query {
    let table = in_order(random);
    let (time, bare) = (table.time.unwrap_or_default(), bare(table));
    let partition = match random.below(3) {
        0 => String::new(),
        _ => format!("PARTITION BY {} ", pick(random, &bare[..2]).0),
    };
    let frame = *pick(
        random,
        &[
            "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            "RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW",
            "RANGE BETWEEN INTERVAL '3' SECOND PRECEDING AND CURRENT ROW",
        ],
    );
    let mut items = vec![table.unique.to_string()];
    for (index, aggregate) in aggregates(random, &bare, "OVER").into_iter().enumerate() {
        // A FILTER ends before its OVER.
        items.push(format!("{aggregate} OVER ({partition}ORDER BY {time} {frame}) AS a{index}"));
    }
    // A condition on the time makes it a plain column in Flink.
    let others: Vec<Column> = bare.iter().filter(|(_, kind)| *kind != Time).cloned().collect();
    let filters = if random.below(3) == 0 { vec![predicate(random, &others, 1)] } else { Vec::new() };
    simple(&["OVER"], items, table.name.to_string(), filters, Vec::new())
}

fn grouping_sets(random: &mut Random) -> Query {
    let table = pick(random, TABLES);
    let bare = bare(table);
    let first = pick(random, &bare).0.clone();
    let others: Vec<&Column> = bare.iter().filter(|(name, _)| *name != first).collect();
    let second = pick(random, &others).0.clone();
    let sets = match random.below(4) {
        0 => format!("ROLLUP ({first}, {second})"),
        1 => format!("CUBE ({first}, {second})"),
        2 => format!("GROUPING SETS (({first}), ({second}))"),
        _ => format!("GROUPING SETS (({first}, {second}), ({second}), ())"),
    };
    let items = [first.clone(), second.clone(), format!("GROUPING_ID({first}, {second})")];
    let items = items.into_iter().chain(aggregates(random, &bare, "")).collect();
    let filters = if random.below(3) == 0 { vec![predicate(random, &bare, 1)] } else { Vec::new() };
    simple(&["GROUPING SETS"], items, table.name.to_string(), filters, vec![sets])
}

fn tumble(table: &Table, seconds: u32) -> String {
    let time = table.time.unwrap_or_default();
    format!("TABLE(TUMBLE(TABLE {}, DESCRIPTOR({time}), INTERVAL '{seconds}' SECOND))", table.name)
}

fn window_join(random: &mut Random) -> Query {
    let (left, right) = (in_order(random), in_order(random));
    let size = *pick(random, &[10, 20, 60]);
    let (a, b) = (columns(left, "x"), columns(right, "y"));
    let pairs: Vec<(&Column, &Column)> = a
        .iter()
        .flat_map(|a| b.iter().filter(move |b| a.1 == b.1 && a.1 != Time).map(move |b| (a, b)))
        .collect();
    let keyword = *pick(random, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let equal = match pairs.is_empty() {
        true => String::new(),
        false => {
            let (a, b) = pick(random, &pairs);
            format!(" AND {} = {}", a.0, b.0)
        }
    };
    let items = vec![
        "x.window_start AS xs".into(),
        "y.window_end AS ye".into(),
        format!("x.{}", left.unique),
        format!("y.{}", right.unique),
    ];
    let on = format!("x.window_start = y.window_start AND x.window_end = y.window_end{equal}");
    let mut query =
        simple(&["WINDOW JOIN"], items, format!("{} AS x", tumble(left, size)), Vec::new(), Vec::new());
    query.join = Some(format!(" {keyword} {} AS y ON {on}", tumble(right, size)));
    query
}

fn window_rank(random: &mut Random) -> Query {
    let table = timed(random);
    let bare = bare(table);
    let size = *pick(random, &[10, 20, 60]);
    let key = match random.below(2) {
        0 => String::new(),
        _ => format!(", {}", pick(random, &bare[..2]).0),
    };
    let order = pick(random, &bare).0.clone();
    let direction = *pick(random, &["", " DESC"]);
    let number = format!(
        "ROW_NUMBER() OVER (PARTITION BY window_start, window_end{key} ORDER BY {order}{direction}, {}) AS n",
        table.unique
    );
    let limit = *pick(random, &["n <= 1", "n <= 2", "n <= 3"]);
    let mut query =
        simple(&["WINDOW RANK"], vec!["*".into(), number], tumble(table, size), Vec::new(), Vec::new());
    query.around = Some(format!("SELECT window_start, {}, n FROM (%) WHERE {limit}", table.unique));
    query
}

fn interval_join(random: &mut Random) -> Query {
    let (left, right) = (in_order(random), in_order(random));
    let (x, y) = (left.time.unwrap_or_default(), right.time.unwrap_or_default());
    let (before, after) = (*pick(random, &[0, 5, 20]), *pick(random, &[0, 3, 30]));
    let keyword = *pick(random, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let (a, b) = (columns(left, "x"), columns(right, "y"));
    let pairs: Vec<(&Column, &Column)> = a
        .iter()
        .flat_map(|a| b.iter().filter(move |b| a.1 == b.1 && a.1 != Time).map(move |b| (a, b)))
        .collect();
    let (a, b) = pick(random, &pairs);
    let on = format!(
        "{} = {} AND x.{x} BETWEEN y.{y} - INTERVAL '{before}' SECOND AND y.{y} + INTERVAL '{after}' SECOND",
        a.0, b.0
    );
    let items =
        vec![format!("x.{}", left.unique), format!("y.{}", right.unique), a.0.clone(), format!("y.{y}")];
    let mut query = simple(&["INTERVAL JOIN"], items, format!("{} AS x", left.name), Vec::new(), Vec::new());
    query.join = Some(format!(" {keyword} {} AS y ON {on}", right.name));
    query
}

fn timed(random: &mut Random) -> &'static Table {
    let timed: Vec<&Table> = TABLES.iter().filter(|table| table.time.is_some()).collect();
    pick::<&'static Table>(random, &timed)
}

/// A table with event time and without late rows: two inputs with some have no defined result.
fn in_order(random: &mut Random) -> &'static Table {
    loop {
        let table = timed(random);
        if table.name != "late" {
            return table;
        }
    }
}

fn bare(table: &Table) -> Vec<Column> {
    table.columns.iter().map(|(name, kind)| ((*name).to_string(), *kind)).collect()
}

/// Without joins, HAVING, sets and anything around.
fn simple(
    features: &[&'static str],
    items: Vec<String>,
    from: String,
    filters: Vec<String>,
    keys: Vec<String>,
) -> Query {
    Query {
        distinct: false,
        items,
        from,
        join: None,
        filters,
        keys,
        having: None,
        around: None,
        set: None,
        features: features.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_query_and_smaller_ones_are_smaller() {
        let queries = |seed| {
            let mut random = Random(seed);
            (0..200).map(|_| super::random(&mut random)).collect::<Vec<_>>()
        };
        let texts: Vec<String> = queries(3).iter().map(Query::text).collect();
        assert_eq!(texts, queries(3).iter().map(Query::text).collect::<Vec<_>>());
        for query in queries(4) {
            let length = query.text().len();
            assert!(query.smaller().iter().all(|smaller| smaller.text().len() < length), "{}", query.text());
        }
    }
}
