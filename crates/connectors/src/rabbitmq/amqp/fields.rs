//! The data types of AMQP 0-9-1 methods and of field tables, with RabbitMQ's letters for them.

use crate::messages::{Done, ServerError};

/// Tables and arrays in one another are read so deep.
const DEPTH_MAX: usize = 16;

/// A value of a field table. What is not text is kept as far as a header can show it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rabbitmq) enum Value {
    Nothing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal {
        scale: u8,
        value: u32,
    },
    /// A text or bytes: the protocol does not tell them apart.
    Bytes(Vec<u8>),
    /// Seconds since the epoch.
    Time(u64),
    Array(Vec<Value>),
    Table(Table),
}

pub(in crate::rabbitmq) type Table = Vec<(String, Value)>;

impl Value {
    pub(in crate::rabbitmq) fn text(text: &str) -> Value {
        Value::Bytes(text.as_bytes().to_vec())
    }

    pub(in crate::rabbitmq) fn number(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// As the value of a header in MAP<STRING, BYTES>: bytes as they are, all else as text.
    pub(in crate::rabbitmq) fn shown(&self) -> Option<Vec<u8>> {
        match self {
            Value::Nothing => None,
            Value::Bytes(bytes) => Some(bytes.clone()),
            other => Some(match other.json() {
                serde_json::Value::String(text) => text.into_bytes(),
                json => json.to_string().into_bytes(),
            }),
        }
    }

    fn bytes(&self) -> usize {
        let content = match self {
            Value::Bytes(bytes) => bytes.len(),
            Value::Array(values) => values.iter().map(Value::bytes).sum(),
            Value::Table(table) => bytes_of(table),
            _ => 0,
        };
        size_of::<Value>() + content
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Value::Nothing => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Time(value) => (*value).into(),
            Value::Float(value) => serde_json::Number::from_f64(*value)
                .map_or_else(|| value.to_string().into(), serde_json::Value::Number),
            Value::Decimal { scale, value } => decimal(*scale, *value).into(),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
            Value::Array(values) => values.iter().map(Value::json).collect(),
            Value::Table(table) => {
                let fields = table.iter().map(|(name, value)| (name.clone(), value.json()));
                serde_json::Value::Object(fields.collect())
            }
        }
    }
}

/// About what a table takes in memory.
pub(super) fn bytes_of(table: &Table) -> usize {
    let fields = table.iter().map(|(name, value)| size_of::<String>() + name.len() + value.bytes());
    fields.sum()
}

fn decimal(scale: u8, value: u32) -> String {
    let digits = format!("{value:0width$}", width = usize::from(scale) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(scale));
    if part.is_empty() { whole.into() } else { format!("{whole}.{part}") }
}

/// Reads what is left of a method, a header or a table.
#[derive(Debug, Clone, Copy)]
pub(in crate::rabbitmq) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::rabbitmq) fn take(&mut self, count: usize) -> Done<&'a [u8]> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| ServerError::malformed("a frame ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Done<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| ServerError::malformed("a frame ends too early"))
    }

    pub(in crate::rabbitmq) fn u8(&mut self) -> Done<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(in crate::rabbitmq) fn u16(&mut self) -> Done<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(in crate::rabbitmq) fn u32(&mut self) -> Done<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(in crate::rabbitmq) fn u64(&mut self) -> Done<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn short_text(&mut self) -> Done<String> {
        let length = self.u8()?;
        Ok(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }

    pub(super) fn long_bytes(&mut self) -> Done<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub(super) fn table(&mut self) -> Done<Table> {
        self.table_at(DEPTH_MAX)
    }

    fn table_at(&mut self, depth: usize) -> Done<Table> {
        let mut inner = Reader(self.long_bytes()?);
        let mut table = Vec::new();
        while !inner.0.is_empty() {
            let name = inner.short_text()?;
            table.push((name, inner.value(depth)?));
        }
        Ok(table)
    }

    fn value(&mut self, depth: usize) -> Done<Value> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| ServerError::malformed("tables are too deep in one another"))?;
        Ok(match self.u8()? {
            b't' => Value::Bool(self.u8()? != 0),
            b'b' => Value::Int((self.u8()? as i8).into()),
            b'B' => Value::Int(self.u8()?.into()),
            b's' | b'U' => Value::Int((self.u16()? as i16).into()),
            b'u' => Value::Int(self.u16()?.into()),
            b'I' => Value::Int((self.u32()? as i32).into()),
            b'i' => Value::Int(self.u32()?.into()),
            b'l' | b'L' => Value::Int(self.u64()? as i64),
            b'f' => Value::Float(f32::from_bits(self.u32()?).into()),
            b'd' => Value::Float(f64::from_bits(self.u64()?)),
            b'D' => Value::Decimal { scale: self.u8()?, value: self.u32()? },
            b'S' | b'x' => Value::Bytes(self.long_bytes()?.to_vec()),
            b'T' => Value::Time(self.u64()?),
            b'F' => Value::Table(self.table_at(depth)?),
            b'A' => {
                let mut inner = Reader(self.long_bytes()?);
                let mut values = Vec::new();
                while !inner.0.is_empty() {
                    values.push(inner.value(depth)?);
                }
                Value::Array(values)
            }
            b'V' => Value::Nothing,
            other => return Err(ServerError::malformed(&format!("a field of the unknown type {other}"))),
        })
    }
}

