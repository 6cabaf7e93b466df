//! Avro: schemas read, printed in one form, and compared.

mod compare;
mod schema;
mod text;

pub(crate) use compare::differences;
pub(crate) use schema::AvroSchema;
