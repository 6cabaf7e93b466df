//! Conditions on records that are JSON: `$.order.lines[0].sku = "A-7"`, a path, and what must be there.

use serde_json::Value;
use std::cmp::Ordering;

const STEPS_MAX: usize = 64;
const BYTES_MAX: usize = 4 << 10;

#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    steps: Vec<Step>,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    /// Any element or field.
    Any,
}

#[derive(Debug, PartialEq)]
enum Test {
    /// It is there, and not null.
    Exists,
    Is(Value),
    IsNot(Value),
    /// Numbers are compared as such, texts letter by letter.
    Below(Value),
    AtMost(Value),
    Above(Value),
    AtLeast(Value),
    /// A text with this in it.
    Contains(String),
}

/// In this order, so that `>=` is not read as `>`.
const SIGNS: [&str; 9] = ["!=", "==", "<=", ">=", "=", "~", "<", ">", "exists"];

impl Condition {
    pub(super) fn parse(text: &str) -> Result<Condition, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("a condition has at most {BYTES_MAX} bytes"));
        }
        let text = text.trim();
        let rest =
            text.strip_prefix('$').ok_or("a condition begins with a path, as $.state = \"late\" does")?;
        let (steps, rest) = steps(rest)?;
        let rest = rest.trim();
        if rest.is_empty() {
            return Ok(Condition { steps, test: Test::Exists });
        }
        let sign = SIGNS.iter().find_map(|sign| Some((*sign, rest.strip_prefix(sign)?.trim())));
        let Some((sign, operand)) = sign else {
            return Err(format!(
                "'{rest}' is no test: there are =, !=, <, <=, >, >=, ~ (has in it) and exists"
            ));
        };
        let value = || match operand {
            "" => Err(format!("behind '{sign}' there is a value missing")),
            // What is no JSON is a text without its quotes.
            operand => Ok(serde_json::from_str(operand).unwrap_or_else(|_| Value::from(operand))),
        };
        let test = match sign {
            "!=" => Test::IsNot(value()?),
            "~" => Test::Contains(
                value()?.as_str().map_or_else(|| operand.to_owned(), str::to_owned).to_lowercase(),
            ),
            "<" => Test::Below(value()?),
            "<=" => Test::AtMost(value()?),
            ">" => Test::Above(value()?),
            ">=" => Test::AtLeast(value()?),
            "exists" => Test::Exists,
            _ => Test::Is(value()?),
        };
        Ok(Condition { steps, test })
    }

    pub(super) fn fits(&self, value: &Value) -> bool {
        fits(&self.steps, value, &self.test)
    }
}

fn steps(mut rest: &str) -> Result<(Vec<Step>, &str), String> {
    let mut steps = Vec::new();
    loop {
        if steps.len() > STEPS_MAX {
            return Err(format!("a path has at most {STEPS_MAX} steps"));
        }
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '*')));
            let (name, left) = after.split_at(end.unwrap_or(after.len()));
            match name {
                "" => return Err("behind a '.' there is a field missing".into()),
                "*" => steps.push(Step::Any),
                name => steps.push(Step::Field(name.into())),
            }
            rest = left;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (inside, left) = after.split_once(']').ok_or("a '[' has no ']'")?;
            let inside = inside.trim();
            let quoted = [('\'', '\''), ('"', '"')]
                .iter()
                .find_map(|(open, close)| inside.strip_prefix(*open)?.strip_suffix(*close));
            steps.push(match (quoted, inside) {
                (Some(name), _) => Step::Field(name.into()),
                (None, "*") => Step::Any,
                (None, number) => Step::Index(
                    number
                        .parse()
                        .map_err(|_| format!("[{number}] is neither a number nor a field in quotes"))?,
                ),
            });
            rest = left;
        } else {
            return Ok((steps, rest));
        }
    }
}