/// Writes a short text; its length was checked, or it is cut.
pub(super) fn put_short_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(u8::MAX.into());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.push(end as u8);
    out.extend_from_slice(&text.as_bytes()[..end]);
}

pub(super) fn put_long_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn put_table(out: &mut Vec<u8>, table: &[(String, Value)]) {
    with_length(out, |out| {
        for (name, value) in table {
            put_short_text(out, name);
            put_value(out, value);
        }
    });
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Nothing => out.push(b'V'),
        Value::Bool(value) => out.extend_from_slice(&[b't', u8::from(*value)]),
        Value::Int(value) => {
            out.push(b'l');
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Float(value) => {
            out.push(b'd');
            out.extend_from_slice(&value.to_bits().to_be_bytes());
        }
        Value::Decimal { scale, value } => {
            out.extend_from_slice(&[b'D', *scale]);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Bytes(bytes) => {
            out.push(b'S');
            put_long_bytes(out, bytes);
        }
        Value::Time(value) => {
            out.push(b'T');
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Array(values) => {
            out.push(b'A');
            with_length(out, |out| values.iter().for_each(|value| put_value(out, value)));
        }
        Value::Table(table) => {
            out.push(b'F');
            put_table(out, table);
        }
    }
}

fn with_length(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let named = |name: &str, value| (name.to_string(), value);
        vec![
            named("text", Value::text("zwölf")),
            named("yes", Value::Bool(true)),
            named("count", Value::Int(-7)),
            named("half", Value::Float(0.5)),
            named("price", Value::Decimal { scale: 2, value: 5 }),
            named("at", Value::Time(1_700_000_000)),
            named("none", Value::Nothing),
            named("deaths", Value::Array(vec![Value::Table(vec![named("queue", Value::text("q"))])])),
        ]
    }

    #[test]
    fn a_table_is_read_as_it_was_written_and_never_further_than_it_goes() {
        let mut bytes = Vec::new();
        put_table(&mut bytes, &table());
        assert_eq!(Reader(&bytes).table().unwrap(), table());
        for length in 0..bytes.len() {
            assert!(Reader(&bytes[..length]).table().is_err(), "cut to {length} bytes");
        }
        let shown: Vec<Option<String>> = table()
            .iter()
            .map(|(_, value)| value.shown().map(|bytes| String::from_utf8(bytes).unwrap()))
            .collect();
        let expected =
            [Some("zwölf"), Some("true"), Some("-7"), Some("0.5"), Some("0.05"), Some("1700000000"), None];
        assert_eq!(shown[..7], expected.map(|text| text.map(str::to_string)));
        assert_eq!(shown[7].as_deref(), Some(r#"[{"queue":"q"}]"#));
    }

    #[test]
    fn tables_without_end_are_refused() {
        let mut value = Value::Nothing;
        for _ in 0..DEPTH_MAX + 1 {
            value = Value::Array(vec![value]);
        }
        let mut bytes = Vec::new();
        put_table(&mut bytes, &[("deep".into(), value)]);
        assert!(Reader(&bytes).table().unwrap_err().message.contains("deep"));
    }

    #[test]
    fn a_short_text_is_cut_between_letters() {
        let mut bytes = Vec::new();
        put_short_text(&mut bytes, &"ä".repeat(200));
        assert_eq!(bytes[0], 254);
        assert_eq!(Reader(&bytes).short_text().unwrap(), "ä".repeat(127));
    }
}
