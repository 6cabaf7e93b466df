//! Topics and views as tables of DataFusion.

mod committed;
mod places;
mod ranges;
mod relations;
pub mod topic;
pub mod view;

pub(crate) use places::{NodePlaces, Places, THREADS_MAX};
pub use relations::{Relation, RelationKind, Relations};
