//! How the fields of a message become the columns of a table and back: decided once, by name, with Flink's types.

use super::wire::WireType;
use arrow_schema::{DataType, Field};
use protox::prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Syntax, Value,
};
use std::collections::HashMap;
use std::sync::Arc;

/// What an absent field becomes, and what is done with columns that the message does not have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Everything that is absent has its default; otherwise only what has no presence.
    pub read_defaults: bool,
    /// Flink's way: in proto3 a single value has its default even where its presence is known.
    pub proto3_ignores_presence: bool,
    /// Whether a column that the message does not have is NULL; otherwise it is an error.
    pub missing_is_null: bool,
}

/// A message and the columns that it is for.
#[derive(Debug)]
pub(super) struct MessagePlan {
    pub name: String,
    /// One for each column, in order.
    pub fields: Vec<FieldPlan>,
    /// The places in `fields` by number, and the numbers of required fields, in the order of the message.
    places: HashMap<u32, usize>,
    pub required: Vec<(u32, String)>,
    /// The places in the order in which fields are written.
    pub write_order: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct FieldPlan {
    pub name: String,
    /// 0 where the message does not have the column.
    pub number: u32,
    pub shape: Shape,
    pub kind: Type,
    /// What an absent field becomes; none: NULL.
    pub absent: Option<Absent>,
    /// Whether a value that is the type's default is written too.
    pub writes_default: bool,
    pub is_packed: bool,
    /// Which of the message's `oneof` groups it is of.
    pub group: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    List,
    Map,
    /// The message does not have it.
    Missing,
}

/// What stands for an absent value.
#[derive(Debug, Clone)]
pub(super) enum Absent {
    Scalar(Scalar),
    /// An empty array or map.
    Empty,
    /// A message of defaults.
    Message,
}

#[derive(Debug, Clone)]
pub(super) enum Scalar {
    Boolean(bool),
    Integer(i64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
}

/// The type of a value.
#[derive(Debug, Clone)]
pub(super) enum Type {
    Boolean,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    /// Whether bytes that are not UTF-8 are an error.
    Text {
        is_strict: bool,
    },
    Bytes,
    Enum(Arc<EnumPlan>),
    Message(Arc<MessagePlan>),
    Group(Arc<MessagePlan>),
    /// Of a map: key and value are the two fields of an entry.
    Entry(Arc<MessagePlan>),
    None,
}

#[derive(Debug)]
pub(super) struct EnumPlan {
    /// By number; of several names of a number, the first.
    pub names: HashMap<i32, String>,
    pub numbers: HashMap<String, i32>,
    pub first: i32,
    /// Whether numbers that have no name are values.
    pub is_open: bool,
}

impl Type {
    pub(super) fn wire(&self) -> WireType {
        match self {
            Type::Boolean
            | Type::Int32
            | Type::Int64
            | Type::Uint32
            | Type::Uint64
            | Type::Sint32
            | Type::Sint64
            | Type::Enum(_)
            | Type::None => WireType::Varint,
            Type::Fixed32 | Type::Sfixed32 | Type::Float => WireType::Fixed32,
            Type::Fixed64 | Type::Sfixed64 | Type::Double => WireType::Fixed64,
            Type::Text { .. } | Type::Bytes | Type::Message(_) | Type::Entry(_) => WireType::Bytes,
            Type::Group(_) => WireType::Group,
        }
    }

    fn can_be_packed(&self) -> bool {
        !matches!(self.wire(), WireType::Bytes | WireType::Group)
    }
}

impl MessagePlan {
    pub(super) fn place(&self, number: u32) -> Option<usize> {
        self.places.get(&number).copied()
    }

    /// The columns must be fields of the message; every problem names the column.
    pub(super) fn new<'a>(
        message: &MessageDescriptor,
        columns: impl Iterator<Item = &'a Field>,
        rules: Rules,
    ) -> Result<MessagePlan, String> {
        let is_proto3 = message.parent_file().syntax() == Syntax::Proto3;
        MessagePlan::nested(message, columns, rules, is_proto3)
    }