fn fits(steps: &[Step], value: &Value, test: &Test) -> bool {
    let Some((step, rest)) = steps.split_first() else { return test.fits(value) };
    match step {
        Step::Field(name) => value.get(name.as_str()).is_some_and(|value| fits(rest, value, test)),
        Step::Index(index) => value.get(*index).is_some_and(|value| fits(rest, value, test)),
        Step::Any => match value {
            Value::Array(values) => values.iter().any(|value| fits(rest, value, test)),
            Value::Object(fields) => fields.values().any(|value| fits(rest, value, test)),
            _ => false,
        },
    }
}

impl Test {
    fn fits(&self, value: &Value) -> bool {
        match self {
            Test::Exists => !value.is_null(),
            Test::Is(wanted) => is(value, wanted),
            Test::IsNot(wanted) => !is(value, wanted),
            Test::Below(wanted) => order(value, wanted) == Some(Ordering::Less),
            Test::AtMost(wanted) => order(value, wanted).is_some_and(Ordering::is_le),
            Test::Above(wanted) => order(value, wanted) == Some(Ordering::Greater),
            Test::AtLeast(wanted) => order(value, wanted).is_some_and(Ordering::is_ge),
            Test::Contains(part) => value.as_str().is_some_and(|text| text.to_lowercase().contains(part)),
        }
    }
}

fn is(value: &Value, wanted: &Value) -> bool {
    value == wanted || order(value, wanted) == Some(Ordering::Equal)
}

fn order(value: &Value, wanted: &Value) -> Option<Ordering> {
    match (value, wanted) {
        (Value::Number(value), Value::Number(wanted)) => match (value.as_i64(), wanted.as_i64()) {
            (Some(value), Some(wanted)) => Some(value.cmp(&wanted)),
            _ => value.as_f64()?.partial_cmp(&wanted.as_f64()?),
        },
        (Value::String(value), Value::String(wanted)) => Some(value.cmp(wanted)),
        // A number that somebody wrote as a text, and the other way round.
        (Value::String(value), Value::Number(wanted)) => {
            value.parse::<f64>().ok()?.partial_cmp(&wanted.as_f64()?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_are_met_or_not() {
        let record = json!({"id": 9_007_199_254_740_993_i64, "s": "Late", "o": {"a-b": [1, {"c": 2.5}], "n": null}, "t": "2026"});
        for fitting in [
            "$.id = 9007199254740993",
            "$.id > 9007199254740992",
            "$.s = Late",
            "$.s == \"Late\"",
            "$.s ~ aTe",
            "$.o.a-b[1].c < 3",
            "$['o'][\"a-b\"][0] = 1",
            "$.o.a-b[*].c = 2.5",
            "$.*.a-b",
            "$.o.a-b exists",
            "$.s != early",
            "$.t > 2025",
            "$.id >= 9007199254740993",
            "$.id <= 9007199254740993",
            "$.o.a-b[1].c <= 3",
            "$.s >= Lat",
            "$",
        ] {
            assert!(Condition::parse(fitting).unwrap().fits(&record), "{fitting}");
        }
        for other in [
            "$.id = 9007199254740992",
            "$.s = late",
            "$.o.n",
            "$.x != 1",
            "$.s > 5",
            "$.s >= 5",
            "$.id <= 9007199254740992",
            "$.id >= 9007199254740994",
            "$.o.a-b[7]",
            "$.s.t",
        ] {
            assert!(!Condition::parse(other).unwrap().fits(&record), "{other}");
        }
    }

    #[test]
    fn what_is_no_condition_says_so() {
        for (wrong, why) in [
            ("state", "begins with a path"),
            ("$.", "field missing"),
            ("$.a[", "no ']'"),
            ("$.a[x]", "neither a number"),
            ("$.a ? 1", "is no test"),
            ("$.a =", "value missing"),
        ] {
            let said = Condition::parse(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
        assert!(Condition::parse(&format!("${}", ".a".repeat(100))).unwrap_err().contains("at most"));
    }
}
