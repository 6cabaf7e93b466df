//! Random typed expressions: literals with extreme values and NULLs at the leaves, operations that both sides know.

use crate::run::Random;

/// The types that expressions are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal,
    Text,
    Date,
    Time,
    Timestamp,
    Ltz,
}

use Kind::*;

const ALL: &[Kind] =
    &[Boolean, TinyInt, SmallInt, Int, BigInt, Float, Double, Decimal, Text, Date, Time, Timestamp, Ltz];
const NUMBERS: &[Kind] = &[TinyInt, SmallInt, Int, BigInt, Float, Double, Decimal];
const EXACT: &[Kind] = &[TinyInt, SmallInt, Int, BigInt, Decimal];
const INTEGERS: &[Kind] = &[TinyInt, SmallInt, Int, BigInt];

/// An expression with its parts.
#[derive(Debug, Clone)]
pub struct Tree {
    pub text: String,
    kind: Kind,
    operation: &'static str,
    children: Vec<Tree>,
}

impl Tree {
    /// All parts with itself, the smaller ones first.
    pub fn parts(&self) -> Vec<&Tree> {
        let mut parts = vec![self];
        let mut at = 0;
        while at < parts.len() {
            parts.extend(&parts[at].children);
            at += 1;
        }
        parts.sort_by_key(|part| part.text.len());
        parts
    }

    /// The operation with the types under it: what differs for one reason has one kind.
    pub fn kind(&self) -> String {
        let children: Vec<String> = self.children.iter().map(|child| format!("{:?}", child.kind)).collect();
        format!("{}({})", self.operation, children.join(","))
    }
}

pub fn random(random: &mut Random) -> Tree {
    let depth = 1 + random.below(4) as usize;
    let kind = pick(random, ALL);
    tree(random, kind, depth)
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize]
}

fn leaf(random: &mut Random, kind: Kind) -> Tree {
    let name = type_name(kind);
    let text = if random.below(8) == 0 {
        format!("CAST(NULL AS {name})")
    } else {
        let literal = pick(random, literals(kind));
        match kind {
            TinyInt | SmallInt | Float => format!("CAST({literal} AS {name})"),
            BigInt => format!("CAST({literal} AS BIGINT)"),
            Text if random.below(3) > 0 => format!("CAST({literal} AS STRING)"),
            Ltz => format!("CAST({literal} AS TIMESTAMP_LTZ(3))"),
            _ => literal.to_string(),
        }
    };
    Tree { text, kind, operation: "literal", children: Vec::new() }
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Boolean => "BOOLEAN",
        TinyInt => "TINYINT",
        SmallInt => "SMALLINT",
        Int => "INT",
        BigInt => "BIGINT",
        Float => "FLOAT",
        Double => "DOUBLE",
        Decimal => "DECIMAL(10, 2)",
        Text => "STRING",
        Date => "DATE",
        Time => "TIME(0)",
        Timestamp => "TIMESTAMP(3)",
        Ltz => "TIMESTAMP_LTZ(3)",
    }
}

fn literals(kind: Kind) -> &'static [&'static str] {
    match kind {
        Boolean => &["TRUE", "FALSE"],
        TinyInt => &["0", "1", "-1", "127", "-128", "7"],
        SmallInt => &["0", "1", "-1", "32767", "-32768", "300"],
        Int => &["0", "1", "-1", "2147483647", "-2147483647", "42", "1000000", "-7"],
        BigInt => &["0", "1", "-1", "9223372036854775807", "-9223372036854775807", "5000000000", "13"],
        Float => &["0", "1.5", "-2.25", "3.4E38", "1.0E-40", "0.1", "16777217"],
        Double => &["0e0", "1.5e0", "-2.5e0", "1.7e308", "4.9E-324", "0.1e0", "1e15", "-1e7", "123456.789e0"],
        Decimal => &["0.00", "1.50", "-2.25", "99999999.99", "0.01", "12345.678", "1.0", "0.005", "-7.5"],
        Text => &[
            "''",
            "'a'",
            "'Hello World'",
            "'  x '",
            "'12'",
            "'-3.5'",
            "'äöü😀'",
            "'2026-03-05'",
            "'true'",
            "'a,b,,c'",
            "'%_x'",
            "'NULL'",
            "'line\\n'",
            "'ABC'",
        ],
        Date => &[
            "DATE '2026-03-05'",
            "DATE '1970-01-01'",
            "DATE '2024-02-29'",
            "DATE '9876-12-31'",
            "DATE '2000-12-31'",
        ],
        Time => &["TIME '00:00:00'", "TIME '23:59:59'", "TIME '12:34:56'"],
        Timestamp => &[
            "TIMESTAMP '2026-03-05 12:34:56.789'",
            "TIMESTAMP '1970-01-01 00:00:00.000'",
            "TIMESTAMP '2024-02-29 23:59:59.999'",
            "TIMESTAMP '2000-01-01 00:00:00.001'",
        ],
        Ltz => &["'2026-03-05 12:34:56.789'", "'1970-01-01 00:00:00'", "'2024-02-29 23:59:59.999'"],
    }
}

