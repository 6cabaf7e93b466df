//! The built-in scalar functions: one file per family, one registry entry per function.
//!
//! An entry holds the name, the shapes of arguments it takes, the evaluation, a sentence for the reference and
//! examples, which run as tests. Names are matched without regard to case. Special forms with their own
//! evaluation order (CASE, COALESCE, IF) are expressions, not functions; their names stand in `FORMS`.

pub mod aggregate;
mod array;
mod conditional;
mod encoding;
mod foreign;
mod java_pattern;
mod json;
mod map;
mod number;
mod printf;
mod random;
mod regular_expression;
mod text;
mod time;
mod unsupported;
pub mod user;

pub(crate) use regular_expression::is_pattern;
pub(crate) use text::PADDED_MAX;
pub(crate) use time::PROCTIME;
pub use time::{round_to_unit, timestamp_difference};

use crate::expression::draw::Draw;
use crate::expression::value::Value;
use crate::types::{LogicalType, TypeKind, implicitly_castable, wider_type};
use arrow_array::ArrayRef;
use base::Zone;

/// What an argument must be; the binder casts to the type that `accept` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    Any,
    Text,
    Bytes,
    Boolean,
    /// Any number, kept as it is.
    Number,
    /// Any integer, kept as it is.
    Integer,
    Int,
    BigInt,
    Double,
    Date,
    /// TIMESTAMP or TIMESTAMP_LTZ, kept as it is.
    Timestamp,
    /// A date, time or timestamp, kept as it is.
    Temporal,
    /// The common type of all arguments marked so.
    Common,
    /// Any array, map or multiset, kept as it is.
    Array,
    Map,
    Multiset,
    /// The common type of all arguments marked so, which are arrays.
    CommonArray,
    /// The common type of all arguments marked so, which are maps.
    CommonMap,
    /// An array whose elements have an order.
    OrderedArray,
    /// An array of texts.
    TextArray,
    /// What the array that is the first argument holds.
    Element,
    /// What JSON can hold.
    Json,
}

/// One shape of a function's arguments.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    pub parameters: &'static [Parameter],
    /// How many of the parameters may be left out, from the end.
    pub optional: usize,
    /// The last parameter may be repeated.
    pub repeats: bool,
    /// The result's type, from the types after implicit casts.
    pub returns: fn(&[LogicalType]) -> TypeKind,
}

/// When the result can be NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nullability {
    /// When an argument can.
    OfArguments,
    /// When the first argument can.
    OfFirst,
    Always,
    Never,
}

pub struct Function {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub signatures: &'static [Signature],
    pub nullability: Nullability,
    pub evaluate: fn(&Call<'_>) -> Result<ArrayRef, String>,
    /// Some argument makes the evaluation fail.
    pub may_fail: bool,
    /// The value depends on the step's clock.
    pub reads_clock: bool,
    /// Each row gets a value of its own; the binder adds the number of the call as the last argument.
    pub is_random: bool,
    pub doc: &'static str,
    /// Expressions and how their values print; NULL for no value.
    pub examples: &'static [(&'static str, &'static str)],
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// One evaluation.
pub struct Call<'a> {
    pub arguments: &'a [Value],
    pub types: &'a [LogicalType],
    pub result: &'a LogicalType,
    /// 1 when all the arguments are constants.
    pub rows: usize,
    pub clock_ms: i64,
    pub draw: &'a Draw,
    pub zone: Zone,
}

impl Call<'_> {
    pub fn argument(&self, index: usize) -> Result<&Value, String> {
        self.arguments.get(index).ok_or_else(|| format!("argument {} is missing", index + 1))
    }
}

