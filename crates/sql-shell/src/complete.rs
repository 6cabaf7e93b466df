//! What a word that was begun can become: keywords, names of tables and columns, commands.

use crate::command::COMMANDS;

/// Words that begin or hold together the statements of a node.
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "AT TIME ZONE",
    "AVG",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CLOSE",
    "COALESCE",
    "COMMIT",
    "COPY",
    "COUNT",
    "CROSS JOIN",
    "CURSOR FOR",
    "DEALLOCATE",
    "DECLARE",
    "DESC",
    "DISCARD ALL",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FETCH",
    "FILTER",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER JOIN",
    "INTERSECT",
    "INTERVAL",
    "IS NOT NULL",
    "IS NULL",
    "JOIN",
    "LATERAL",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "MAX",
    "MIN",
    "MOVE",
    "NOT",
    "NULL",
    "NULLS FIRST",
    "NULLS LAST",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "PROGRESS",
    "RESET",
    "RIGHT JOIN",
    "ROLLBACK",
    "SELECT",
    "SET",
    "SHOW",
    "SNAPSHOT",
    "STDOUT",
    "SUBSCRIBE TO",
    "SUM",
    "TABLE",
    "THEN",
    "TIMEOUT",
    "TO",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "WAIT FOR LSN",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Column names that are words of SQL, and want quotes.
const RESERVED: &[&str] = &[
    "all", "and", "as", "asc", "case", "desc", "end", "from", "group", "limit", "offset", "order", "select",
    "table", "to", "user", "where",
];

/// A column, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub schema: String,
    pub table: String,
    pub column: String,
}

/// What fits, and from which character of the line on it stands in the place of what is there.
#[derive(Debug, PartialEq, Eq)]
pub struct Completion {
    pub from: usize,
    pub words: Vec<String>,
}

/// A name as SQL writes it.
pub fn written(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// `before` is what stands before the cursor, `statement` the whole statement so far.
pub fn complete(before: &[char], statement: &str, names: &[Name]) -> Completion {
    let is_word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '-');
    let text: String = before.iter().collect();
    let trimmed = text.trim_start();
    if trimmed.starts_with('\\') && !trimmed.contains(' ') {
        let from = before.len() - trimmed.chars().count();
        let fits = COMMANDS.iter().map(|command| format!("\\{}", command.name));
        return Completion { from, words: fits.filter(|word| word.starts_with(trimmed)).collect() };
    }
    let mut from = before.len() - before.iter().rev().take_while(|c| is_word(c)).count();
    let mut word: String = before[from..].iter().collect();
    let head: String = before[..from].iter().collect();
    // The qualifier stays as it was written.
    let mut qualifier = None;
    if let Some((left, right)) = word.clone().rsplit_once('.') {
        qualifier = Some(left.trim_matches('"').to_lowercase());
        from += left.chars().count() + 1;
        word = right.to_string();
    }
    let bare = word.trim_start_matches('"').to_lowercase();
    let fits = |name: &str| name.to_lowercase().starts_with(&bare);
    let mut words: Vec<String> = Vec::new();
    let wants_table = {
        let last = head.split_whitespace().next_back().unwrap_or_default().to_uppercase();
        matches!(last.as_str(), "FROM" | "JOIN" | "SUBSCRIBE" | "TABLE" | "\\D" | "\\DT")
            || (last == "TO" && head.to_uppercase().contains("SUBSCRIBE"))
    };
    if let Some(qualifier) = qualifier {
        let in_schema = names.iter().filter(|name| name.schema == qualifier && fits(&name.table));
        words.extend(in_schema.map(|name| written(&name.table)));
        let in_table =
            names.iter().filter(|name| name.table.to_lowercase() == qualifier && fits(&name.column));
        words.extend(in_table.map(|name| written(&name.column)));
    } else {
        if !wants_table {
            let statement = statement.to_lowercase();
            let is_named = |name: &Name| statement.contains(&name.table.to_lowercase());
            let some_named = names.iter().any(is_named);
            let columns = names.iter().filter(|name| fits(&name.column) && (!some_named || is_named(name)));
            words.extend(columns.map(|name| written(&name.column)));
        }
        words.extend(names.iter().filter(|name| fits(&name.table)).map(|name| written(&name.table)));
        words.extend(
            names.iter().filter(|name| fits(&name.schema)).map(|name| format!("{}.", written(&name.schema))),
        );
        if !wants_table && !word.is_empty() && !word.starts_with('"') {
            let is_lower = word.chars().all(|c| !c.is_uppercase());
            let keywords = KEYWORDS.iter().filter(|keyword| fits(keyword));
            words.extend(
                keywords.map(|keyword| if is_lower { keyword.to_lowercase() } else { keyword.to_string() }),
            );
        }
    }
    words.sort();
    words.dedup();
    Completion { from, words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> (usize, Vec<String>) {
        let name = |schema: &str, table: &str, column: &str| Name {
            schema: schema.into(),
            table: table.into(),
            column: column.into(),
        };
        let names = [
            name("public", "sales", "city"),
            name("public", "sales", "total"),
            name("topics", "orders", "offset"),
            name("topics", "my-orders", "value"),
        ];
        let before: Vec<char> = text.chars().collect();
        let Completion { from, words } = complete(&before, text, &names);
        (from, words)
    }

    #[test]
    fn words_become_what_fits_there() {
        let cases: &[(&str, usize, &[&str])] = &[
            ("sel", 0, &["select"]),
            ("SEL", 0, &["SELECT"]),
            ("SELECT * FROM s", 14, &["sales"]),
            ("SELECT * FROM my", 14, &["\"my-orders\""]),
            ("SELECT * FROM topics.o", 21, &["orders"]),
            ("SELECT sales.t", 13, &["total"]),
            ("SELECT * FROM sales WHERE ci", 26, &["city"]),
            ("SELECT * FROM orders WHERE off", 27, &["\"offset\"", "offset"]),
            ("\\ti", 0, &["\\timing"]),
            ("  \\d sa", 5, &["sales"]),
            ("SUBSCRIBE TO sa", 13, &["sales"]),
            ("nothing", 0, &[]),
        ];
        for (text, from, words) in cases {
            let found = at(text);
            assert_eq!(found.0, *from, "{text}");
            assert_eq!(found.1, *words, "{text}");
        }
    }
}
