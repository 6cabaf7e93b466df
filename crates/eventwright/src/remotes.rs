//! Where a node's log is shipped to, from the command line.

use crate::cli::{RemoteArguments, StoreArguments};
use anyhow::Context;
use base::units::{parse_bytes, parse_duration_ms};
use eventlog::EventLog;
use os::Os;
use remote::{Address, KeptDisk, Place, Settings, Shipping};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A store that is to be shipped to.
pub struct RemoteStore {
    pub place: Arc<dyn Place>,
    pub settings: Settings,
}

/// The store of an address.
pub fn place(os: &Os, address: &str, arguments: &StoreArguments) -> anyhow::Result<Arc<dyn Place>> {
    let mut options = BTreeMap::new();
    for option in &arguments.remote_options {
        // What was given is not shown: it may be a secret.
        let pair = option.split_once('=');
        let (key, value) = pair.context("a --remote-option has no '=': write KEY=VALUE")?;
        options.insert(key.trim().to_string(), value.trim().to_string());
    }
    Ok(Address::parse(address)?.place(os, &options)?)
}

pub fn duration(option: &str, text: &str) -> anyhow::Result<Duration> {
    let ms = parse_duration_ms(text);
    let ms =
        ms.with_context(|| format!("{option} '{text}' is no time: write a number with a unit, such as 30s"))?;
    Ok(Duration::from_millis(ms))
}

impl RemoteStore {
    /// None where nothing is to be shipped.
    pub fn of(os: &Os, arguments: &RemoteArguments) -> anyhow::Result<Option<RemoteStore>> {
        let Some(address) = &arguments.remote else { return Ok(None) };
        let behind = &arguments.remote_behind_max;
        let behind_bytes_max = parse_bytes(behind).with_context(|| {
            format!("--remote-behind-max '{behind}' is no size: write a number with a unit, such as 64gb")
        })?;
        let settings = Settings {
            history: duration("--remote-history", &arguments.remote_history)?,
            behind_bytes_max,
            ..Settings::default()
        };
        Ok(Some(RemoteStore { place: place(os, address, &arguments.store)?, settings }))
    }

    /// The disk of the node: it keeps what is not shipped.
    pub fn disk(&self, os: &Os, data: &Path) -> anyhow::Result<KeptDisk> {
        let disk = KeptDisk::new(os.disk.clone(), data);
        disk.with_context(|| format!("cannot look at {}", data.display()))
    }

    /// Makes the node the store's writer and begins to ship.
    pub fn begin(
        &self,
        os: &Os,
        (data, disk): (&Path, KeptDisk),
        log: &EventLog,
    ) -> anyhow::Result<Shipping> {
        let tell = Arc::new(|line: &str| eprintln!("{line}"));
        let shipping = remote::begin(os, (data, disk), log, &self.place, self.settings.clone(), tell)?;
        eprintln!("the log is shipped to {}, epoch={}", self.place.name(), shipping.epoch);
        Ok(shipping)
    }
}
