//! Conditions of paths: `@.price > 10 && @.name =~ /a.*/i`, `!(@.a in ['x', 'y'])`, `@.b`.
//!
//! What is compared has the types of JSON: a text and a number are equal where they are written alike, other types never are,
//! and only numbers and texts have an order. A path that leads nowhere is equal to nothing.

use super::path::{DEPTH_MAX, Path, Reader};
use super::write::to_text;
use super::{Json, read};
use regex::Regex;
use std::cmp::Ordering;

#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    /// Something is there.
    Exists(Path),
    Constant(bool),
    Compare {
        left: Operand,
        operator: Operator,
        right: Operand,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Path(Path),
    Value(Json),
    Pattern(Regex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    SameType,
    NotSameType,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    Contains,
    All,
    Size,
    Empty,
    SubsetOf,
    AnyOf,
    NoneOf,
}

/// The longer ones first.
const OPERATORS: &[(&str, Operator)] = &[
    ("===", Operator::SameType),
    ("!==", Operator::NotSameType),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=~", Operator::Matches),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

const WORDS: &[(&str, Operator)] = &[
    ("in", Operator::In),
    ("nin", Operator::NotIn),
    ("contains", Operator::Contains),
    ("all", Operator::All),
    ("size", Operator::Size),
    ("empty", Operator::Empty),
    ("subsetof", Operator::SubsetOf),
    ("anyof", Operator::AnyOf),
    ("noneof", Operator::NoneOf),
];

pub(crate) fn condition(reader: &mut Reader<'_>) -> Result<Condition, String> {
    if reader.depth >= DEPTH_MAX {
        return Err(reader.wrong("the conditions are nested too deeply"));
    }
    reader.depth += 1;
    let result = any(reader);
    reader.depth -= 1;
    result
}

fn any(reader: &mut Reader<'_>) -> Result<Condition, String> {
    let mut parts = vec![all(reader)?];
    loop {
        reader.skip_blanks();
        if !reader.take("||") {
            break;
        }
        parts.push(all(reader)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
}

fn all(reader: &mut Reader<'_>) -> Result<Condition, String> {
    let mut parts = vec![one(reader)?];
    loop {
        reader.skip_blanks();
        if !reader.take("&&") {
            break;
        }
        parts.push(one(reader)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
}

fn one(reader: &mut Reader<'_>) -> Result<Condition, String> {
    reader.skip_blanks();
    if reader.depth >= DEPTH_MAX {
        return Err(reader.wrong("the conditions are nested too deeply"));
    }
    if reader.rest().starts_with('!') && !reader.rest().starts_with("!=") {
        reader.at += 1;
        reader.depth += 1;
        let inner = one(reader);
        reader.depth -= 1;
        return Ok(Condition::Not(Box::new(inner?)));
    }
    if reader.take("(") {
        let inner = condition(reader)?;
        reader.expect(")")?;
        return Ok(inner);
    }
    let left = operand(reader)?;
    reader.skip_blanks();
    let Some(operator) = operator(reader) else {
        return match left {
            Operand::Path(path) => Ok(Condition::Exists(path)),
            Operand::Value(Json::Boolean(truth)) => Ok(Condition::Constant(truth)),
            _ => Err(reader.wrong("expected an operator such as == or <")),
        };
    };
    let right = operand(reader)?;
    Ok(Condition::Compare { left, operator, right })
}

fn operator(reader: &mut Reader<'_>) -> Option<Operator> {
    if let Some((_, operator)) = OPERATORS.iter().find(|(symbol, _)| reader.take(symbol)) {
        return Some(*operator);
    }
    let rest = reader.rest();
    let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (_, operator) = WORDS.iter().find(|(word, _)| rest[..length].eq_ignore_ascii_case(word))?;
    reader.at += length;
    Some(*operator)
}

fn operand(reader: &mut Reader<'_>) -> Result<Operand, String> {
    reader.skip_blanks();
    match reader.rest().chars().next() {
        Some('$' | '@') => reader.path().map(Operand::Path),
        Some('/') => pattern(reader).map(Operand::Pattern),
        _ => literal(reader).map(Operand::Value),
    }
}

fn pattern(reader: &mut Reader<'_>) -> Result<Regex, String> {
    reader.at += 1;
    let mut escaped = false;
    let end = reader.rest().find(|letter| {
        let ends = letter == '/' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    });
    let Some(end) = end else { return Err(reader.wrong("the pattern has no end")) };
    let body = reader.rest()[..end].replace("\\/", "/");
    reader.at += end + 1;
    let flags: String = reader.rest().chars().take_while(char::is_ascii_alphabetic).collect();
    reader.at += flags.len();
    if let Some(flag) = flags.chars().find(|flag| !"imsxu".contains(*flag)) {
        return Err(reader.wrong(&format!("there is no flag {flag} of patterns")));
    }
    let flags: String = flags.chars().filter(|flag| *flag != 'u').collect();
    let flags = if flags.is_empty() { String::new() } else { format!("(?{flags})") };
    Regex::new(&format!("{flags}^(?:{body})$")).map_err(|_| reader.wrong("the pattern cannot be used"))
}

/// A text in single or double quotes.
pub(crate) fn quoted(reader: &mut Reader<'_>) -> Result<String, String> {
    let Some(quote) = reader.rest().chars().next().filter(|letter| matches!(letter, '\'' | '"')) else {
        return Err(reader.wrong("expected a name in quotes"));
    };
    let mut text = String::new();
    let mut letters = reader.rest().char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, other)) => text.push(other),
                None => break,
            },
            letter if letter == quote => {
                reader.at += at + 1;
                return Ok(text);
            }
            letter => text.push(letter),
        }
    }
    Err(reader.wrong("the text has no end"))
}

/// A text, a number, a word, or JSON with texts in either kind of quotes.
pub(crate) fn literal(reader: &mut Reader<'_>) -> Result<Json, String> {
    reader.skip_blanks();
    match reader.rest().chars().next() {
        Some('\'' | '"') => quoted(reader).map(Json::String),
        Some('[') => {
            reader.at += 1;
            let mut items = Vec::new();
            reader.skip_blanks();
            while !reader.take("]") {
                if reader.depth >= DEPTH_MAX {
                    return Err(reader.wrong("the values are nested too deeply"));
                }
                reader.depth += 1;
                let item = literal(reader);
                reader.depth -= 1;
                items.push(item?);
                reader.skip_blanks();
                if !reader.take(",") && !reader.rest().starts_with(']') {
                    return Err(reader.wrong("expected a comma or `]`"));
                }
                reader.skip_blanks();
            }
            Ok(Json::Array(items))
        }
        Some('{') => {
            let rest = reader.rest();
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            let value = Json::parse_whole(&rest[..end]).map_err(|_| reader.wrong("this is no JSON"))?;
            reader.at += end;
            Ok(value)
        }
        _ => {
            let rest = reader.rest();
            let length =
                rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
            let value = Json::parse_whole(&rest[..length]).map_err(|_| reader.wrong("expected a value"))?;
            reader.at += length;
            Ok(value)
        }
    }
}

impl Condition {
    /// Whether an element of the document passes.
    pub(crate) fn holds(&self, element: &Json, document: &Json) -> bool {
        match self {
            Condition::Any(parts) => parts.iter().any(|part| part.holds(element, document)),
            Condition::All(parts) => parts.iter().all(|part| part.holds(element, document)),
            Condition::Not(inner) => !inner.holds(element, document),
            Condition::Constant(truth) => *truth,
            Condition::Exists(path) => read::find(path, element, document).is_ok(),
            Condition::Compare { left, operator, right } => {
                let (left, right) = (left.value(element, document), right.value(element, document));
                operator.holds(left, right)
            }
        }
    }
}

/// What an operand stands for.
enum Side<'c> {
    Undefined,
    Value(Json),
    Pattern(&'c Regex),
}

impl Operand {
    fn value(&self, element: &Json, document: &Json) -> Side<'_> {
        match self {
            Operand::Value(value) => Side::Value(value.clone()),
            Operand::Pattern(pattern) => Side::Pattern(pattern),
            Operand::Path(path) => match read::find(path, element, document) {
                Ok(value) => Side::Value(value),
                Err(_) => Side::Undefined,
            },
        }
    }
}