/// Expressions that look like functions and are bound by themselves.
pub const FORMS: &[&str] = &[
    "COALESCE",
    "IF",
    "IFNULL",
    "NULLIF",
    "CURRENT_WATERMARK",
    "CAST",
    "TRY_CAST",
    "EXTRACT",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "IS JSON",
    "JSON",
    "JSON_ARRAY",
    "JSON_EXISTS",
    "JSON_OBJECT",
    "JSON_QUERY",
    "JSON_VALUE",
    "TUMBLE",
    "HOP",
    "TUMBLE_START",
    "TUMBLE_END",
    "TUMBLE_ROWTIME",
    "HOP_START",
    "HOP_END",
    "HOP_ROWTIME",
    "SESSION_START",
    "SESSION_END",
    "SESSION_ROWTIME",
    "TUMBLE_PROCTIME",
    "HOP_PROCTIME",
    "SESSION_PROCTIME",
    "GROUPING",
    "GROUPING_ID",
    "GROUP_ID",
];

pub use foreign::instead;

/// All scalar functions, family by family.
pub fn all() -> impl Iterator<Item = &'static Function> {
    families().into_iter().flat_map(|(_, functions)| functions)
}

/// The function of that name, whatever its case.
pub fn find(name: &str) -> Option<&'static Function> {
    all().find(|function| {
        function.name.eq_ignore_ascii_case(name)
            || function.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// Whether Flink documents a function that is not here yet.
pub fn is_known_elsewhere(name: &str) -> bool {
    unsupported::NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// What Flink documents and is not here yet.
pub fn known_elsewhere() -> &'static [&'static str] {
    unsupported::NAMES
}

/// The families of the reference, each with its functions.
pub fn families() -> [(&'static str, &'static [Function]); 10] {
    [
        ("Conditional", conditional::FUNCTIONS),
        ("Numbers", number::FUNCTIONS),
        ("Text", text::FUNCTIONS),
        ("Regular expressions", regular_expression::FUNCTIONS),
        ("Encodings, digests and URLs", encoding::FUNCTIONS),
        ("Dates and times", time::FUNCTIONS),
        ("Random values", random::FUNCTIONS),
        ("Arrays", array::FUNCTIONS),
        ("Maps", map::FUNCTIONS),
        ("JSON", json::FUNCTIONS),
    ]
}

/// Every name that can be called, for "did you mean".
pub fn names() -> impl Iterator<Item = &'static str> {
    all()
        .flat_map(|function| std::iter::once(function.name).chain(function.aliases.iter().copied()))
        .filter(|name| !name.starts_with('$'))
        .chain(FORMS.iter().copied())
        .chain(
            aggregate::AGGREGATES
                .iter()
                .flat_map(|one| std::iter::once(one.name).chain(one.aliases.iter().copied())),
        )
}

/// The types to which the arguments are cast, and the result's.
#[derive(Debug)]
pub struct Resolved {
    pub arguments: Vec<LogicalType>,
    pub result: LogicalType,
}

impl Function {
    /// Finds the signature that takes these types.
    pub fn resolve(&self, types: &[LogicalType]) -> Option<Resolved> {
        self.signatures.iter().find_map(|signature| {
            let arguments = signature.accept(types)?;
            let nullable = match self.nullability {
                Nullability::Always => true,
                Nullability::Never => false,
                Nullability::OfArguments => types.iter().any(|data_type| data_type.nullable),
                Nullability::OfFirst => types.first().is_some_and(|data_type| data_type.nullable),
            };
            let result = (signature.returns)(&arguments).with_nullable(nullable);
            Some(Resolved { arguments, result })
        })
    }

    /// The shapes it takes, for messages: `SUBSTRING(text, int[, int])`.
    pub fn usage(&self) -> String {
        self.signatures.iter().map(|signature| signature.usage(self.name)).collect::<Vec<_>>().join(" or ")
    }
}

impl Signature {
    fn accept(&self, types: &[LogicalType]) -> Option<Vec<LogicalType>> {
        let least = self.parameters.len() - self.optional;
        if types.len() < least || (!self.repeats && types.len() > self.parameters.len()) {
            return None;
        }
        let parameter = |index: usize| self.parameters[index.min(self.parameters.len() - 1)];
        let common = types
            .iter()
            .enumerate()
            .filter(|(index, _)| parameter(*index).takes_common())
            .map(|(_, data_type)| Some(data_type.clone()))
            .reduce(|left, right| wider_type(&left?, &right?))
            .unwrap_or(None);
        let element = match types.first().map(|first| &first.kind) {
            Some(TypeKind::Array(element)) => Some(element.as_ref()),
            _ => None,
        };
        types
            .iter()
            .enumerate()
            .map(|(index, data_type)| parameter(index).accept(data_type, &common, element))
            .collect()
    }

    fn usage(&self, name: &str) -> String {
        let least = self.parameters.len() - self.optional;
        let mut text = format!("{name}(");
        for (index, parameter) in self.parameters.iter().enumerate() {
            if index >= least {
                text.push('[');
            }
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(parameter.name());
        }
        if self.repeats {
            text.push_str(", …");
        }
        text.push_str(&"]".repeat(self.optional));
        text + ")"
    }
}

impl Parameter {
    fn name(self) -> &'static str {
        match self {
            Parameter::Any | Parameter::Common => "value",
            Parameter::Element => "element",
            Parameter::Json => "value that JSON can hold",
            Parameter::Text => "text",
            Parameter::Bytes => "bytes",
            Parameter::Boolean => "boolean",
            Parameter::Number => "number",
            Parameter::Integer => "integer",
            Parameter::Int => "int",
            Parameter::BigInt => "bigint",
            Parameter::Double => "double",
            Parameter::Date => "date",
            Parameter::Timestamp => "timestamp",
            Parameter::Temporal => "date or timestamp",
            Parameter::Array | Parameter::CommonArray => "array",
            Parameter::OrderedArray => "array of what has an order",
            Parameter::TextArray => "array of texts",
            Parameter::Map | Parameter::CommonMap => "map",
            Parameter::Multiset => "multiset",
        }
    }

    fn takes_common(self) -> bool {
        matches!(self, Parameter::Common | Parameter::CommonArray | Parameter::CommonMap)
    }

    /// The type that the argument is cast to; `None` when it does not fit. `element` is what the array that is the
    /// first argument holds.
    fn accept(
        self,
        given: &LogicalType,
        common: &Option<LogicalType>,
        element: Option<&LogicalType>,
    ) -> Option<LogicalType> {
        let cast = |kind: TypeKind| {
            let target = kind.with_nullable(given.nullable);
            implicitly_castable(given, &target).then_some(target)
        };
        let keep = |fits: bool| fits.then(|| given.clone());
        let is_null = given.kind == TypeKind::Null;
        match self {
            Parameter::Any => Some(given.clone()),
            Parameter::Json => keep(crate::json::write::holds(&given.kind)),
            Parameter::Text => {
                if given.kind.is_character() {
                    return Some(given.clone());
                }
                cast(TypeKind::string())
            }
            Parameter::Bytes if is_null => cast(TypeKind::bytes()),
            Parameter::Bytes => keep(given.kind.is_binary()),
            Parameter::Boolean => cast(TypeKind::Boolean),
            Parameter::Number | Parameter::Integer if is_null => cast(TypeKind::Int),
            Parameter::Number => keep(given.kind.is_numeric()),
            Parameter::Integer => keep(given.kind.is_integer()),
            // A longer integer is cut to INT where Flink's signature says INT.
            Parameter::Int if given.kind == TypeKind::BigInt => {
                Some(TypeKind::Int.with_nullable(given.nullable))
            }
            Parameter::Int => cast(TypeKind::Int),
            Parameter::BigInt => cast(TypeKind::BigInt),
            Parameter::Double => cast(TypeKind::Double),
            Parameter::Date if is_null => cast(TypeKind::Date),
            Parameter::Date => keep(given.kind == TypeKind::Date),
            Parameter::Timestamp | Parameter::Temporal if is_null => cast(TypeKind::Timestamp(3)),
            Parameter::Timestamp => keep(given.kind.is_timestamp()),
            Parameter::Temporal => keep(given.kind.is_temporal()),
            Parameter::Common => common.as_ref().map(|common| common.with_nullable(given.nullable)),
            Parameter::Array => keep(matches!(given.kind, TypeKind::Array(_))),
            Parameter::Map => keep(matches!(given.kind, TypeKind::Map(..))),
            Parameter::Multiset => keep(matches!(given.kind, TypeKind::Multiset(_))),
            Parameter::CommonArray | Parameter::CommonMap => {
                let common = common.as_ref()?;
                let fits = match self {
                    Parameter::CommonArray => matches!(common.kind, TypeKind::Array(_)),
                    _ => matches!(common.kind, TypeKind::Map(..)),
                };
                fits.then(|| common.with_nullable(given.nullable))
            }
            Parameter::OrderedArray => match &given.kind {
                TypeKind::Array(element) => {
                    keep(element.kind.has_order() && element.kind != TypeKind::Boolean)
                }
                _ => None,
            },
            Parameter::TextArray => match &given.kind {
                TypeKind::Array(element) => keep(element.kind.is_character()),
                _ => None,
            },
            Parameter::Element => element.and_then(|element| cast(element.kind.clone())),
        }
    }
}

