//! Statements that the log holds as texts: what they are, and which tables they name.
//!
//! No dialect is parsed. A statement that changes rows is looked through for names whatever they stand for, since a change
//! that is missed would be worse than a job that ends; of those that take rows away, the tables are the names where such
//! a statement has them.

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Begin {
        is_of_two_phases: bool,
    },
    Commit,
    Rollback,
    /// A part of a transaction ends, or is taken back.
    Within,
    /// Rows are changed.
    Rows,
    /// Rows go, or others come, and nobody says which.
    Replaced,
    /// A table is made of the rows of a query.
    Filled,
    /// A table is made or gets another form.
    Formed,
    Other,
}

/// A word, or a name in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: String,
    is_quoted: bool,
    /// A point stands before it.
    is_behind_point: bool,
}

impl Name {
    fn is(&self, word: &str) -> bool {
        !self.is_quoted && self.text.eq_ignore_ascii_case(word)
    }
}

pub(super) fn said(sql: &str) -> Said {
    let sql = without_comments(sql);
    let mut words = sql.split(|letter| !is_of_name(letter)).map(str::to_ascii_uppercase);
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (first.as_str(), second.as_str()) {
        ("BEGIN", _) => Said::Begin { is_of_two_phases: false },
        ("XA", "START" | "BEGIN") => Said::Begin { is_of_two_phases: true },
        ("COMMIT", _) => Said::Commit,
        ("ROLLBACK", "TO") | ("SAVEPOINT", _) | ("XA", "END") => Said::Within,
        ("ROLLBACK", _) => Said::Rollback,
        ("INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH", _) => Said::Rows,
        ("TRUNCATE", _) => Said::Replaced,
        ("ALTER", _) if replaces(sql) => Said::Replaced,
        ("CREATE", _) if makes_table(sql) && names(sql).iter().any(|name| name.is("SELECT")) => Said::Filled,
        ("ALTER", _) => Said::Formed,
        ("CREATE", _) if makes_table(sql) => Said::Formed,
        _ => Said::Other,
    }
}

/// CREATE [OR REPLACE] [TEMPORARY] TABLE, and nothing whose body might hold statements.
fn makes_table(sql: &str) -> bool {
    const BEFORE: [&str; 4] = ["CREATE", "OR", "REPLACE", "TEMPORARY"];
    let names = names(sql);
    names.iter().find(|name| !BEFORE.iter().any(|word| name.is(word))).is_some_and(|name| name.is("TABLE"))
}

/// Whether an ALTER takes whole partitions or files of rows away, or brings them.
fn replaces(sql: &str) -> bool {
    let names = names(sql);
    names.windows(2).any(|pair| {
        let is_done = ["DROP", "TRUNCATE", "EXCHANGE", "CONVERT", "DISCARD", "IMPORT"]
            .iter()
            .any(|word| pair[0].is(word));
        let is_whole = pair[1].is("PARTITION") || pair[1].is("TABLESPACE");
        is_done && is_whole || pair[0].is("CONVERT") && pair[1].is("TABLE")
    })
}

/// The tables of a statement on tables, with the databases where they are named.
pub(super) fn tables(sql: &str) -> Vec<(Option<String>, String)> {
    let names = names(without_comments(sql));
    let mut tables = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let is_before = name.is("TABLE") || place == 0 && name.is("TRUNCATE");
        let mut behind = names
            .iter()
            .skip(place + 1)
            .skip_while(|name| ["IF", "NOT", "EXISTS"].iter().any(|word| name.is(word)));
        match (behind.next(), behind.next()) {
            _ if !is_before => {}
            (Some(table), _) if table.is("TABLE") => {}
            (Some(database), Some(table)) if table.is_behind_point => {
                tables.push((Some(database.text.clone()), table.text.clone()));
            }
            (Some(table), _) => tables.push((None, table.text.clone())),
            (None, _) => {}
        }
    }
    tables
}

/// Everything in a statement that may be a name: which quotes are those of names depends on modes and on what a text holds.
pub(super) fn candidates(sql: &str) -> impl Iterator<Item = &str> {
    let words = sql.split(|letter| !is_of_name(letter)).filter(|word| !word.is_empty());
    words.chain(sql.split('`')).chain(sql.split('"'))
}

/// Letters of names without quotes.
fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '$' || letter >= '\u{80}'
}

