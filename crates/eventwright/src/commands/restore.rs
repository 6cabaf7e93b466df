//! `restore`: a data directory from the store that a node has shipped its log to. `takeover`: has a standby take over.

use crate::cli::{RestoreArguments, TakeoverArguments};
use crate::output::{parse_timestamp, thousands, timestamp};
use crate::remotes;
use anyhow::{Context, bail};
use os::Os;
use remote::TAKEOVER_FILE;

pub fn restore(arguments: &RestoreArguments) -> anyhow::Result<()> {
    let os = Os::real();
    let until_ms = arguments.until.as_ref().map(|text| {
        let time = text.parse().ok().or_else(|| parse_timestamp(text));
        time.with_context(|| {
            format!("--until '{text}' is no time: write 2026-11-30T09:00:00Z, or milliseconds since 1970")
        })
    });
    let place = remotes::place(&os, &arguments.from, &arguments.store)?;
    let copied = remote::restore(&os, &arguments.data, &place, until_ms.transpose()?)?;
    println!(
        "restored {} up to lsn={}, appended at {}: {} bytes of {} objects, last written by epoch={}",
        arguments.data.display(),
        copied.lsn,
        timestamp(copied.appended_ms),
        thousands(copied.bytes),
        thousands(copied.objects),
        copied.epoch
    );
    println!(
        "start it with: eventwright start --data {} --remote {}",
        arguments.data.display(),
        arguments.from
    );
    Ok(())
}

pub fn takeover(arguments: &TakeoverArguments) -> anyhow::Result<()> {
    let data = &arguments.data;
    if !data.join("remote.json").is_file() {
        bail!(
            "{} is no standby's: give the data directory of a node that was started with --standby",
            data.display()
        );
    }
    let file = data.join(TAKEOVER_FILE);
    std::fs::write(&file, b"").with_context(|| format!("cannot write {}", file.display()))?;
    println!("asked the standby of {} to take over; it says when it has", data.display());
    Ok(())
}
