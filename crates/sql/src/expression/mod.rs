//! Typed scalar expressions: the tree that the binder builds, the planner rewrites and the engine evaluates.
//!
//! Columns are numbers of the input's columns; `shift` and `remap` move a tree to another input. `compile` closes
//! a tree into a `dataflow` expression. One tree for all three steps keeps them from disagreeing.

pub mod arithmetic;
pub mod calendar;
pub mod cast;
pub mod compare;
mod conditional;
mod describe;
pub mod draw;
pub(crate) mod equality;
mod evaluate;
pub mod like;
mod nested;
pub mod value;

use crate::functions::Function;
use crate::types::{LogicalType, TypeKind};
use arithmetic::Operation;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::DataType;
use base::Zone;
use cast::CastMode;
use compare::Comparison;
use dataflow::expression::{EvaluationContext, EvaluationError, Expression};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An expression with its type.
#[derive(Debug, Clone)]
pub struct Scalar {
    pub kind: ScalarKind,
    pub data_type: LogicalType,
}

#[derive(Debug, Clone)]
pub enum ScalarKind {
    Column {
        index: usize,
        name: String,
    },
    /// One value in an array, and how it is written.
    Literal {
        value: ArrayRef,
        text: String,
    },
    /// Of a list of values, the one at the place (from 0) that the expression says; `text` is the list as written.
    Listed {
        place: Box<Scalar>,
        values: ArrayRef,
        text: String,
    },
    /// Operands of one type, but for decimals.
    Arithmetic {
        operation: Operation,
        left: Box<Scalar>,
        right: Box<Scalar>,
    },
    Negate(Box<Scalar>),
    /// A date or timestamp plus or minus an interval.
    AddInterval {
        operand: Box<Scalar>,
        interval: Box<Scalar>,
        subtract: bool,
    },
    /// Operands of one type.
    Compare {
        comparison: Comparison,
        left: Box<Scalar>,
        right: Box<Scalar>,
    },
    And(Vec<Scalar>),
    Or(Vec<Scalar>),
    Not(Box<Scalar>),
    IsNull {
        operand: Box<Scalar>,
        negated: bool,
    },
    IsTruth {
        operand: Box<Scalar>,
        truth: bool,
        negated: bool,
    },
    Distinct {
        left: Box<Scalar>,
        right: Box<Scalar>,
        negated: bool,
    },
    /// All results of one type; no ELSE is a NULL literal.
    Case {
        branches: Vec<(Scalar, Scalar)>,
        otherwise: Box<Scalar>,
    },
    Coalesce(Vec<Scalar>),
    InList {
        operand: Box<Scalar>,
        list: Vec<Scalar>,
        negated: bool,
    },
    Like {
        operand: Box<Scalar>,
        pattern: Box<Scalar>,
        escape: Option<char>,
        similar: bool,
        negated: bool,
    },
    Cast {
        operand: Box<Scalar>,
        mode: CastMode,
    },
    Call {
        function: &'static Function,
        arguments: Vec<Scalar>,
        zone: Zone,
    },
    Field {
        base: Box<Scalar>,
        index: usize,
        name: String,
    },
    /// `array[n]` counts from 1; `map[key]`.
    Element {
        base: Box<Scalar>,
        index: Box<Scalar>,
    },
    Row(Vec<Scalar>),
    Array(Vec<Scalar>),
    Map(Vec<(Scalar, Scalar)>),
    /// The watermark before the row, as the type of the row-time column.
    CurrentWatermark(Box<Scalar>),
}

impl Scalar {
    pub fn column(index: usize, name: impl Into<String>, data_type: LogicalType) -> Scalar {
        Scalar { kind: ScalarKind::Column { index, name: name.into() }, data_type }
    }

    pub fn literal(value: ArrayRef, text: impl Into<String>, data_type: LogicalType) -> Scalar {
        Scalar { kind: ScalarKind::Literal { value, text: text.into() }, data_type }
    }

    pub fn null(data_type: &LogicalType) -> Scalar {
        let data_type = data_type.as_nullable();
        let value = arrow_array::new_null_array(&data_type.to_arrow(), 1);
        Scalar::literal(value, "NULL", data_type)
    }