/// The left side decides how a text and a number are compared.
fn equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(a), Json::Number(b)) => a.partial_cmp(b) == Some(Ordering::Equal),
        (Json::Number(a), Json::String(b)) => {
            super::number::Number::read(b, false).is_some_and(|b| a.partial_cmp(&b) == Some(Ordering::Equal))
        }
        (Json::String(a), Json::Number(b)) => *a == b.text,
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(_), Json::Object(_)) => to_text(left) == to_text(right),
        (a, b) => a == b,
    }
}

fn order(left: &Json, right: &Json) -> Option<Ordering> {
    match (left, right) {
        (Json::Number(a), Json::Number(b)) => a.partial_cmp(b),
        (Json::String(a), Json::String(b)) => Some(a.encode_utf16().cmp(b.encode_utf16())),
        _ => None,
    }
}

impl Operator {
    fn holds(self, left: Side<'_>, right: Side<'_>) -> bool {
        use Operator::*;
        let (left, right) = match (left, right) {
            (Side::Value(left), Side::Value(right)) => (left, right),
            (Side::Value(value), Side::Pattern(pattern)) | (Side::Pattern(pattern), Side::Value(value)) => {
                let matches = match &value {
                    Json::String(text) => pattern.is_match(text),
                    Json::Number(number) => pattern.is_match(&number.text),
                    Json::Boolean(truth) => pattern.is_match(if *truth { "true" } else { "false" }),
                    Json::Array(items) => {
                        items.iter().any(|item| matches!(item, Json::String(text) if pattern.is_match(text)))
                    }
                    _ => false,
                };
                return self == Matches && matches;
            }
            // Nothing is equal to what is not there.
            _ => return matches!(self, NotEqual | NotSameType | NotIn),
        };
        let items = |value: &Json| match value {
            Json::Array(items) => items.clone(),
            _ => Vec::new(),
        };
        let is_in = |value: &Json, list: &Json| items(list).iter().any(|item| equal(item, value));
        let both_arrays = matches!((&left, &right), (Json::Array(_), Json::Array(_)));
        match self {
            Equal => equal(&left, &right),
            NotEqual => !equal(&left, &right),
            SameType => {
                std::mem::discriminant(&left) == std::mem::discriminant(&right) && equal(&left, &right)
            }
            NotSameType => {
                !(std::mem::discriminant(&left) == std::mem::discriminant(&right) && equal(&left, &right))
            }
            Less => order(&left, &right) == Some(Ordering::Less),
            LessOrEqual => matches!(order(&left, &right), Some(Ordering::Less | Ordering::Equal)),
            Greater => order(&left, &right) == Some(Ordering::Greater),
            GreaterOrEqual => matches!(order(&left, &right), Some(Ordering::Greater | Ordering::Equal)),
            Matches => false,
            In => is_in(&left, &right),
            NotIn => !is_in(&left, &right),
            Contains => match (&left, &right) {
                (Json::String(text), Json::String(part)) => text.contains(part.as_str()),
                (list, value) => is_in(value, list),
            },
            All => both_arrays && items(&right).iter().all(|item| is_in(item, &left)),
            Size => {
                let size = match &left {
                    Json::Array(items) => items.len(),
                    Json::String(text) => text.encode_utf16().count(),
                    _ => return false,
                };
                equal(&Json::Number(super::number::Number::integer(size as i64)), &right)
            }
            Empty => {
                let empty = match &left {
                    Json::Array(items) => items.is_empty(),
                    Json::String(text) => text.is_empty(),
                    _ => return false,
                };
                right == Json::Boolean(empty)
            }
            SubsetOf => both_arrays && items(&left).iter().all(|item| is_in(item, &right)),
            AnyOf => both_arrays && items(&left).iter().any(|item| is_in(item, &right)),
            NoneOf => both_arrays && !items(&left).iter().any(|item| is_in(item, &right)),
        }
    }
}