    fn nested<'a>(
        message: &MessageDescriptor,
        columns: impl Iterator<Item = &'a Field>,
        rules: Rules,
        is_proto3: bool,
    ) -> Result<MessagePlan, String> {
        let mut fields = Vec::new();
        let mut places = HashMap::new();
        for column in columns {
            let name = column.name();
            match message.get_field_by_name(name) {
                Some(field) => {
                    let plan = FieldPlan::new(&field, column, rules, is_proto3)
                        .map_err(|reason| within(name, reason))?;
                    places.insert(plan.number, fields.len());
                    fields.push(plan);
                }
                None if rules.missing_is_null && column.is_nullable() => {
                    fields.push(FieldPlan {
                        name: name.clone(),
                        number: 0,
                        shape: Shape::Missing,
                        kind: Type::None,
                        absent: None,
                        writes_default: false,
                        is_packed: false,
                        group: None,
                    });
                }
                None => {
                    let names: Vec<String> = message.fields().map(|field| field.name().to_string()).collect();
                    let near = base::nearest(name, names.iter().map(String::as_str));
                    let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
                    return Err(format!(
                        "column '{name}': the message '{}' has no such field{hint}",
                        message.full_name()
                    ));
                }
            }
        }
        let required = message.fields().filter(|field| field.cardinality() == Cardinality::Required);
        let required = required.map(|field| (field.number(), field.name().to_string())).collect();
        let mut write_order: Vec<usize> =
            (0..fields.len()).filter(|place| fields[*place].number > 0).collect();
        write_order.sort_by_key(|place| fields[*place].number);
        Ok(MessagePlan { name: message.full_name().to_string(), fields, places, required, write_order })
    }
}

fn within(name: &str, reason: String) -> String {
    match reason.strip_prefix("column '") {
        Some(rest) => format!("column '{name}.{rest}"),
        None => format!("column '{name}': {reason}"),
    }
}

impl FieldPlan {
    fn new(
        field: &FieldDescriptor,
        column: &Field,
        rules: Rules,
        is_proto3: bool,
    ) -> Result<FieldPlan, String> {
        let (shape, kind) = if field.is_map() {
            (Shape::Map, entry_of(field, column.data_type(), rules, is_proto3)?)
        } else if field.is_list() {
            let DataType::List(item) = column.data_type() else {
                return Err(format!(
                    "a repeated field is an ARRAY, and the column is {}",
                    sql_name(column.data_type())
                ));
            };
            (Shape::List, type_of(field, item.data_type(), rules, is_proto3)?)
        } else {
            (Shape::Single, type_of(field, column.data_type(), rules, is_proto3)?)
        };
        let is_message = matches!(kind, Type::Message(_) | Type::Group(_));
        let absent = match shape {
            Shape::List | Shape::Map => rules.read_defaults.then_some(Absent::Empty),
            Shape::Single if is_message => rules.read_defaults.then_some(Absent::Message),
            Shape::Single => {
                let known = field.supports_presence() && !(is_proto3 && rules.proto3_ignores_presence);
                let wanted = rules.read_defaults || !known;
                wanted.then(|| default_of(field, column.data_type())).flatten()
            }
            Shape::Missing => None,
        };
        let group = field.containing_oneof().filter(|group| !group.is_synthetic());
        Ok(FieldPlan {
            name: field.name().to_string(),
            number: field.number(),
            shape,
            absent,
            writes_default: field.supports_presence(),
            is_packed: field.is_packed() && kind.can_be_packed(),
            group: group.map(|group| group.path().last().map_or(0, |index| *index as usize)),
            kind,
        })
    }
}

fn entry_of(
    field: &FieldDescriptor,
    column: &DataType,
    rules: Rules,
    is_proto3: bool,
) -> Result<Type, String> {
    let (DataType::Map(entries, _), Kind::Message(entry)) = (column, field.kind()) else {
        return Err(format!("a map is a MAP, and the column is {}", sql_name(column)));
    };
    let DataType::Struct(pair) = entries.data_type() else { return Err("a map without entries".into()) };
    let [key, value] = pair.as_ref() else { return Err("a map without key and value".into()) };
    // Within an entry, what is absent has its default, whatever the rules are.
    let own = Rules { read_defaults: true, ..rules };
    let part = |field: &FieldDescriptor, column: &Field| -> Result<FieldPlan, String> {
        let mut plan = FieldPlan::new(field, column, own, is_proto3)?;
        if let Type::Message(inner) = &plan.kind
            && !rules.read_defaults
            && let (Kind::Message(message), DataType::Struct(columns)) = (field.kind(), column.data_type())
        {
            // What lies within the value follows the rules again.
            debug_assert_eq!(inner.name, message.full_name());
            let columns = columns.iter().map(|column| column.as_ref());
            plan.kind = Type::Message(Arc::new(MessagePlan::nested(&message, columns, rules, is_proto3)?));
        }
        plan.writes_default = true;
        Ok(plan)
    };
    let fields = vec![
        part(&entry.map_entry_key_field(), key).map_err(|reason| within("key", reason))?,
        part(&entry.map_entry_value_field(), value).map_err(|reason| within("value", reason))?,
    ];
    Ok(Type::Entry(Arc::new(MessagePlan {
        name: entry.full_name().to_string(),
        places: [(1, 0), (2, 1)].into(),
        fields,
        required: Vec::new(),
        write_order: vec![0, 1],
    })))
}

