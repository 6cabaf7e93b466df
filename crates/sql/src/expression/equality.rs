//! Whether two values are the same, at any depth: arrays element by element, rows field by field, maps and multisets
//! whatever the order of their entries. Inside of arrays and rows NULL is the same as NULL; a value of a map that is
//! NULL is the same as none, as in Flink. Floats compare as Java's `==`.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef};
use arrow_ord::ord::make_comparator;
use arrow_schema::{DataType, SortOptions};

/// Says whether the value in a slot of one column is that in a slot of another.
pub type Equality = Box<dyn Fn(usize, usize) -> bool>;

/// Over two columns of one type.
pub fn equality(left: &ArrayRef, right: &ArrayRef) -> Result<Equality, String> {
    let values: Equality = match (left.data_type(), right.data_type()) {
        (DataType::Null, _) | (_, DataType::Null) => Box::new(|_, _| false),
        (DataType::Float32, DataType::Float32) => {
            let (a, b) =
                (left.as_primitive::<Float32Type>().clone(), right.as_primitive::<Float32Type>().clone());
            Box::new(move |i, j| a.value(i) == b.value(j))
        }
        (DataType::Float64, DataType::Float64) => {
            let (a, b) =
                (left.as_primitive::<Float64Type>().clone(), right.as_primitive::<Float64Type>().clone());
            Box::new(move |i, j| a.value(i) == b.value(j))
        }
        (DataType::List(_), DataType::List(_)) => {
            let (a, b) = (left.as_list::<i32>().clone(), right.as_list::<i32>().clone());
            let items = equality(a.values(), b.values())?;
            Box::new(move |i, j| {
                let (x, y) = (range(a.value_offsets(), i), range(b.value_offsets(), j));
                x.len() == y.len() && x.zip(y).all(|(x, y)| items(x, y))
            })
        }
        (DataType::Struct(_), DataType::Struct(_)) => {
            let (a, b) = (left.as_struct(), right.as_struct());
            if a.num_columns() != b.num_columns() {
                return Err("rows of different widths".into());
            }
            let fields = a.columns().iter().zip(b.columns()).map(|(a, b)| equality(a, b));
            let fields = fields.collect::<Result<Vec<_>, _>>()?;
            Box::new(move |i, j| fields.iter().all(|field| field(i, j)))
        }
        (DataType::Map(..), DataType::Map(..)) => {
            let (a, b) = (left.as_map().clone(), right.as_map().clone());
            let keys = equality(a.keys(), b.keys())?;
            let values = equality(a.values(), b.values())?;
            Box::new(move |i, j| {
                let (x, y) = (range(a.value_offsets(), i), range(b.value_offsets(), j));
                let mut entries = x.clone();
                let has_value = |x: usize, y: usize| a.values().is_valid(x) && values(x, y);
                x.len() == y.len() && entries.all(|x| y.clone().any(|y| keys(x, y) && has_value(x, y)))
            })
        }
        _ => {
            let order = make_comparator(left.as_ref(), right.as_ref(), SortOptions::default());
            let order = order.map_err(|error| error.to_string())?;
            return Ok(Box::new(move |i, j| order(i, j).is_eq()));
        }
    };
    let (left, right) = (left.clone(), right.clone());
    Ok(Box::new(move |i, j| match (left.is_null(i), right.is_null(j)) {
        (false, false) => values(i, j),
        (a, b) => a && b,
    }))
}

/// The slots of the elements of one list.
pub(crate) fn range(offsets: &[i32], slot: usize) -> std::ops::Range<usize> {
    offsets[slot] as usize..offsets[slot + 1] as usize
}