// Results that many functions have.

fn returns_text(_: &[LogicalType]) -> TypeKind {
    TypeKind::string()
}

fn returns_boolean(_: &[LogicalType]) -> TypeKind {
    TypeKind::Boolean
}

fn returns_int(_: &[LogicalType]) -> TypeKind {
    TypeKind::Int
}

fn returns_bigint(_: &[LogicalType]) -> TypeKind {
    TypeKind::BigInt
}

fn returns_double(_: &[LogicalType]) -> TypeKind {
    TypeKind::Double
}

fn returns_first(types: &[LogicalType]) -> TypeKind {
    types.first().map_or(TypeKind::Null, |data_type| data_type.kind.clone())
}

const fn signature(parameters: &'static [Parameter], returns: fn(&[LogicalType]) -> TypeKind) -> Signature {
    Signature { parameters, optional: 0, repeats: false, returns }
}

const fn optional(
    parameters: &'static [Parameter],
    optional: usize,
    returns: fn(&[LogicalType]) -> TypeKind,
) -> Signature {
    Signature { parameters, optional, repeats: false, returns }
}

const fn repeated(parameters: &'static [Parameter], returns: fn(&[LogicalType]) -> TypeKind) -> Signature {
    Signature { parameters, optional: 0, repeats: true, returns }
}

