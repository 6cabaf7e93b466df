//! Topics and views as tables of DataFusion.

mod committed;
mod ranges;
mod relations;
pub mod topic;
pub mod view;

pub use relations::{Relation, RelationKind, Relations};
