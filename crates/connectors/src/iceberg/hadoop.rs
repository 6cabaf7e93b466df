//! Tables as folders, as Iceberg's Hadoop catalog has them: metadata with numbers in their names, of which the highest counts.
//!
//! Metadata of the next number are put on the condition that there are none. A file with the last number is a hint: whoever reads
//! it goes on from there as long as there is a next one.

use super::catalog::{Catalog, Committed, Loaded};
use super::metadata::{Addition, DELETES_OLD, Metadata, NewTable};
use crate::lake::storage::{Stores, below};
use crate::service::{Done, ServiceError};

/// Some ten thousand snapshots.
const METADATA_BYTES_MAX: u64 = 64 << 20;
const HINT_BYTES_MAX: u64 = 1 << 10;
/// A hint is never so many numbers behind: each commit writes it.
const STEPS_MAX: i64 = 100_000;

pub(super) struct Hadoop {
    location: String,
    /// What the hint said when the table was read.
    hinted: Option<i64>,
}

impl Hadoop {
    pub(super) fn new(location: String) -> Hadoop {
        Hadoop { location, hinted: None }
    }

    fn folder(&self) -> String {
        below(&self.location, "metadata")
    }

    fn metadata(&self, version: i64) -> String {
        below(&self.folder(), &format!("v{version}.metadata.json"))
    }

    fn hint_place(&self) -> String {
        below(&self.folder(), "version-hint.text")
    }

    /// The highest number in the names, where there is no hint.
    fn listed(&self, stores: &mut Stores) -> Done<Option<i64>> {
        let names = stores.list(&self.folder(), "")?;
        let packed = |name: &&String| name.starts_with('v') && name.contains(".gz");
        if let Some(name) = names.iter().find(packed) {
            return Err(ServiceError::invalid(format!(
                "its metadata are packed ({name}), which is not read here: set 'write.metadata.compression-codec' to 'none'"
            )));
        }
        let number = |name: &String| name.strip_prefix('v')?.strip_suffix(".metadata.json")?.parse().ok();
        Ok(names.iter().filter_map(number).max())
    }

    fn hint(&self, stores: &mut Stores) -> Done<Option<i64>> {
        let bytes = stores.read(&self.hint_place(), HINT_BYTES_MAX)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| text.trim().parse().ok()).filter(|number| *number > 0))
    }

    fn read(&self, stores: &mut Stores, version: i64) -> Done<Option<Vec<u8>>> {
        stores.read(&self.metadata(version), METADATA_BYTES_MAX)
    }
}

impl Catalog for Hadoop {
    fn place(&self) -> String {
        self.location.clone()
    }

    fn load(&mut self, stores: &mut Stores) -> Done<Option<Loaded>> {
        self.hinted = self.hint(stores)?;
        let mut version = match self.hinted {
            Some(version) => version,
            None => match self.listed(stores)? {
                Some(version) => version,
                None => return Ok(None),
            },
        };
        let mut bytes = self.read(stores, version)?;
        if bytes.is_none() {
            // A hint that names nothing, or what was cleaned up meanwhile.
            version = match self.listed(stores)? {
                Some(version) => version,
                None => return Ok(None),
            };
            bytes = self.read(stores, version)?;
        }
        let mut steps = 0;
        while let Some(next) = self.read(stores, version + 1)? {
            (version, bytes, steps) = (version + 1, Some(next), steps + 1);
            if steps > STEPS_MAX {
                return Err(ServiceError::unavailable("others commit to it all the time"));
            }
        }
        let place = self.metadata(version);
        let bytes = bytes.ok_or_else(|| ServiceError::unavailable(format!("{place} is gone")))?;
        Ok(Some(Loaded { metadata: Metadata::parse(&bytes)?, place, version }))
    }

    fn create(&mut self, stores: &mut Stores, table: &NewTable) -> Done<()> {
        let mut random = [0; 16];
        stores.os().random.fill(&mut random);
        let now_ms = stores.os().clock.now_ms();
        let metadata = Metadata::new_table(table, &self.location, &crate::lake::uuid(random), now_ms);
        stores.put_new(&self.metadata(1), metadata.0.to_string().into_bytes())?;
        stores.put(&self.hint_place(), b"1".to_vec())
    }

    fn opened(&mut self, stores: &mut Stores, loaded: &Loaded) {
        // There are readers that do not look further than the hint.
        if self.hinted != Some(loaded.version) {
            let _ = stores.put(&self.hint_place(), loaded.version.to_string().into_bytes());
        }
    }

    fn commit(&mut self, stores: &mut Stores, loaded: &Loaded, addition: &Addition) -> Done<Committed> {
        let codec = loaded.metadata.property("write.metadata.compression-codec");
        if codec.is_some_and(|codec| codec != "none") {
            return Err(ServiceError::invalid(
                "its metadata are to be packed, which is not done here: set 'write.metadata.compression-codec' to 'none'",
            ));
        }
        let version = loaded.version + 1;
        let (metadata, gone) = loaded.metadata.with(addition, &loaded.place)?;
        let place = self.metadata(version);
        if !stores.put_new(&place, metadata.0.to_string().into_bytes())? {
            return Ok(Committed::Conflict);
        }
        // From here on it is committed; readers find it without a hint, too.
        let _ = stores.put(&self.hint_place(), version.to_string().into_bytes());
        if metadata.property(DELETES_OLD) == Some("true") {
            let folder = below(&self.folder(), "");
            // Whatever the metadata name: nothing but what lies with them.
            let is_own = |old: &&String| {
                let name = old.strip_prefix(&folder);
                name.is_some_and(|name| !name.contains('/') && name.ends_with(".metadata.json"))
            };
            for old in gone.iter().filter(is_own) {
                let _ = stores.delete(old);
            }
        }
        Ok(Committed::Done(Loaded { metadata, place, version }))
    }
}
