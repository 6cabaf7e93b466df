//! The types of AMQP 1.0 (part 1 of the specification), as far as performatives and messages need them told apart.

use crate::messages::{Done, ServerError};

/// Values in one another are read so deep.
const DEPTH_MAX: usize = 16;
/// So many values are read of a frame or a message: each takes more memory than bytes.
const VALUES_MAX: usize = 100_000;

const DESCRIBED: u8 = 0x00;
const NULL: u8 = 0x40;
const TRUE: u8 = 0x41;
const FALSE: u8 = 0x42;
const UBYTE: u8 = 0x50;
const SMALL_ULONG: u8 = 0x53;
const UINT: u8 = 0x70;
const ULONG: u8 = 0x80;
const LONG: u8 = 0x81;
const TIMESTAMP: u8 = 0x83;
const BINARY_32: u8 = 0xb0;
const STRING_32: u8 = 0xb1;
const SYMBOL_32: u8 = 0xb3;
const LIST_32: u8 = 0xd0;
const MAP_32: u8 = 0xd1;
const ARRAY_32: u8 = 0xf0;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Whole numbers and times; larger ones are texts of their digits.
    Int(i64),
    Float(f64),
    /// A string, a symbol or a letter.
    Text(String),
    /// Also decimal numbers, and strings that are none.
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Described(Box<(Value, Value)>),
}

impl Value {
    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As the value of a header in MAP<STRING, BYTES>: bytes as they are, all else as text.
    pub(crate) fn shown(&self) -> Option<Vec<u8>> {
        match self {
            Value::Null => None,
            Value::Bytes(bytes) => Some(bytes.clone()),
            Value::Text(text) => Some(text.clone().into_bytes()),
            other => Some(match other.json() {
                serde_json::Value::String(text) => text.into_bytes(),
                json => json.to_string().into_bytes(),
            }),
        }
    }

    /// The same as text.
    pub(crate) fn shown_text(&self) -> Option<String> {
        self.shown().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => serde_json::Number::from_f64(*value)
                .map_or_else(|| value.to_string().into(), serde_json::Value::Number),
            Value::Text(text) => text.as_str().into(),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
            Value::List(values) => values.iter().map(Value::json).collect(),
            Value::Map(pairs) => {
                let fields =
                    pairs.iter().map(|(key, value)| (key.shown_text().unwrap_or_default(), value.json()));
                serde_json::Value::Object(fields.collect())
            }
            Value::Described(described) => described.1.json(),
        }
    }
}

