//! Who a data directory is to a store: the file `remote.json` in it.

use crate::error::RemoteError;
use os::Os;
use serde_json::{Value, json};
use std::path::Path;

const FILE: &str = "remote.json";
const FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Random; in every object that a node on this directory has put.
    pub node: String,
    /// The store, as it was named.
    pub store: String,
    /// The last object that the directory was made from. It has put none of its own yet.
    pub copied_to: Option<u64>,
    /// The last epoch that a node on this directory has put: the store has at least as much.
    pub claimed: Option<u64>,
    /// It follows another node, and may be made anew at any time.
    pub is_standby: bool,
}

pub(crate) fn random_name(os: &Os) -> String {
    format!("{:016x}{:016x}", os.random.next_u64(), os.random.next_u64())
}

impl Identity {
    pub(crate) fn new(os: &Os, store: &str, copied_to: Option<u64>) -> Identity {
        Identity {
            node: random_name(os),
            store: store.to_string(),
            copied_to,
            claimed: None,
            is_standby: false,
        }
    }

    /// None where the directory was never shipped nor copied.
    pub(crate) fn read(os: &Os, data: &Path) -> Result<Option<Identity>, RemoteError> {
        let path = data.join(FILE);
        let failed = |error: &std::io::Error| RemoteError::io("read", &path, error);
        if !os.disk.exists(&path).map_err(|error| failed(&error))? {
            return Ok(None);
        }
        let read = os.disk.open(&path).and_then(|file| {
            let mut bytes = vec![0; file.length()?.min(FILE_BYTES_MAX) as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        });
        let value: Value = serde_json::from_slice(&read.map_err(|error| failed(&error))?).unwrap_or_default();
        let text = |key: &str| value[key].as_str().map(str::to_string);
        let found = text("node").zip(text("store"));
        let (node, store) = found.ok_or_else(|| {
            RemoteError::Invalid(format!(
                "{} is damaged: restore from the store into an empty directory, or remove the file to ship this one to an empty \
                 prefix",
                path.display()
            ))
        })?;
        let is_standby = value["standby"] == true;
        let (copied_to, claimed) = (value["copied_to"].as_u64(), value["claimed"].as_u64());
        Ok(Some(Identity { node, store, copied_to, claimed, is_standby }))
    }

    /// Writes it so that it is there whole or not at all.
    pub(crate) fn write(&self, os: &Os, data: &Path) -> Result<(), RemoteError> {
        let path = data.join(FILE);
        let unfinished = data.join(format!("{FILE}.unfinished"));
        let Identity { node, store, copied_to, claimed, is_standby } = self;
        let value = json!({
            "node": node, "store": store, "copied_to": copied_to, "claimed": claimed, "standby": is_standby,
        });
        let disk = &os.disk;
        let written = (|| {
            disk.create_dir_all(data)?;
            if disk.exists(&unfinished)? {
                disk.remove(&unfinished)?;
            }
            let file = disk.create(&unfinished, 0)?;
            file.write_all_at(format!("{value}\n").as_bytes(), 0)?;
            file.sync_data()?;
            disk.rename(&unfinished, &path)?;
            disk.sync_directory(data)
        })();
        written.map_err(|error| RemoteError::io("write", &path, &error))
    }
}
