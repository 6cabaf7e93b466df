//! Whether what we give is what Flink gave.

use crate::evaluate::Evaluated;

/// What Flink gave for an expression, as a golden line has it behind the expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Golden {
    Value { data_type: String, value: String },
    Error(String),
}

impl Golden {
    /// Reads `TYPE => value`, or `error: message`.
    pub fn parse(text: &str) -> Option<Golden> {
        if let Some(message) = text.strip_prefix("error: ") {
            return Some(Golden::Error(message.to_string()));
        }
        let (data_type, value) = text.split_once(" => ")?;
        Some(Golden::Value { data_type: data_type.to_string(), value: value.to_string() })
    }

    pub fn admits(&self, found: &Evaluated) -> bool {
        match (self, found) {
            (Golden::Error(_), Evaluated::Error(_)) => true,
            (
                Golden::Value { data_type: wanted_type, value: wanted },
                Evaluated::Value { data_type, value },
            ) => types_agree(wanted_type, data_type) && wanted == value,
            _ => false,
        }
    }
}

/// Whether our type is Flink's. Flink declares sums and products of decimals NOT NULL although one that overflows is
/// NULL; we say so, and that is no difference to a user.
pub fn types_agree(wanted: &str, found: &str) -> bool {
    let (wanted, found) = (without_units(wanted), without_units(found));
    if wanted == found {
        return true;
    }
    wanted.starts_with("DECIMAL(") && wanted.strip_suffix(" NOT NULL") == Some(found.as_str())
}

/// The type with all intervals of days and seconds alike, and those of years and months: the units and precisions of an
/// interval show nowhere but in the name of its type.
fn without_units(data_type: &str) -> String {
    let mut text = String::with_capacity(data_type.len());
    let mut rest = data_type;
    while let Some(at) = rest.find("INTERVAL ") {
        text.push_str(&rest[..at]);
        rest = &rest[at + "INTERVAL ".len()..];
        let months = rest.starts_with("YEAR") || rest.starts_with("MONTH");
        text.push_str(if months { "INTERVAL MONTH" } else { "INTERVAL SECOND" });
        let mut changed = true;
        while changed {
            changed = false;
            for word in ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", " TO "] {
                if let Some(after) = rest.strip_prefix(word) {
                    rest = after;
                    changed = true;
                }
            }
            if rest.starts_with('(')
                && let Some((_, after)) = rest.split_once(')')
            {
                rest = after;
                changed = true;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_no_units() {
        assert!(types_agree("INTERVAL SECOND(3) NOT NULL", "INTERVAL DAY TO SECOND(3) NOT NULL"));
        assert!(types_agree("ROW<`a` INTERVAL MONTH, `b` INT>", "ROW<`a` INTERVAL YEAR TO MONTH, `b` INT>"));
        assert!(!types_agree("INTERVAL MONTH", "INTERVAL SECOND(3)"));
        assert!(!types_agree("INTERVAL MONTH NOT NULL", "INTERVAL MONTH"));
    }

    #[test]
    fn golden_lines_are_read() {
        let golden = Golden::parse("INT NOT NULL => 5").unwrap();
        let value = |value: &str| Evaluated::Value { data_type: "INT NOT NULL".into(), value: value.into() };
        assert!(golden.admits(&value("5")) && !golden.admits(&value("7")));
        assert!(!golden.admits(&Evaluated::Error("no".into())));
        let golden = Golden::parse("error: run: / by zero").unwrap();
        assert!(golden.admits(&Evaluated::Error("no".into())) && !golden.admits(&value("5")));
    }
}