/// Reads values, and what lies between them.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    values_left: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, values_left: VALUES_MAX }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A described value: the number of its descriptor, and what is described.
    pub(crate) fn described(&mut self) -> Done<(u64, Value)> {
        match self.value()? {
            Value::Described(described) => {
                let (descriptor, value) = *described;
                let code = descriptor.number().and_then(|code| u64::try_from(code).ok());
                let code = code.ok_or_else(|| ServerError::malformed("a descriptor is no number"))?;
                Ok((code, value))
            }
            _ => Err(ServerError::malformed("a value has no descriptor")),
        }
    }

    pub(crate) fn value(&mut self) -> Done<Value> {
        self.value_at(DEPTH_MAX)
    }

    fn take(&mut self, count: usize) -> Done<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| ServerError::malformed("a value ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Done<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| ServerError::malformed("a value ends too early"))
    }

    fn u8(&mut self) -> Done<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Done<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Done<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn value_at(&mut self, depth: usize) -> Done<Value> {
        let code = self.u8()?;
        self.value_of(code, depth)
    }

    /// The value behind its constructor.
    fn value_of(&mut self, code: u8, depth: usize) -> Done<Value> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| ServerError::malformed("values are too deep in one another"))?;
        self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or_else(|| ServerError::malformed(&format!("more than {VALUES_MAX} values are in one")))?;
        Ok(match code {
            DESCRIBED => Value::Described(Box::new((self.value_at(depth)?, self.value_at(depth)?))),
            NULL => Value::Null,
            TRUE | FALSE => Value::Bool(code == TRUE),
            0x56 => Value::Bool(self.u8()? != 0),
            0x43..=0x44 => Value::Int(0),
            UBYTE | 0x52 | SMALL_ULONG => Value::Int(self.u8()?.into()),
            0x51 | 0x54 | 0x55 => Value::Int((self.u8()? as i8).into()),
            0x60 => Value::Int(u16::from_be_bytes(self.array()?).into()),
            0x61 => Value::Int(i16::from_be_bytes(self.array()?).into()),
            UINT => Value::Int(self.u32()?.into()),
            0x71 => Value::Int((self.u32()? as i32).into()),
            ULONG => {
                let number = self.u64()?;
                i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Int)
            }
            LONG | TIMESTAMP => Value::Int(self.u64()? as i64),
            0x72 => Value::Float(f32::from_bits(self.u32()?).into()),
            0x82 => Value::Float(f64::from_bits(self.u64()?)),
            0x73 => {
                let letter = char::from_u32(self.u32()?).unwrap_or(char::REPLACEMENT_CHARACTER);
                Value::Text(letter.to_string())
            }
            0x74 => Value::Bytes(self.take(4)?.to_vec()),
            0x84 => Value::Bytes(self.take(8)?.to_vec()),
            0x94 => Value::Bytes(self.take(16)?.to_vec()),
            0x98 => Value::Text(uuid(self.take(16)?)),
            0xa0 | 0xa1 | 0xa3 => {
                let length = self.u8()?;
                bytes_or_text(code, self.take(length.into())?)
            }
            BINARY_32 | STRING_32 | SYMBOL_32 => {
                let length = self.u32()?;
                bytes_or_text(code, self.take(length as usize)?)
            }
            0x45 => Value::List(Vec::new()),
            0xc0 | LIST_32 => {
                let mut content = self.counted(code)?;
                let values = (0..content.1).map(|_| content.0.value_at(depth)).collect::<Done<_>>()?;
                self.values_left = content.0.values_left;
                Value::List(values)
            }
            0xc1 | MAP_32 => {
                let mut content = self.counted(code)?;
                let mut pair = || Ok((content.0.value_at(depth)?, content.0.value_at(depth)?));
                let pairs = (0..content.1 / 2).map(|_| pair()).collect::<Done<_>>()?;
                self.values_left = content.0.values_left;
                Value::Map(pairs)
            }
            0xe0 | ARRAY_32 => {
                let (mut content, count) = self.counted(code)?;
                let code = content.u8()?;
                // Values that take no room would make an array without end.
                if count as usize > content.rest.len() {
                    return Err(ServerError::malformed("an array has more values than bytes"));
                }
                let values = (0..count).map(|_| content.value_of(code, depth)).collect::<Done<_>>()?;
                self.values_left = content.values_left;
                Value::List(values)
            }
            other => return Err(ServerError::malformed(&format!("a value of the unknown type {other:#x}"))),
        })
    }

    /// The content of a list, a map or an array, and how many values it has.
    fn counted(&mut self, code: u8) -> Done<(Reader<'a>, u32)> {
        // The upper half of the code says how wide length and count are.
        let is_wide = code >> 4 == 0xd || code >> 4 == 0xf;
        let length = if is_wide { self.u32()? } else { self.u8()?.into() };
        let mut content = Reader { rest: self.take(length as usize)?, values_left: self.values_left };
        let count = if is_wide { content.u32()? } else { content.u8()?.into() };
        Ok((content, count))
    }
}

/// The lower half of the code says what the bytes are.
fn bytes_or_text(code: u8, bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if code & 0x0f != 0 => Value::Text(text.into()),
        _ => Value::Bytes(bytes.to_vec()),
    }
}

fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Writes values one behind the other, and counts them.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    count: u32,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out, count: 0 }
    }

    fn put(&mut self, code: u8, bytes: &[u8]) -> &mut Self {
        self.count += 1;
        self.out.push(code);
        self.out.extend_from_slice(bytes);
        self
    }

    fn put_counted(&mut self, code: u8, bytes: &[u8]) -> &mut Self {
        self.put(code, &(bytes.len() as u32).to_be_bytes());
        self.out.extend_from_slice(bytes);
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.put(NULL, &[])
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.put(if value { TRUE } else { FALSE }, &[])
    }

    pub(crate) fn ubyte(&mut self, value: u8) -> &mut Self {
        self.put(UBYTE, &[value])
    }

    pub(crate) fn ushort(&mut self, value: u16) -> &mut Self {
        self.put(0x60, &value.to_be_bytes())
    }

    pub(crate) fn uint(&mut self, value: u32) -> &mut Self {
        self.put(UINT, &value.to_be_bytes())
    }

    pub(crate) fn ulong(&mut self, value: u64) -> &mut Self {
        self.put(ULONG, &value.to_be_bytes())
    }

    pub(crate) fn long(&mut self, value: i64) -> &mut Self {
        self.put(LONG, &value.to_be_bytes())
    }

    pub(crate) fn timestamp(&mut self, ms: i64) -> &mut Self {
        self.put(TIMESTAMP, &ms.to_be_bytes())
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) -> &mut Self {
        self.put_counted(BINARY_32, bytes)
    }

    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.put_counted(STRING_32, text.as_bytes())
    }

    pub(crate) fn symbol(&mut self, text: &str) -> &mut Self {
        self.put_counted(SYMBOL_32, text.as_bytes())
    }

    /// What is not there is null.
    pub(crate) fn or_null<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    pub(crate) fn symbols(&mut self, symbols: &[&str]) -> &mut Self {
        self.compound(ARRAY_32, |content| {
            content.out.push(SYMBOL_32);
            for symbol in symbols {
                content.count += 1;
                content.out.extend_from_slice(&(symbol.len() as u32).to_be_bytes());
                content.out.extend_from_slice(symbol.as_bytes());
            }
        })
    }

    pub(crate) fn list(&mut self, fill: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        self.compound(LIST_32, fill)
    }

    /// Keys and values in turn.
    pub(crate) fn map(&mut self, fill: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        self.compound(MAP_32, fill)
    }

    /// A value with the number of its descriptor.
    pub(crate) fn described(&mut self, code: u64, fill: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        self.count += 1;
        self.out.push(DESCRIBED);
        match u8::try_from(code) {
            Ok(small) => self.out.extend_from_slice(&[SMALL_ULONG, small]),
            Err(_) => {
                self.out.push(ULONG);
                self.out.extend_from_slice(&code.to_be_bytes());
            }
        }
        fill(&mut Writer::new(self.out));
        self
    }

    fn compound(&mut self, code: u8, fill: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        self.put(code, &[0; 8]);
        let start = self.out.len() - 8;
        let mut content = Writer::new(self.out);
        fill(&mut content);
        let count = content.count;
        let length = (self.out.len() - start - 4) as u32;
        self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        self.out[start + 4..start + 8].copy_from_slice(&count.to_be_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_types_are_shown() {
        let cases: &[(&[u8], &str)] = &[
            (&[0x41], "true"),
            (&[0x56, 0], "false"),
            (&[0x44], "0"),
            (&[0x54, 0xff], "-1"),
            (&[0x60, 1, 0], "256"),
            (&[0x61, 0xff, 0xfe], "-2"),
            (&[0x71, 0xff, 0xff, 0xff, 0xfd], "-3"),
            (&[0x80, 255, 255, 255, 255, 255, 255, 255, 255], "18446744073709551615"),
            (&[0x73, 0, 0, 0, 0x41], "A"),
            (&[0x82, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0], "0.5"),
            (&[0xa1, 2, b'h', b'i'], "hi"),
            (&[0xb3, 0, 0, 0, 2, b'h', b'i'], "hi"),
            (&[0xc0, 4, 2, 0x41, 0x52, 7], "[true,7]"),
            (&[0xc1, 5, 2, 0xa1, 1, b'k', 0x41], r#"{"k":true}"#),
            (&[0xe0, 4, 2, 0x50, 1, 2], "[1,2]"),
            (&[0x00, 0x53, 1, 0x52, 9], "9"),
            (
                &[0x98, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
                "00010203-0405-0607-0809-0a0b0c0d0e0f",
            ),
        ];
        for (bytes, shown) in cases {
            let read = Reader::new(bytes).value().unwrap().shown_text();
            assert_eq!(read.as_deref(), Some(*shown), "{bytes:x?}");
            for length in 0..bytes.len() {
                assert!(Reader::new(&bytes[..length]).value().is_err(), "{bytes:x?} cut to {length}");
            }
        }
        let odd = Reader::new(&[0xa1, 1, 0xff]).value().unwrap();
        assert_eq!(odd, Value::Bytes(vec![0xff]));
    }

    #[test]
    fn what_was_written_is_read() {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).described(0x468C_0000_0004, |inner| {
            inner.list(|list| {
                list.null().bool(true).ubyte(7).ushort(8).uint(9).ulong(10).long(-11).timestamp(12);
                list.binary(&[0xff]).string("zwölf").symbol("s").symbols(&["a", "bc"]);
                list.map(|map| {
                    map.symbol("k").or_null(None::<&str>, |out, text| out.string(text));
                });
            });
        });
        let text = |text: &str| Value::Text(text.into());
        let list = [
            vec![Value::Null, Value::Bool(true)],
            [7, 8, 9, 10, -11, 12].map(Value::Int).to_vec(),
            vec![
                Value::Bytes(vec![0xff]),
                text("zwölf"),
                text("s"),
                Value::List(vec![text("a"), text("bc")]),
            ],
            vec![Value::Map(vec![(text("k"), Value::Null)])],
        ];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.described().unwrap(), (0x468C_0000_0004, Value::List(list.concat())));
        assert!(reader.rest().is_empty());
        for length in 0..bytes.len() {
            assert!(Reader::new(&bytes[..length]).described().is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn values_without_end_are_refused() {
        let deep = [vec![0; DEPTH_MAX * 2], vec![0x40; 3]].concat();
        assert!(Reader::new(&deep).value().unwrap_err().message.contains("too deep"));
        let mut nested = vec![NULL];
        for _ in 0..DEPTH_MAX {
            nested = [&[0xc0, nested.len() as u8 + 1, 1][..], &nested].concat();
        }
        assert!(Reader::new(&nested).value().unwrap_err().message.contains("too deep"));
        // Arrays of four billion values that take no room, with nothing behind them and with a byte that nobody reads.
        let endless = [0xf0, 0, 0, 0, 5, 255, 255, 255, 255, 0x41];
        assert!(Reader::new(&endless).value().is_err());
        for code in [0x40, 0x41, 0x42, 0x43, 0x44, 0x45] {
            let endless = [0xf0, 0, 0, 0, 6, 255, 255, 255, 255, code, 0];
            assert!(Reader::new(&endless).value().is_err(), "{code:#x}");
        }
        assert!(Reader::new(&[0xd0, 0, 0, 0, 4, 255, 255, 255, 255]).value().is_err());
        // A byte each, and much more in memory.
        let many = VALUES_MAX as u32 + 1;
        let list =
            [&[LIST_32][..], &(many + 4).to_be_bytes(), &many.to_be_bytes(), &vec![NULL; many as usize]];
        let list = list.concat();
        assert!(Reader::new(&list).value().unwrap_err().message.contains("more than"));
        let halves = [&[LIST_32][..], &(2 * many + 15).to_be_bytes(), &2_u32.to_be_bytes()].concat();
        let half = [&[LIST_32][..], &(many / 2 + 4).to_be_bytes(), &(many / 2).to_be_bytes()].concat();
        let half = [half, vec![NULL; many as usize / 2]].concat();
        let halves = [halves, half.clone(), half, vec![NULL; many as usize]].concat();
        assert!(
            Reader::new(&halves).value().unwrap_err().message.contains("more than"),
            "lists share the limit"
        );
    }
}
