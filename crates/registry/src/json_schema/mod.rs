//! JSON Schema: read into the kinds that are compared, and compared by the rules that Confluent documents.
//!
//! Keywords of drafts 4 to 2020-12 that say what a document may hold are understood; others (`format`, `title`) do not
//! take part in comparisons, as there.

mod compare;
mod schema;

pub(crate) use compare::differences;
pub(crate) use schema::JsonSchema;
