//! The table of expressions (`expressions.txt`), and the examples that the functions document.

use crate::evaluation::{evaluate, evaluate_in, over_column};

/// `expression => TYPE => value`, `expression => value`, or `expression => error: part of the message`.
#[test]
fn expressions_have_flinks_values() {
    let table = include_str!("expressions.txt");
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (number, line) in table.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        rows += 1;
        let parts: Vec<&str> = line.split(" => ").collect();
        let found = evaluate(parts[0]);
        let fits = match (&found, &parts[1..]) {
            (Ok((_, value)), [wanted]) => value == wanted,
            (Ok((data_type, value)), [wanted_type, wanted]) => value == wanted && data_type == wanted_type,
            (Err(message), [wanted]) => {
                wanted.strip_prefix("error: ").is_some_and(|wanted| message.contains(wanted))
            }
            _ => false,
        };
        if !fits {
            wrong.push(format!("line {}: {line}\n    found {found:?}", number + 1));
        }
    }
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows >= 250, "{rows} rows");
}

#[test]
fn documented_examples_hold() {
    let mut wrong = Vec::new();
    for function in sql::functions::all() {
        assert!(!function.doc.is_empty(), "{} has no sentence", function.name);
        assert!(
            !function.examples.is_empty()
                || function.reads_clock
                || matches!(function.name, "$NOT_NULL" | "$SINGLE"),
            "{} has no example",
            function.name
        );
        for (text, wanted) in function.examples {
            match evaluate(text) {
                Ok((_, value)) if value == *wanted => {}
                found => wrong.push(format!("{text} should be {wanted}, found {found:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_of_types_and_forms_hold() {
    for entry in sql::reference::TYPES.iter().chain(sql::reference::FORMS) {
        let (text, wanted) = entry.example.split_once(" => ").unwrap();
        let found = evaluate(text).map(|(_, value)| value);
        assert_eq!(found.as_deref(), Ok(wanted), "{text}");
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = sql::functions::names().collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for name in names {
        assert!(!sql::functions::is_known_elsewhere(name), "{name} is here and listed as missing");
    }
}

/// Instants are read on the session's clock; wall clocks are not moved.
#[test]
fn the_zone_of_the_session() {
    let in_zone = |text: &str| evaluate_in(text, base::Zone::fixed_ms(7_200_000)).unwrap().1;
    assert_eq!(in_zone("TO_TIMESTAMP_LTZ(0, 3)"), "1970-01-01 02:00:00.000");
    assert_eq!(in_zone("CAST(TO_TIMESTAMP_LTZ(0, 3) AS STRING)"), "1970-01-01 02:00:00.000");
    assert_eq!(in_zone("CAST(TO_TIMESTAMP_LTZ(0, 3) AS TIMESTAMP(3))"), "1970-01-01 02:00:00.000");
    assert_eq!(
        in_zone("CAST(TIMESTAMP '1970-01-01 02:00:00' AS TIMESTAMP_LTZ(3))"),
        "1970-01-01 02:00:00.000"
    );
    assert_eq!(in_zone("HOUR(TO_TIMESTAMP_LTZ(0, 3))"), "2");
    assert_eq!(in_zone("EXTRACT(EPOCH FROM TO_TIMESTAMP_LTZ(0, 3))"), "7200");
    assert_eq!(in_zone("FROM_UNIXTIME(0)"), "1970-01-01 02:00:00");
    assert_eq!(in_zone("UNIX_TIMESTAMP('1970-01-01 02:00:00')"), "0");
    assert_eq!(in_zone("DATE_FORMAT(TO_TIMESTAMP_LTZ(0, 3), 'HH:mm')"), "02:00");
    assert_eq!(in_zone("LOCALTIMESTAMP"), "2026-03-05 14:44:31.123");
    assert_eq!(in_zone("FLOOR(TO_TIMESTAMP_LTZ(0, 3) TO DAY)"), "1970-01-01 00:00:00.000");
}

/// Gaps and overlaps of a named zone: times that do not exist move on, those that come twice are the first, but for
/// UNIX_TIMESTAMP, which takes the second as Java's older calendars do.
#[test]
fn named_zones_have_gaps_and_overlaps() {
    let berlin = base::Zone::parse("Europe/Berlin").unwrap();
    let printed = |text: &str| evaluate_in(text, berlin).unwrap().1;
    assert_eq!(
        printed("CAST(CAST(TIMESTAMP '2021-03-28 02:30:00' AS TIMESTAMP_LTZ(0)) AS STRING)"),
        "2021-03-28 03:30:00"
    );
    assert_eq!(printed("UNIX_TIMESTAMP('2021-03-28 02:30:00')"), "1616895000");
    assert_eq!(printed("UNIX_TIMESTAMP('2021-10-31 02:30:00')"), "1635643800");
    assert_eq!(
        printed("EXTRACT(EPOCH FROM CAST(TIMESTAMP '2021-10-31 02:30:00' AS TIMESTAMP_LTZ(0)))"),
        "1635647400"
    );
    assert_eq!(printed("FROM_UNIXTIME(1635643800)"), "2021-10-31 02:30:00");
    assert_eq!(printed("FROM_UNIXTIME(1635640200)"), "2021-10-31 02:30:00");
    assert_eq!(printed("TO_TIMESTAMP_LTZ(1625000000000, 3)"), "2021-06-29 22:53:20.000");
    assert_eq!(printed("DATE_FORMAT(TO_TIMESTAMP_LTZ(1610000000, 0), 'HH:mm')"), "07:13");
}

/// What can fail is evaluated only for the rows that reach it.
#[test]
fn failing_parts_are_evaluated_where_they_are_needed() {
    let x = [Some(0), Some(2), None, Some(5)];
    let over = |text: &str| over_column(text, &x);
    assert_eq!(over("10 / x"), Err("run: division by zero".into()));
    assert_eq!(over("CASE WHEN x = 0 THEN -1 ELSE 10 / x END").unwrap(), ["-1", "5", "NULL", "2"]);
    assert_eq!(over("CASE WHEN x > 0 THEN 10 / x END").unwrap(), ["NULL", "5", "NULL", "2"]);
    assert_eq!(over("x <> 0 AND 10 / x > 3").unwrap(), ["FALSE", "TRUE", "NULL", "FALSE"]);
    assert_eq!(over("x = 0 OR 10 / x > 3").unwrap(), ["TRUE", "TRUE", "NULL", "FALSE"]);
    assert_eq!(over("10 / x > 3 AND x <> 0"), Err("run: division by zero".into()));
    assert_eq!(over("COALESCE(NULLIF(x, 0), 7)").unwrap(), ["7", "2", "7", "5"]);
    assert_eq!(over("COALESCE(x, 1 / 0)"), Err("run: division by zero".into()));
    assert_eq!(over("IF(x = 0, 0, 10 % x)").unwrap(), ["0", "0", "NULL", "0"]);
    assert_eq!(over("x IN (2, 5, 9)").unwrap(), ["FALSE", "TRUE", "NULL", "TRUE"]);
    assert_eq!(over("x IS NOT DISTINCT FROM NULL").unwrap(), ["FALSE", "FALSE", "TRUE", "FALSE"]);
    assert_eq!(over("ARRAY[x, 1][1]").unwrap(), ["0", "2", "NULL", "5"]);
    assert_eq!(over("ROW(x, 'a')").unwrap(), ["(0, a)", "(2, a)", "(NULL, a)", "(5, a)"]);
    assert_eq!(over("GREATEST(x, 3)").unwrap(), ["3", "3", "NULL", "5"]);
    assert_eq!(over_column("10 / x", &[]), Ok(vec![]));
}

/// What an expression may ask for that no machine has: it is refused, or done in linear time.
#[test]
fn expressions_that_would_take_for_ever_or_all_memory_end_soon() {
    let long = "REPEAT('a', 10000)";
    let too_long = Err("run: the text would be longer than 67108864 bytes");
    for (text, wanted) in [
        // Exponential where a pattern is tried by backtracking.
        ("REGEXP(REPEAT('a', 100000), '(a+)+b')".to_string(), Ok("FALSE")),
        (
            "REGEXP(REPEAT('a', 1000), '^((?=a)a+)+b')".to_string(),
            Err("run: the regular expression takes too many steps"),
        ),
        // A pattern that is small as a text and large as a machine is none.
        ("REGEXP('a', '((((a{100}){100}){100}){100}){100}')".to_string(), Ok("FALSE")),
        ("REPEAT('x', 2147483647)".to_string(), too_long),
        // NULL, as Flink has it where memory does not do.
        ("LPAD('x', 2147483647, 'y')".to_string(), Ok("NULL")),
        (format!("REPLACE({long}, 'a', {long})"), too_long),
        (format!("REGEXP_REPLACE({long}, 'a', {long})"), too_long),
        (format!("ARRAY_JOIN(SPLIT({long}, 'b'), ',')"), Ok("aaa")),
        (format!("ARRAY_JOIN(SPLIT(REPEAT(',', 10000), ','), {long})"), too_long),
        (format!("CHAR_LENGTH(TRANSLATE({long}, 'a', {long}))"), Ok("10000")),
    ] {
        let found = evaluate(&text);
        match (found, wanted) {
            (Ok((_, value)), Ok(wanted)) => assert!(value.starts_with(wanted), "{text}: {value}"),
            (Err(message), Err(wanted)) => assert!(message.starts_with(wanted), "{text}: {message}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}
