//! The aggregate functions: what each is called, gives and takes, for binding, messages and the reference.
//!
//! The examples are calls over [`EXAMPLE_ROWS`], and run as tests.

/// How an aggregate is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    FirstValue,
    SingleValue,
    LastValue,
    Variance(Deviation),
    ListAgg,
    ArrayAgg,
    Collect,
    Percentile,
    JsonArrayAgg,
    JsonObjectAgg,
    /// Stands OVER a window only.
    RowNumber,
    Rank,
    Lag,
}

/// Which of the variances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviation {
    /// Of a sample of the values, not of all.
    pub sample: bool,
    /// The square root.
    pub root: bool,
}

pub struct Aggregate {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub usage: &'static str,
    pub kind: Kind,
    pub doc: &'static str,
    /// Calls and what they give.
    pub examples: &'static [(&'static str, &'static str)],
}

/// The rows of the examples: `k STRING, v INT, d DOUBLE, ts TIMESTAMP(3)`.
pub const EXAMPLE_ROWS: &[(&str, Option<i32>, f64, &str)] = &[
    ("a", Some(4), 0.5, "2026-01-01 10:00:00"),
    ("b", Some(1), 1.5, "2026-01-01 10:00:01"),
    ("a", None, 2.5, "2026-01-01 10:00:02"),
    ("c", Some(4), 3.5, "2026-01-01 10:00:03"),
];

const fn variance(sample: bool, root: bool) -> Kind {
    Kind::Variance(Deviation { sample, root })
}