/// A statement from its first word on. What stands in a comment for servers of some age alone was run: `/*!50100 … */`.
fn without_comments(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start();
        let run = sql.strip_prefix("/*!").or_else(|| sql.strip_prefix("/*M!"));
        let behind = match (run, sql.strip_prefix("/*")) {
            (Some(run), _) => Some(run.trim_start_matches(|letter: char| letter.is_ascii_digit())),
            (None, Some(comment)) => comment.split_once("*/").map(|(_, behind)| behind),
            (None, None) => sql
                .strip_prefix("-- ")
                .or_else(|| sql.strip_prefix('#'))
                .map(|comment| comment.split_once('\n').map_or("", |(_, behind)| behind)),
        };
        match behind {
            Some(behind) => sql = behind,
            None => return sql,
        }
    }
}

/// The words and names of a statement, without quotes.
fn names(sql: &str) -> Vec<Name> {
    let mut found = Vec::new();
    let mut letters = sql.chars().peekable();
    let mut is_behind_point = false;
    while let Some(letter) = letters.next() {
        let mut text = String::new();
        let is_quoted = matches!(letter, '`' | '"');
        match letter {
            '`' | '"' => {
                while let Some(next) = letters.next() {
                    if next == letter && letters.next_if_eq(&letter).is_none() {
                        break;
                    }
                    text.push(next);
                }
            }
            letter if is_of_name(letter) => {
                text.push(letter);
                while let Some(letter) = letters.next_if(|letter| is_of_name(*letter)) {
                    text.push(letter);
                }
            }
            letter => {
                is_behind_point = letter == '.' || is_behind_point && letter.is_whitespace();
                continue;
            }
        }
        found.push(Name { text, is_quoted, is_behind_point });
        is_behind_point = false;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_found_behind_comments() {
        assert_eq!(without_comments(" /* x */ -- y\n# z\nTRUNCATE t"), "TRUNCATE t");
        assert_eq!(without_comments("/*!40000 ALTER TABLE t */"), "ALTER TABLE t */");
        assert_eq!(said("/*M!100100 UPDATE t SET a = 1 */"), Said::Rows);
        assert_eq!(said("WITH a AS (SELECT 1) DELETE FROM t"), Said::Rows);
        assert_eq!(said("CREATE OR REPLACE TABLE t AS SELECT 1"), Said::Filled);
        assert_eq!(said("CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW SELECT 1"), Said::Other);
        assert_eq!(tables("CREATE TABLE IF NOT EXISTS d.t SELECT 1"), [(Some("d".into()), "t".into())]);
        assert_eq!(without_comments("/* no end"), "/* no end");
        assert_eq!(said("/* x */ xa start 'a'"), Said::Begin { is_of_two_phases: true });
        assert_eq!([said("ROLLBACK TO a"), said("rollback")], [Said::Within, Said::Rollback]);
        assert_eq!(
            [said("LOAD DATA INFILE 'x'"), said("CREATE TABLE t (a INT)")],
            [Said::Rows, Said::Formed]
        );
    }

    #[test]
    fn what_takes_rows_away_names_its_tables() {
        type Named = (Option<&'static str>, &'static str);
        let cases: &[(&str, &[Named])] = &[
            ("TRUNCATE TABLE `a``b`.t$1", &[(Some("a`b"), "t$1")]),
            ("truncate my_table", &[(None, "my_table")]),
            ("TRUNCATE `my-table`", &[(None, "my-table")]),
            ("ALTER TABLE t DROP PARTITION p0", &[(None, "t")]),
            ("ALTER TABLE IF EXISTS shop . t TRUNCATE PARTITION ALL", &[(Some("shop"), "t")]),
            ("ALTER ONLINE TABLE a EXCHANGE PARTITION p WITH TABLE b.c", &[(None, "a"), (Some("b"), "c")]),
            ("ALTER TABLE t IMPORT TABLESPACE", &[(None, "t")]),
            ("ALTER TABLE t CONVERT TABLE u TO PARTITION p", &[(None, "t"), (None, "u")]),
        ];
        for (sql, expected) in cases {
            assert_eq!(said(sql), Said::Replaced, "{sql}");
            let found = tables(sql);
            let found: Vec<(Option<&str>, &str)> =
                found.iter().map(|(database, table)| (database.as_deref(), table.as_str())).collect();
            assert_eq!(found, *expected, "{sql}");
        }
        for sql in
            ["ALTER TABLE t DROP COLUMN c", "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4, ADD `DROP` INT"]
        {
            assert_eq!(said(sql), Said::Formed, "{sql}");
        }
    }

    #[test]
    fn names_are_found_wherever_they_stand() {
        let sql = "INSERT INTO `my-table` SELECT 'it`s', orders FROM \"a b\"";
        for name in ["my-table", "orders", "a b"] {
            assert!(candidates(sql).any(|one| one == name), "{name}");
        }
    }
}
