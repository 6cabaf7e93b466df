//! Values of Avro as they are, by the schema that wrote them: for files whose schema is another each time.

use super::schema::{AvroSchema, Node, NodeId};
use super::wire::{Fault, Input};
use crate::{DecodeError, FormatError};

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 64;
/// Values that take no bytes may be so many in a block, besides two for each of its bytes.
const EMPTY_VALUES: usize = 10_000;

/// A value; of a union that which stands in it, and of logical types the number or the bytes beneath.
#[derive(Debug, Clone, PartialEq)]
pub enum AvroValue {
    Null,
    Boolean(bool),
    /// Also of an `int`.
    Long(i64),
    Float(f32),
    Double(f64),
    /// Also of a `fixed`.
    Bytes(Vec<u8>),
    /// Also of an `enum`.
    Text(String),
    Array(Vec<AvroValue>),
    Map(Vec<(String, AvroValue)>),
    Record(Vec<(String, AvroValue)>),
}

impl AvroValue {
    /// The value of a record's field.
    pub fn field(&self, name: &str) -> Option<&AvroValue> {
        match self {
            AvroValue::Record(fields) => fields.iter().find(|(own, _)| own == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn long(&self) -> Option<i64> {
        if let AvroValue::Long(value) = self { Some(*value) } else { None }
    }
}

/// Reads the values of a file's blocks.
pub struct AvroValues {
    schema: AvroSchema,
}

impl AvroValues {
    /// `schema` is that in the file's head.
    pub fn new(schema: &str) -> Result<AvroValues, FormatError> {
        let schema = AvroSchema::parse(schema);
        schema
            .map(|schema| AvroValues { schema })
            .map_err(|reason| FormatError(format!("the schema of the file: {reason}")))
    }

    /// The values of a block, which has so many. All of its arrays and maps have no more elements than it has bytes.
    pub fn block(&self, block: &[u8], count: i64) -> Result<Vec<AvroValue>, DecodeError> {
        let mut input = Input::new(block, 0);
        let mut values = Vec::new();
        let mut left = block.len().saturating_mul(2).saturating_add(EMPTY_VALUES);
        for _ in 0..count {
            // Values without bytes would come without end.
            if input.is_at_end() {
                input.error::<()>("the block ends too early")?;
            }
            values.push(self.value(&mut input, self.schema.root, 0, &mut left)?);
        }
        if !input.is_at_end() {
            input.error::<()>("there are bytes behind the last value of a block")?;
        }
        Ok(values)
    }

    fn value(
        &self,
        input: &mut Input<'_>,
        id: NodeId,
        depth: usize,
        left: &mut usize,
    ) -> Result<AvroValue, Fault> {
        if depth >= DEPTH_MAX {
            return input.error("values are nested too deeply");
        }
        *left = match left.checked_sub(1) {
            Some(left) => left,
            None => return input.error("too many values take no bytes"),
        };
        Ok(match self.schema.node(id) {
            Node::Null => AvroValue::Null,
            Node::Boolean => AvroValue::Boolean(input.boolean()?),
            Node::Int(_) => AvroValue::Long(input.int()?.into()),
            Node::Long(_) => AvroValue::Long(input.long()?),
            Node::Float => AvroValue::Float(input.float()?),
            Node::Double => AvroValue::Double(input.double()?),
            Node::Bytes(_) => AvroValue::Bytes(input.bytes()?.to_vec()),
            Node::Text => AvroValue::Text(text(input)?),
            Node::Fixed { size, .. } => AvroValue::Bytes(input.take(*size)?.to_vec()),
            Node::Enum { symbols, .. } => AvroValue::Text(symbols[input.index(symbols.len())?].to_string()),
            Node::Record { fields, .. } => {
                let mut values = Vec::with_capacity(fields.len());
                for field in fields {
                    values.push((field.name.clone(), self.value(input, field.node, depth + 1, left)?));
                }
                AvroValue::Record(values)
            }
            Node::Array(items) => {
                let mut values = Vec::new();
                while let count @ 1.. = input.block()? {
                    for _ in 0..count {
                        values.push(self.value(input, *items, depth + 1, left)?);
                    }
                }
                AvroValue::Array(values)
            }
            Node::Map(of) => {
                let mut values = Vec::new();
                while let count @ 1.. = input.block()? {
                    for _ in 0..count {
                        let key = text(input)?;
                        values.push((key, self.value(input, *of, depth + 1, left)?));
                    }
                }
                AvroValue::Map(values)
            }
            Node::Union(branches) => {
                let branch = input.index(branches.len())?;
                self.value(input, branches[branch], depth + 1, left)?
            }
        })
    }
}

fn text(input: &mut Input<'_>) -> Result<String, Fault> {
    let bytes = input.bytes()?;
    String::from_utf8(bytes.to_vec()).or_else(|_| input.error("a text is not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","int"]},
        {"name":"b","type":{"type":"array","items":"string"}},{"name":"c","type":{"type":"map","values":"boolean"}},
        {"name":"d","type":{"type":"fixed","name":"f","size":2}}]}"#;

    #[test]
    fn values_are_read_by_their_schema() {
        let values = AvroValues::new(SCHEMA).unwrap();
        let block = [2, 6, 2, 2, b'x', 0, 2, 2, b'k', 1, 0, 7, 8, 0, 0, 0, 1, 2];
        let found = values.block(&block, 2).unwrap();
        assert_eq!(found[0].field("a").and_then(AvroValue::long), Some(3));
        assert_eq!(found[0].field("b"), Some(&AvroValue::Array(vec![AvroValue::Text("x".into())])));
        assert_eq!(found[0].field("c"), Some(&AvroValue::Map(vec![("k".into(), AvroValue::Boolean(true))])));
        assert_eq!(found[0].field("d"), Some(&AvroValue::Bytes(vec![7, 8])));
        assert_eq!(found[1].field("a"), Some(&AvroValue::Null));
        for length in 0..block.len() {
            assert!(values.block(&block[..length], 2).is_err(), "cut to {length} bytes");
        }
        assert!(values.block(&block, 1).is_err());
        assert!(AvroValues::new(r#""null""#).unwrap().block(&[], 1 << 40).is_err());
    }

    /// Deep values of a type that contains itself end in an error, not in the stack's end.
    #[test]
    fn values_that_hold_themselves_have_an_end() {
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"next","type":["null","r"]}]}"#;
        let values = AvroValues::new(schema).unwrap();
        assert!(values.block(&[2, 2, 0], 1).is_ok());
        assert!(values.block(&[2; 10_000], 1).is_err());
    }
}
