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
            ) => types_agree(wanted_type, data_type) && values_agree(wanted_type, wanted, value),
            _ => false,
        }
    }
}

impl Golden {
    /// Whether a random expression is as good as equal: what Flink's planner refuses we may take, and lengths of texts
    /// and NOT NULL, which the golden files look at, would hide differences of values here.
    pub fn admits_loosely(&self, found: &Evaluated) -> bool {
        match (self, found) {
            (_, Evaluated::Panic(_)) => false,
            // The second is a bug of Flink's: a COALESCE whose arguments it has given a wrong type.
            (Golden::Error(message), Evaluated::Value { .. }) => {
                message.starts_with("plan: ") || message.contains("Mismatch of function's argument")
            }
            (
                Golden::Value { data_type: wanted_type, value: wanted },
                Evaluated::Value { data_type, value },
            ) => loosely(wanted_type) == loosely(data_type) && values_agree(wanted_type, wanted, value),
            _ => self.admits(found),
        }
    }
}

fn loosely(data_type: &str) -> String {
    let data_type = without_units(data_type).replace(" NOT NULL", "");
    if data_type.starts_with("CHAR(") || data_type.starts_with("VARCHAR(") {
        return "STRING".into();
    }
    data_type
}

/// Floating-point numbers are compared as numbers: older JDKs do not print the shortest text that reads back.
fn values_agree(data_type: &str, wanted: &str, found: &str) -> bool {
    let same = |wanted: Option<u64>, found: Option<u64>| wanted.is_some() && wanted == found;
    wanted == found
        || data_type.starts_with("FLOAT") && {
            let bits = |text: &str| text.parse::<f32>().ok().map(|number| u64::from(number.to_bits()));
            same(bits(wanted), bits(found))
        }
        || data_type.starts_with("DOUBLE") && {
            let bits = |text: &str| text.parse::<f64>().ok().map(f64::to_bits);
            same(bits(wanted), bits(found))
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
        let golden = Golden::parse("FLOAT => 2.16426086E9").unwrap();
        let float = |value: &str| Evaluated::Value { data_type: "FLOAT".into(), value: value.into() };
        assert!(golden.admits(&float("2.1642609E9")) && !golden.admits(&float("2.1642611E9")));
        let golden = Golden::parse("CHAR(2) => 'ab'").unwrap();
        let text = Evaluated::Value { data_type: "STRING NOT NULL".into(), value: "'ab'".into() };
        assert!(!golden.admits(&text) && golden.admits_loosely(&text));
        let golden = Golden::parse("error: run: / by zero").unwrap();
        assert!(golden.admits(&Evaluated::Error("no".into())) && !golden.admits(&value("5")));
    }
}