    pub fn boolean(truth: bool) -> Scalar {
        let text = if truth { "TRUE" } else { "FALSE" };
        Scalar::literal(Arc::new(BooleanArray::from(vec![truth])), text, TypeKind::Boolean.not_null())
    }

    pub fn big_integer(number: i64) -> Scalar {
        let value = Arc::new(arrow_array::Int64Array::from(vec![number]));
        Scalar::literal(value, number.to_string(), TypeKind::BigInt.not_null())
    }

    /// Joins conditions; no conditions are no condition.
    pub fn all_of(mut conditions: Vec<Scalar>) -> Option<Scalar> {
        if conditions.len() < 2 {
            return conditions.pop();
        }
        let nullable = conditions.iter().any(|condition| condition.data_type.nullable);
        Some(Scalar {
            kind: ScalarKind::And(conditions),
            data_type: TypeKind::Boolean.with_nullable(nullable),
        })
    }

    /// The parts of a conjunction.
    pub fn into_conjuncts(self) -> Vec<Scalar> {
        match self.kind {
            ScalarKind::And(parts) => parts.into_iter().flat_map(Scalar::into_conjuncts).collect(),
            _ => vec![self],
        }
    }

    /// The column's number, where the expression is a column and nothing else.
    pub fn as_column(&self) -> Option<usize> {
        match self.kind {
            ScalarKind::Column { index, .. } => Some(index),
            _ => None,
        }
    }