/// What most entries have in common.
const PLAIN: Function = Function {
    name: "",
    aliases: &[],
    signatures: &[],
    nullability: Nullability::OfArguments,
    evaluate: no_evaluation,
    may_fail: false,
    reads_clock: false,
    is_random: false,
    doc: "",
    examples: &[],
};

/// Builds texts row by row where a row may fail the job: the first failure is the answer.
fn fallible_texts(
    rows: usize,
    mut write: impl FnMut(usize, &mut String) -> Result<bool, String>,
) -> Result<ArrayRef, String> {
    let mut failure = None;
    let array = crate::expression::value::texts_column(rows, |row, out| match write(row, out) {
        Ok(known) => known,
        Err(message) => {
            failure.get_or_insert(message);
            false
        }
    })?;
    failure.map_or(Ok(array), Err)
}

/// Texts longer than this are refused rather than built: REPEAT, REPLACE and others can ask for any length.
const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

fn check_length(bytes: usize) -> Result<(), String> {
    if bytes <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(format!("the text would be longer than {TEXT_BYTES_MAX} bytes"))
}

fn push_bounded(out: &mut String, text: &str) -> Result<(), String> {
    check_length(out.len() + text.len())?;
    out.push_str(text);
    Ok(())
}

fn no_evaluation(_: &Call<'_>) -> Result<ArrayRef, String> {
    Err("the function has no evaluation".into())
}