/// A form: what it is told as, and the text with `%` where the parts stand, with their types.
type Form = (&'static str, &'static str, &'static [Kind]);

/// Forms of one type with fixed parts; those that take any types are in `tree`.
fn forms(kind: Kind) -> &'static [Form] {
    match kind {
        Boolean => &[
            ("AND", "(% AND %)", &[Boolean, Boolean]),
            ("OR", "(% OR %)", &[Boolean, Boolean]),
            ("NOT", "(NOT %)", &[Boolean]),
            ("IS TRUE", "(% IS TRUE)", &[Boolean]),
            ("IS NOT FALSE", "(% IS NOT FALSE)", &[Boolean]),
            ("IS UNKNOWN", "(% IS UNKNOWN)", &[Boolean]),
            ("LIKE", "(% LIKE '%%a%%')", &[Text]),
            ("LIKE", "(% LIKE '_%%')", &[Text]),
            ("STARTSWITH", "STARTSWITH(%, %)", &[Text, Text]),
            ("ENDSWITH", "ENDSWITH(%, %)", &[Text, Text]),
            ("REGEXP", "REGEXP(%, '[a-l]+')", &[Text]),
            ("TRY_CAST", "TRY_CAST(% AS BOOLEAN)", &[Text]),
            ("CAST", "CAST(% AS BOOLEAN)", &[Int]),
            ("IN", "(% IN (1, 42, -7))", &[Int]),
            ("IN", "(% IN ('a', 'ABC', ''))", &[Text]),
            ("BETWEEN", "(% BETWEEN % AND %)", &[Int, Int, Int]),
            ("BETWEEN", "(% BETWEEN % AND %)", &[Decimal, Decimal, Decimal]),
            ("NOT BETWEEN", "(% NOT BETWEEN % AND %)", &[Date, Date, Date]),
        ],
        Int => &[
            ("CHAR_LENGTH", "CHAR_LENGTH(%)", &[Text]),
            ("POSITION", "POSITION(% IN %)", &[Text, Text]),
            ("LOCATE", "LOCATE(%, %)", &[Text, Text]),
            ("TIMESTAMPDIFF", "TIMESTAMPDIFF(DAY, %, %)", &[Timestamp, Timestamp]),
            ("TIMESTAMPDIFF", "TIMESTAMPDIFF(HOUR, %, %)", &[Timestamp, Timestamp]),
            ("TIMESTAMPDIFF", "TIMESTAMPDIFF(MONTH, %, %)", &[Timestamp, Timestamp]),
            ("TRY_CAST", "TRY_CAST(% AS INT)", &[Text]),
            ("SIGN", "SIGN(%)", &[Int]),
        ],
        BigInt => &[
            ("EXTRACT YEAR", "EXTRACT(YEAR FROM %)", &[Date]),
            ("EXTRACT MONTH", "EXTRACT(MONTH FROM %)", &[Timestamp]),
            ("EXTRACT DAY", "EXTRACT(DAY FROM %)", &[Ltz]),
            ("EXTRACT HOUR", "EXTRACT(HOUR FROM %)", &[Timestamp]),
            ("EXTRACT SECOND", "EXTRACT(SECOND FROM %)", &[Time]),
            ("EXTRACT DOW", "EXTRACT(DOW FROM %)", &[Date]),
            ("EXTRACT WEEK", "EXTRACT(WEEK FROM %)", &[Date]),
            ("EXTRACT DOY", "EXTRACT(DOY FROM %)", &[Timestamp]),
            ("QUARTER", "QUARTER(%)", &[Date]),
            ("TRY_CAST", "TRY_CAST(% AS BIGINT)", &[Text]),
        ],
        Double => &[
            ("SQRT", "SQRT(%)", &[Double]),
            ("POWER", "POWER(%, %)", &[Double, Int]),
            ("TRY_CAST", "TRY_CAST(% AS DOUBLE)", &[Text]),
            ("ROUND", "ROUND(%, 2)", &[Double]),
        ],
        Decimal => &[
            ("ROUND", "ROUND(%, 1)", &[Decimal]),
            ("TRUNCATE", "TRUNCATE(%, 1)", &[Decimal]),
            ("TRY_CAST", "TRY_CAST(% AS DECIMAL(8, 3))", &[Text]),
        ],
        Text => &[
            ("UPPER", "UPPER(%)", &[Text]),
            ("LOWER", "LOWER(%)", &[Text]),
            ("||", "(% || %)", &[Text, Text]),
            ("CONCAT", "CONCAT(%, %)", &[Text, Text]),
            ("CONCAT_WS", "CONCAT_WS(%, %, %)", &[Text, Text, Text]),
            ("SUBSTRING", "SUBSTRING(%, %, 3)", &[Text, TinyInt]),
            ("TRIM", "TRIM(%)", &[Text]),
            ("LTRIM", "LTRIM(%)", &[Text]),
            ("REPLACE", "REPLACE(%, %, %)", &[Text, Text, Text]),
            ("REVERSE", "REVERSE(%)", &[Text]),
            ("LPAD", "LPAD(%, 6, %)", &[Text, Text]),
            ("RPAD", "RPAD(%, 6, %)", &[Text, Text]),
            ("LEFT", "LEFT(%, 3)", &[Text]),
            ("RIGHT", "RIGHT(%, 2)", &[Text]),
            ("REPEAT", "REPEAT(%, 2)", &[Text]),
            ("INITCAP", "INITCAP(%)", &[Text]),
            ("SPLIT_INDEX", "SPLIT_INDEX(%, ',', 1)", &[Text]),
            ("REGEXP_EXTRACT", "REGEXP_EXTRACT(%, '([a-z]+) ?([A-Z])?', 1)", &[Text]),
            ("REGEXP_REPLACE", "REGEXP_REPLACE(%, '[aeiou]', '*')", &[Text]),
            ("OVERLAY", "OVERLAY(% PLACING % FROM 2 FOR 1)", &[Text, Text]),
            ("DATE_FORMAT", "DATE_FORMAT(%, 'yyyy-MM-dd HH:mm')", &[Timestamp]),
        ],
        Date => &[
            ("+ DAY", "(% + INTERVAL '3' DAY)", &[Date]),
            ("- MONTH", "(% - INTERVAL '13' MONTH)", &[Date]),
            ("TO_DATE", "TO_DATE(%)", &[Text]),
            ("CAST", "CAST(% AS DATE)", &[Timestamp]),
            ("FLOOR", "FLOOR(% TO MONTH)", &[Date]),
        ],
        Time => &[("CAST", "CAST(% AS TIME(0))", &[Timestamp])],
        Timestamp => &[
            ("+ SECOND", "(% + INTERVAL '10' SECOND)", &[Timestamp]),
            ("+ MONTH", "(% + INTERVAL '1' MONTH)", &[Timestamp]),
            ("- HOUR", "(% - INTERVAL '25' HOUR)", &[Timestamp]),
            ("FLOOR", "FLOOR(% TO HOUR)", &[Timestamp]),
            ("FLOOR", "FLOOR(% TO YEAR)", &[Timestamp]),
            ("CEIL", "CEIL(% TO DAY)", &[Timestamp]),
            ("CAST", "CAST(% AS TIMESTAMP(3))", &[Date]),
            ("CAST", "CAST(% AS TIMESTAMP(3))", &[Ltz]),
            ("TO_TIMESTAMP", "TO_TIMESTAMP(%)", &[Text]),
        ],
        Ltz => &[
            ("CAST", "CAST(% AS TIMESTAMP_LTZ(3))", &[Timestamp]),
            ("TO_TIMESTAMP_LTZ", "TO_TIMESTAMP_LTZ(%, 3)", &[Int]),
            ("+ DAY", "(% + INTERVAL '1' DAY)", &[Ltz]),
        ],
        TinyInt | SmallInt | Float => &[],
    }
}