    pub fn as_literal(&self) -> Option<&ArrayRef> {
        match &self.kind {
            ScalarKind::Literal { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The number of an integer literal, also behind a cast.
    pub fn integer(&self) -> Option<i64> {
        use arrow_array::cast::AsArray;
        use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type};
        if let ScalarKind::Cast { operand, .. } = &self.kind {
            return operand.integer();
        }
        let value = self.as_literal()?;
        if arrow_array::Array::is_null(value, 0) {
            return None;
        }
        Some(match arrow_array::Array::data_type(value) {
            arrow_schema::DataType::Int8 => value.as_primitive::<Int8Type>().value(0).into(),
            arrow_schema::DataType::Int16 => value.as_primitive::<Int16Type>().value(0).into(),
            arrow_schema::DataType::Int32 => value.as_primitive::<Int32Type>().value(0).into(),
            arrow_schema::DataType::Int64 => value.as_primitive::<Int64Type>().value(0),
            _ => return None,
        })
    }

    /// The text of a character literal.
    pub fn as_text(&self) -> Option<&str> {
        use arrow_array::cast::AsArray;
        let value = self.as_literal()?;
        let array = value.as_string_opt::<i32>()?;
        (!arrow_array::Array::is_null(array, 0)).then(|| array.value(0))
    }

    /// Direct parts of the expression.
    pub fn children(&self) -> Vec<&Scalar> {
        use ScalarKind::*;
        match &self.kind {
            Column { .. } | Literal { .. } => Vec::new(),
            Arithmetic { left, right, .. } | Compare { left, right, .. } | Distinct { left, right, .. } => {
                vec![left.as_ref(), right.as_ref()]
            }
            Negate(operand) | Not(operand) | CurrentWatermark(operand) | Listed { place: operand, .. } => {
                vec![operand.as_ref()]
            }
            AddInterval { operand, interval, .. } => vec![operand.as_ref(), interval.as_ref()],
            And(parts) | Or(parts) | Coalesce(parts) | Row(parts) | Array(parts) => parts.iter().collect(),
            IsNull { operand, .. } | IsTruth { operand, .. } | Cast { operand, .. } => vec![operand.as_ref()],
            Case { branches, otherwise } => {
                branches.iter().flat_map(|(when, then)| [when, then]).chain([otherwise.as_ref()]).collect()
            }
            InList { operand, list, .. } => std::iter::once(operand.as_ref()).chain(list).collect(),
            Like { operand, pattern, .. } => vec![operand.as_ref(), pattern.as_ref()],
            Call { arguments, .. } => arguments.iter().collect(),
            Field { base, .. } => vec![base.as_ref()],
            Element { base, index } => vec![base.as_ref(), index.as_ref()],
            Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
        }
    }

    /// Direct parts of the expression, to be replaced.
    pub(crate) fn children_mut(&mut self) -> Vec<&mut Scalar> {
        use ScalarKind::*;
        match &mut self.kind {
            Column { .. } | Literal { .. } => Vec::new(),
            Arithmetic { left, right, .. } | Compare { left, right, .. } | Distinct { left, right, .. } => {
                vec![left.as_mut(), right.as_mut()]
            }
            Negate(operand) | Not(operand) | CurrentWatermark(operand) | Listed { place: operand, .. } => {
                vec![operand.as_mut()]
            }
            AddInterval { operand, interval, .. } => vec![operand.as_mut(), interval.as_mut()],
            And(parts) | Or(parts) | Coalesce(parts) | Row(parts) | Array(parts) => {
                parts.iter_mut().collect()
            }
            IsNull { operand, .. } | IsTruth { operand, .. } | Cast { operand, .. } => vec![operand.as_mut()],
            Case { branches, otherwise } => branches
                .iter_mut()
                .flat_map(|(when, then)| [when, then])
                .chain([otherwise.as_mut()])
                .collect(),
            InList { operand, list, .. } => std::iter::once(operand.as_mut()).chain(list).collect(),
            Like { operand, pattern, .. } => vec![operand.as_mut(), pattern.as_mut()],
            Call { arguments, .. } => arguments.iter_mut().collect(),
            Field { base, .. } => vec![base.as_mut()],
            Element { base, index } => vec![base.as_mut(), index.as_mut()],
            Map(entries) => entries.iter_mut().flat_map(|(key, value)| [key, value]).collect(),
        }
    }

    /// Adds the numbers of the columns that the expression reads.
    pub fn collect_columns(&self, columns: &mut BTreeSet<usize>) {
        if let ScalarKind::Column { index, .. } = self.kind {
            columns.insert(index);
        }
        for child in self.children() {
            child.collect_columns(columns);
        }
    }

    pub fn columns(&self) -> BTreeSet<usize> {
        let mut columns = BTreeSet::new();
        self.collect_columns(&mut columns);
        columns
    }

    /// Replaces the columns for which there is something else.
    pub fn replace_leaves(&mut self, replace: &dyn Fn(&Scalar) -> Option<Scalar>) {
        if let Some(other) = replace(self) {
            *self = other;
            return;
        }
        for child in self.children_mut() {
            child.replace_leaves(replace);
        }
    }

    /// Replaces every column; the replacement has the column's type.
    pub fn replace_columns(&mut self, replace: &dyn Fn(usize) -> Scalar) {
        if let ScalarKind::Column { index, .. } = self.kind {
            *self = replace(index);
            return;
        }
        for child in self.children_mut() {
            child.replace_columns(replace);
        }
    }

    /// Renumbers the columns.
    pub fn remap(&mut self, number: &dyn Fn(usize) -> usize) {
        if let ScalarKind::Column { index, .. } = &mut self.kind {
            *index = number(*index);
            return;
        }
        for child in self.children_mut() {
            child.remap(number);
        }
    }

    /// The text with columns as numbers: equal for equal expressions over one input.
    pub fn identity(&self) -> String {
        let mut numbered = self.clone();
        numbered.rename_columns(&|index| format!("#{index}"));
        format!("{} {}", numbered.describe(), self.data_type)
    }

    /// Gives the columns the names that the text shows.
    pub fn rename_columns(&mut self, name_of: &dyn Fn(usize) -> String) {
        if let ScalarKind::Column { index, name } = &mut self.kind {
            *name = name_of(*index);
        }
        for child in self.children_mut() {
            child.rename_columns(name_of);
        }
    }

    fn is_nonzero_literal(&self) -> bool {
        use arrow_array::cast::AsArray;
        use arrow_array::types::Decimal128Type;
        let Some(array) = self.as_literal() else { return false };
        if arrow_array::Array::is_null(array, 0) {
            return false;
        }
        let value = value::Value::Constant(array.clone());
        match array.as_primitive_opt::<Decimal128Type>() {
            Some(decimal) => decimal.value(0) != 0,
            None => value.integers().is_ok_and(|numbers| numbers.get(0) != Some(0)),
        }
    }

    /// Whether some row can make the evaluation fail: then it is evaluated only where it is needed.
    pub fn may_fail(&self) -> bool {
        use ScalarKind::*;
        let itself = match &self.kind {
            Arithmetic { operation: Operation::Divide | Operation::Modulo, right, .. } => {
                !self.data_type.kind.is_approximate() && !right.is_nonzero_literal()
            }
            Cast { operand, mode } => {
                !mode.lenient
                    && operand.data_type.kind.is_character()
                    && !self.data_type.kind.is_character()
                    && !self.data_type.kind.is_binary()
            }
            Like { pattern, .. } => pattern.as_literal().is_none(),
            Call { function, .. } => function.may_fail,
            Map(_) | AddInterval { .. } => true,
            _ => false,
        };
        itself || self.children().into_iter().any(Scalar::may_fail)
    }

    /// Whether it is `PROCTIME()`, as it stands.
    pub fn is_processing_time(&self) -> bool {
        matches!(&self.kind, ScalarKind::Call { function, .. } if function.name == crate::functions::PROCTIME)
    }

    /// Whether the value is the same for the same row: not of CURRENT_WATERMARK and the clock.
    pub fn is_deterministic(&self) -> bool {
        let itself = match &self.kind {
            ScalarKind::CurrentWatermark(_) => false,
            ScalarKind::Call { function, .. } => !function.reads_clock && !function.is_random,
            _ => true,
        };
        itself && self.children().into_iter().all(Scalar::is_deterministic)
    }

    /// Whether each evaluation of a row may give another value, so that it must happen once.
    pub fn is_random(&self) -> bool {
        matches!(&self.kind, ScalarKind::Call { function, .. } if function.is_random)
            || self.children().into_iter().any(Scalar::is_random)
    }

    /// The zones other than UTC in which functions and casts look at clocks, in order.
    fn zones(&self) -> Vec<Zone> {
        let own = match &self.kind {
            ScalarKind::Call { zone, .. } | ScalarKind::Cast { mode: CastMode { zone, .. }, .. }
                if !zone.is_utc() =>
            {
                vec![*zone]
            }
            _ => Vec::new(),
        };
        own.into_iter().chain(self.children().into_iter().flat_map(Scalar::zones)).collect()
    }

    /// Closes the tree into an expression of the engine.
    pub fn compile(self) -> Arc<dyn Expression> {
        let text = self.describe();
        let data_type = self.data_type.to_arrow();
        let is_random = self.is_random();
        Arc::new(Compiled { root: self, data_type, text, is_random })
    }
}

/// A tree as the engine holds it.
#[derive(Debug)]
struct Compiled {
    root: Scalar,
    data_type: DataType,
    text: String,
    is_random: bool,
}

impl Expression for Compiled {
    fn evaluate(
        &self,
        rows: &RecordBatch,
        context: &EvaluationContext<'_>,
    ) -> Result<ArrayRef, EvaluationError> {
        let failure = |message: String| EvaluationError { message, expression: self.text.clone() };
        let input = evaluate::Input::new(rows, context, self.is_random);
        let array = self.root.evaluate(&input)?.into_column(rows.num_rows()).map_err(failure)?;
        if array.data_type() == &self.data_type {
            return Ok(array);
        }
        Err(failure(format!("the value is {} where {} was planned", array.data_type(), self.data_type)))
    }

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn describe(&self) -> String {
        self.text.clone()
    }

    fn describe_over(&self, name: &dyn Fn(usize) -> String) -> String {
        let mut renamed = self.root.clone();
        renamed.rename_columns(name);
        let zones = self.root.zones();
        let zones: Vec<String> = zones.iter().map(|zone| format!(" in {zone}")).collect();
        format!("{} {}{}", renamed.describe(), self.root.data_type, zones.concat())
    }

    fn column(&self) -> Option<usize> {
        self.root.as_column()
    }

    fn is_deterministic(&self) -> bool {
        self.root.is_deterministic()
    }
}