const fn plain(
    name: &'static str,
    usage: &'static str,
    kind: Kind,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Aggregate {
    Aggregate { name, aliases: &[], usage, kind, doc, examples }
}

pub const AGGREGATES: &[Aggregate] = &[
    plain(
        "COUNT",
        "COUNT(*) | COUNT([DISTINCT] value)",
        Kind::Count,
        "How many rows there are, or how many that are not NULL.",
        &[("COUNT(*)", "4"), ("COUNT(v)", "3"), ("COUNT(DISTINCT v)", "2")],
    ),
    plain(
        "SUM",
        "SUM([DISTINCT] number)",
        Kind::Sum,
        "The sum, in the type of the argument: whole numbers wrap, decimals get 38 digits.",
        &[("SUM(v)", "9"), ("SUM(d) FILTER (WHERE v > 1)", "4.0"), ("SUM(v) OVER (ORDER BY ts)", "9")],
    ),
    plain(
        "AVG",
        "AVG([DISTINCT] number)",
        Kind::Avg,
        "The average, in the type of the argument: that of whole numbers is cut off.",
        &[("AVG(v)", "3"), ("AVG(d)", "2.0"), ("AVG(DISTINCT v)", "2")],
    ),
    plain("MIN", "MIN(value)", Kind::Min, "The least value.", &[("MIN(v)", "1"), ("MIN(k)", "a")]),
    plain("MAX", "MAX(value)", Kind::Max, "The greatest value.", &[("MAX(v)", "4"), ("MAX(d)", "3.5")]),
    plain(
        "SINGLE_VALUE",
        "SINGLE_VALUE(value)",
        Kind::SingleValue,
        "The value of the only row; more rows fail the job.",
        &[("SINGLE_VALUE(k) FILTER (WHERE v = 1)", "b")],
    ),
    plain(
        "FIRST_VALUE",
        "FIRST_VALUE(value)",
        Kind::FirstValue,
        "The value that came first; NULLs are skipped.",
        &[("FIRST_VALUE(k)", "a")],
    ),
    plain(
        "LAST_VALUE",
        "LAST_VALUE(value)",
        Kind::LastValue,
        "The value that came last; NULLs are skipped.",
        &[("LAST_VALUE(v)", "4")],
    ),
    plain(
        "STDDEV_POP",
        "STDDEV_POP([DISTINCT] number)",
        variance(false, true),
        "The standard deviation of all values, in the type of the argument (decimals: 6 digits behind the point at least).",
        &[("STDDEV_POP(d)", "1.118033988749895")],
    ),
    Aggregate {
        aliases: &["STDDEV"],
        ..plain(
            "STDDEV_SAMP",
            "STDDEV_SAMP([DISTINCT] number)",
            variance(true, true),
            "The standard deviation of a sample; of one value NULL.",
            &[("STDDEV_SAMP(d)", "1.2909944487358056")],
        )
    },
    plain(
        "VAR_POP",
        "VAR_POP([DISTINCT] number)",
        variance(false, false),
        "The variance of all values.",
        &[("VAR_POP(d)", "1.25"), ("VAR_POP(v)", "2")],
    ),
    Aggregate {
        aliases: &["VARIANCE"],
        ..plain(
            "VAR_SAMP",
            "VAR_SAMP([DISTINCT] number)",
            variance(true, false),
            "The variance of a sample; of one value NULL.",
            &[("VAR_SAMP(v)", "3"), ("VARIANCE(d)", "1.6666666666666667")],
        )
    },
    plain(
        "LISTAGG",
        "LISTAGG([DISTINCT] text [, separator])",
        Kind::ListAgg,
        "The texts one after the other in the order in which they came, with a comma or the separator between them; NULLs are skipped.",
        &[("LISTAGG(k)", "a,b,a,c"), ("LISTAGG(DISTINCT k, '; ')", "a; b; c")],
    ),
    plain(
        "ARRAY_AGG",
        "ARRAY_AGG([DISTINCT] value [IGNORE NULLS])",
        Kind::ArrayAgg,
        "The values in the order in which they came, NULLs too unless they are ignored.",
        &[("ARRAY_AGG(v)", "[4, 1, NULL, 4]"), ("ARRAY_AGG(DISTINCT v IGNORE NULLS)", "[4, 1]")],
    ),
    plain(
        "COLLECT",
        "COLLECT([DISTINCT] value)",
        Kind::Collect,
        "A multiset of the values; NULLs are skipped.",
        &[("COLLECT(v)", "{1=1, 4=2}"), ("COLLECT(DISTINCT k)", "{a=1, b=1, c=1}")],
    ),
    plain(
        "PERCENTILE",
        "PERCENTILE([DISTINCT] number, part [, frequency]) | PERCENTILE(number, ARRAY[part, …] [, frequency])",
        Kind::Percentile,
        "The exact value below which a part (0 to 1) of the values lies, between two of them where none is met. The frequency says how often a value counts.",
        &[
            ("PERCENTILE(d, 0.5)", "2.0"),
            ("PERCENTILE(d, ARRAY[0.0, 1.0])", "[0.5, 3.5]"),
            ("PERCENTILE(d, 0.5, v)", "1.5"),
        ],
    ),
    plain(
        "JSON_ARRAYAGG",
        "JSON_ARRAYAGG(value [ABSENT ON NULL]) | JSON_ARRAYAGG(value NULL ON NULL)",
        Kind::JsonArrayAgg,
        "A JSON array of the values in the order in which they came; NULLs are left out unless they are asked for.",
        &[("JSON_ARRAYAGG(v)", "[4,1,4]"), ("JSON_ARRAYAGG(v NULL ON NULL)", "[4,1,null,4]")],
    ),
    plain(
        "JSON_OBJECTAGG",
        "JSON_OBJECTAGG([KEY] text VALUE value [NULL ON NULL]) | JSON_OBJECTAGG([KEY] text VALUE value ABSENT ON NULL)",
        Kind::JsonObjectAgg,
        "A JSON object with a field for each row, in the order of the names; a name must not come twice.",
        &[
            ("JSON_OBJECTAGG(KEY CAST(d AS STRING) VALUE v)", "{\"0.5\":4,\"1.5\":1,\"2.5\":null,\"3.5\":4}"),
            ("JSON_OBJECTAGG(KEY k VALUE d ABSENT ON NULL) FILTER (WHERE v = 1)", "{\"b\":1.5}"),
        ],
    ),
    plain(
        "ROW_NUMBER",
        "ROW_NUMBER() OVER (… ORDER BY column)",
        Kind::RowNumber,
        "The number of the row in its partition, from 1. Compared with a number outside it makes a Top-N.",
        &[("ROW_NUMBER() OVER (ORDER BY ts)", "4")],
    ),
    Aggregate {
        aliases: &["DENSE_RANK"],
        ..plain(
            "RANK",
            "RANK() OVER (… ORDER BY column)",
            Kind::Rank,
            "How many rows stand up to this one, those that are equal in the order included: what Flink gives for both names on a stream.",
            &[("RANK() OVER (ORDER BY ts)", "4")],
        )
    },
    plain(
        "LAG",
        "LAG(value [, rows [, default]]) OVER (… ORDER BY time)",
        Kind::Lag,
        "The value some rows before, by default one.",
        &[("LAG(k) OVER (ORDER BY ts)", "a"), ("LAG(v, 9, -1) OVER (ORDER BY ts)", "-1")],
    ),
];

/// The aggregate of that name, whatever its case.
pub fn find(name: &str) -> Option<&'static Aggregate> {
    AGGREGATES.iter().find(|aggregate| {
        aggregate.name.eq_ignore_ascii_case(name)
            || aggregate.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// What Flink refuses on a stream too.
pub const BATCH_ONLY: &[&str] = &["LEAD", "NTILE", "PERCENT_RANK", "CUME_DIST", "APPROX_COUNT_DISTINCT"];
