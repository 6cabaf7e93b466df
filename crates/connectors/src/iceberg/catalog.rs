//! What says which metadata a table has now: a folder by their names (`hadoop`), or a server (`rest`).

use super::metadata::{Addition, Metadata, NewTable};
use crate::lake::storage::Stores;
use crate::service::Done;

/// A table as a catalog has it.
pub(super) struct Loaded {
    pub metadata: Metadata,
    /// Where they lie.
    pub place: String,
    /// Of a folder: their number.
    pub version: i64,
}

/// What became of a commit.
pub(super) enum Committed {
    Done(Loaded),
    /// Another came first: the table is to be read anew.
    Conflict,
}

pub(super) trait Catalog: Send {
    /// The table's name, for messages.
    fn place(&self) -> String;

    /// None where there is no table.
    fn load(&mut self, stores: &mut Stores) -> Done<Option<Loaded>>;

    /// Makes the table, unless another has made it.
    fn create(&mut self, stores: &mut Stores, table: &NewTable) -> Done<()>;

    /// For how many ms more a server wants to be left alone, as it has said.
    fn pause_ms(&self) -> Option<u64> {
        None
    }

    /// Somebody goes on with the table as it was read: what a life before has left half done is done.
    fn opened(&mut self, _stores: &mut Stores, _loaded: &Loaded) {}

    /// Makes a snapshot the last of the main branch, if that is still the one before it.
    fn commit(&mut self, stores: &mut Stores, loaded: &Loaded, addition: &Addition) -> Done<Committed>;
}
