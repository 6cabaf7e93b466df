//! Functions of other databases, and what does the same here.

/// The name, and how to write it.
const NAMES: &[(&str, &str)] = &[
    ("ADD_MONTHS", "write date + INTERVAL '1' MONTH"),
    ("ARRAY_LENGTH", "write CARDINALITY(array)"),
    ("CHARINDEX", "write LOCATE(part, text)"),
    ("DATEADD", "write timestamp + INTERVAL '1' DAY, or TIMESTAMPADD(DAY, 1, timestamp)"),
    ("DATEPART", "write EXTRACT(DAY FROM timestamp)"),
    ("DATE_ADD", "write timestamp + INTERVAL '1' DAY"),
    ("DATE_DIFF", "write TIMESTAMPDIFF(DAY, from, to)"),
    ("DATE_PART", "write EXTRACT(DAY FROM timestamp)"),
    ("DATE_SUB", "write timestamp - INTERVAL '1' DAY"),
    ("DATE_TRUNC", "write FLOOR(timestamp TO HOUR)"),
    ("EPOCH_MS", "write TO_TIMESTAMP_LTZ(milliseconds, 3)"),
    ("FORMAT_DATETIME", "write DATE_FORMAT(timestamp, 'yyyy-MM-dd')"),
    ("GENERATE_UUID", "write UUID()"),
    ("GEN_RANDOM_UUID", "write UUID()"),
    ("GETDATE", "write CURRENT_TIMESTAMP"),
    ("GROUP_CONCAT", "write LISTAGG(text, ',')"),
    ("IIF", "write IF(condition, then, else)"),
    ("ISNULL", "write value IS NULL, or COALESCE(value, other)"),
    ("JSON_EXTRACT", "declare the fields in the table: ROW<…> columns with 'format' = 'json'"),
    ("LEN", "write CHAR_LENGTH(text)"),
    ("NVL", "write COALESCE(value, other)"),
    ("NVL2", "write IF(value IS NOT NULL, then, else)"),
    ("REGEXP_LIKE", "write REGEXP(text, 'pattern')"),
    ("REGEXP_MATCHES", "write REGEXP(text, 'pattern')"),
    ("SAFE_CAST", "write TRY_CAST(value AS type)"),
    ("SPLIT_PART", "write SPLIT_INDEX(text, ',', index), which counts from 0"),
    ("STRFTIME", "write DATE_FORMAT(timestamp, 'yyyy-MM-dd')"),
    ("STRING_AGG", "write LISTAGG(text, ',')"),
    ("STRPOS", "write POSITION(part IN text)"),
    ("STR_TO_DATE", "write TO_DATE(text, 'yyyy-MM-dd')"),
    ("SYSDATE", "write CURRENT_TIMESTAMP"),
    ("SYSTIMESTAMP", "write CURRENT_TIMESTAMP"),
    ("TO_CHAR", "write DATE_FORMAT(timestamp, 'yyyy-MM-dd') or CAST(value AS STRING)"),
    ("TO_NUMBER", "write CAST(text AS DECIMAL(10, 2))"),
    ("TRUNC", "write TRUNCATE(number, places) or FLOOR(timestamp TO DAY)"),
    ("UNIXEPOCH", "write UNIX_TIMESTAMP()"),
];

/// How to write a function that only other databases have.
pub fn instead(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    NAMES.binary_search_by(|(known, _)| (*known).cmp(&name)).ok().map(|place| NAMES[place].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_not_ours() {
        assert!(NAMES.is_sorted_by(|one, other| one.0 < other.0));
        for (name, _) in NAMES {
            assert!(crate::functions::find(name).is_none(), "{name} is there");
        }
    }
}