fn tree(random: &mut Random, kind: Kind, depth: usize) -> Tree {
    if depth == 0 {
        return leaf(random, kind);
    }
    let below = |random: &mut Random, kind| {
        let depth = random.below(depth as u64) as usize;
        tree(random, kind, depth)
    };
    match random.below(10) {
        0 => leaf(random, kind),
        1 => {
            let parts = vec![below(random, Boolean), below(random, kind), below(random, kind)];
            build("CASE", "CASE WHEN % THEN % ELSE % END", kind, parts)
        }
        2 => {
            let parts = vec![below(random, kind), below(random, kind)];
            let form = pick(random, &[("COALESCE", "COALESCE(%, %)"), ("NULLIF", "NULLIF(%, %)")]);
            build(form.0, form.1, kind, parts)
        }
        3 if kind == Boolean => {
            let of = pick(random, ALL);
            let parts = vec![below(random, of)];
            let form = pick(random, &[("IS NULL", "(% IS NULL)"), ("IS NOT NULL", "(% IS NOT NULL)")]);
            build(form.0, form.1, kind, parts)
        }
        4 | 5 if kind == Boolean => {
            let of = pick(random, ALL);
            let other = if NUMBERS.contains(&of) { pick(random, NUMBERS) } else { of };
            let parts = vec![below(random, of), below(random, other)];
            let operations: &[(&str, &str)] = if of == Boolean {
                &[("=", "(% = %)"), ("<>", "(% <> %)")]
            } else {
                &[
                    ("=", "(% = %)"),
                    ("<>", "(% <> %)"),
                    ("<", "(% < %)"),
                    (">=", "(% >= %)"),
                    ("IS DISTINCT FROM", "(% IS DISTINCT FROM %)"),
                ]
            };
            let form = pick(random, operations);
            build(form.0, form.1, kind, parts)
        }
        // Its type follows Flink's rules for the two; it need not be `kind`, and nothing above depends on it.
        3..=6 if NUMBERS.contains(&kind) => {
            let other = if random.below(2) == 0 { kind } else { pick(random, NUMBERS) };
            let parts = vec![below(random, kind), below(random, other)];
            let form = pick(random, &[("+", "(% + %)"), ("-", "(% - %)"), ("*", "(% * %)")]);
            build(form.0, form.1, kind, parts)
        }
        7 if NUMBERS.contains(&kind) => {
            let exact = EXACT.contains(&kind);
            let other = pick(random, if exact { EXACT } else { NUMBERS });
            let parts = vec![below(random, kind), below(random, other)];
            let operations: &[(&str, &str)] = if INTEGERS.contains(&kind) && INTEGERS.contains(&other) {
                &[("/", "(% / NULLIF(%, 0))"), ("MOD", "MOD(%, NULLIF(%, 0))")]
            } else {
                &[("/", "(% / NULLIF(%, 0))")]
            };
            let form = pick(random, operations);
            build(form.0, form.1, kind, parts)
        }
        8 if NUMBERS.contains(&kind) => {
            let parts = vec![below(random, kind)];
            let forms = [("ABS", "ABS(%)"), ("NEGATE", "(- %)"), ("FLOOR", "FLOOR(%)"), ("CEIL", "CEIL(%)")];
            let form = pick(random, &forms);
            build(form.0, form.1, kind, parts)
        }
        3 | 4 if kind == Text => {
            let of = pick(random, ALL);
            build("CAST STRING", "CAST(% AS STRING)", kind, vec![below(random, of)])
        }
        9 if NUMBERS.contains(&kind) => {
            // An infinite number as DECIMAL fails in Flink, even under TRY_CAST.
            let of = pick(random, if kind == Decimal { EXACT } else { NUMBERS });
            let parts = vec![below(random, of)];
            let form = match kind {
                TinyInt => "CAST(% AS TINYINT)",
                SmallInt => "CAST(% AS SMALLINT)",
                Int => "CAST(% AS INT)",
                BigInt => "CAST(% AS BIGINT)",
                Float => "CAST(% AS FLOAT)",
                Double => "CAST(% AS DOUBLE)",
                // Flink calls the result NOT NULL and shows -1 where it overflows.
                _ => "TRY_CAST(% AS DECIMAL(10, 2))",
            };
            build("CAST number", form, kind, parts)
        }
        _ => {
            let forms = forms(kind);
            if forms.is_empty() {
                return leaf(random, kind);
            }
            let (operation, form, kinds) = pick(random, forms);
            let parts = kinds.iter().map(|kind| below(random, *kind)).collect();
            build(operation, form, kind, parts)
        }
    }
}

/// The form with its parts; `%%` is a per cent sign.
fn build(operation: &'static str, form: &str, kind: Kind, children: Vec<Tree>) -> Tree {
    let mut text = String::new();
    let mut parts = children.iter();
    let mut rest = form;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        if let Some(after) = rest[at..].strip_prefix("%%") {
            text.push('%');
            rest = after;
        } else {
            text.push_str(parts.next().map_or("", |part| &part.text));
            rest = &rest[at + 1..];
        }
    }
    text.push_str(rest);
    Tree { text, kind, operation, children }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_expression() {
        let texts = |seed| (0..50).map(|_| super::random(&mut Random(seed)).text).collect::<Vec<_>>();
        assert_eq!(texts(7), texts(7));
        let mut source = Random(1);
        let trees: Vec<Tree> = (0..500).map(|_| super::random(&mut source)).collect();
        assert!(trees.iter().all(|tree| !tree.text.contains("%,") || tree.text.contains('\'')));
        assert!(trees.iter().any(|tree| tree.children.len() > 2));
        let deep = trees.iter().find(|tree| tree.children.len() > 1).unwrap();
        assert!(deep.parts().len() > 2 && deep.parts().last().unwrap().text == deep.text);
    }
}