fn type_of(
    field: &FieldDescriptor,
    column: &DataType,
    rules: Rules,
    is_proto3: bool,
) -> Result<Type, String> {
    let refuse = |name: &str| Err(format!("a field of type {name} is no {}", sql_name(column)));
    let is_strict = field.parent_file().syntax() == Syntax::Proto3;
    Ok(match (field.kind(), column) {
        (Kind::Bool, DataType::Boolean) => Type::Boolean,
        (Kind::Int32, DataType::Int32) => Type::Int32,
        (Kind::Uint32, DataType::Int32) => Type::Uint32,
        (Kind::Sint32, DataType::Int32) => Type::Sint32,
        (Kind::Fixed32, DataType::Int32) => Type::Fixed32,
        (Kind::Sfixed32, DataType::Int32) => Type::Sfixed32,
        (Kind::Int64, DataType::Int64) => Type::Int64,
        (Kind::Uint64, DataType::Int64) => Type::Uint64,
        (Kind::Sint64, DataType::Int64) => Type::Sint64,
        (Kind::Fixed64, DataType::Int64) => Type::Fixed64,
        (Kind::Sfixed64, DataType::Int64) => Type::Sfixed64,
        (Kind::Float, DataType::Float32) => Type::Float,
        (Kind::Double, DataType::Float64) => Type::Double,
        (Kind::String, DataType::Utf8) => Type::Text { is_strict },
        (Kind::Bytes, DataType::Binary) => Type::Bytes,
        (
            Kind::Enum(found),
            DataType::Utf8 | DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64,
        ) => Type::Enum(Arc::new(EnumPlan::new(&found))),
        (Kind::Message(message), DataType::Struct(columns)) => {
            let columns = columns.iter().map(|column| column.as_ref());
            let plan = Arc::new(MessagePlan::nested(&message, columns, rules, is_proto3)?);
            if field.is_group() { Type::Group(plan) } else { Type::Message(plan) }
        }
        (Kind::Message(message), _) => {
            return Err(format!(
                "the message '{}' is a ROW, and the column is {}",
                message.full_name(),
                sql_name(column)
            ));
        }
        (Kind::Enum(_), _) => return refuse("enum"),
        (kind, _) => return refuse(&format!("{kind:?}").to_ascii_lowercase()),
    })
}

impl EnumPlan {
    fn new(found: &EnumDescriptor) -> EnumPlan {
        let (mut names, mut numbers) = (HashMap::new(), HashMap::new());
        for value in found.values() {
            names.entry(value.number()).or_insert_with(|| value.name().to_string());
            numbers.insert(value.name().to_string(), value.number());
        }
        EnumPlan {
            names,
            numbers,
            first: found.default_value().number(),
            is_open: found.parent_file().syntax() == Syntax::Proto3,
        }
    }
}

/// The default of a single value, as the column has it.
fn default_of(field: &FieldDescriptor, column: &DataType) -> Option<Absent> {
    Some(Absent::Scalar(match field.default_value() {
        Value::Bool(value) => Scalar::Boolean(value),
        Value::I32(value) => Scalar::Integer(i64::from(value)),
        Value::I64(value) => Scalar::Integer(value),
        Value::U32(value) => Scalar::Integer(i64::from(value as i32)),
        Value::U64(value) => Scalar::Integer(value as i64),
        Value::F32(value) => Scalar::Float(value),
        Value::F64(value) => Scalar::Double(value),
        Value::String(text) => Scalar::Bytes(text.into_bytes()),
        Value::Bytes(bytes) => Scalar::Bytes(bytes.to_vec()),
        Value::EnumNumber(number) => match (field.kind(), column) {
            (Kind::Enum(found), DataType::Utf8) => {
                Scalar::Bytes(found.get_value(number)?.name().as_bytes().to_vec())
            }
            _ => Scalar::Integer(i64::from(number)),
        },
        _ => return None,
    }))
}

fn sql_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 => "STRING",
        DataType::Binary => "BYTES",
        DataType::Decimal128(..) => "DECIMAL",
        DataType::Date32 => "DATE",
        DataType::Time32(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(..) => "TIMESTAMP_LTZ",
        DataType::Struct(_) => "ROW",
        DataType::List(_) => "ARRAY",
        DataType::Map(..) => "MAP",
        other => return other.to_string(),
    };
    name.into()
}
