//! The data directory as a whole: its format version, and files that fit the disk.

use crate::error::Damage;
use crate::format::FORMAT_VERSION;
use crate::{LogError, LogOptions, index};
use os::Disk;
use std::path::Path;
use std::sync::Arc;

fn formatted_name(directory: &Path) -> std::path::PathBuf {
    directory.join("format")
}

/// Log files are not made smaller than this to fit a small disk.
const FILE_BYTES_MIN: u64 = 1 << 20;

/// Smaller files on a small disk: retention gives space back by whole files, of which at least three are in use.
pub(crate) fn fit_to_disk(disk: &Arc<dyn Disk>, mut options: LogOptions) -> Result<LogOptions, LogError> {
    let directory = &options.directory;
    let free = disk.free_bytes(directory).map_err(|error| LogError::io("measure", directory, error))?;
    let fitting = (free / 16).max(FILE_BYTES_MIN);
    options.file_bytes = options.file_bytes.min(fitting);
    options.first_file_bytes = options.first_file_bytes.min(fitting);
    Ok(options)
}

/// The version of a directory with segments. Log files are the same in both; but who knows of no segments must not open
/// it, since to him their records are lost.
pub(crate) const WITH_SEGMENTS: u32 = 2;

/// Writes the version of the data directory.
pub(crate) fn write_format(disk: &Arc<dyn Disk>, directory: &Path, version: u32) -> Result<(), LogError> {
    let path = formatted_name(directory);
    let temporary = directory.join("format-new");
    let written = index::remove_if_there(disk, &temporary)
        .and_then(|()| disk.create(&temporary, 0))
        .and_then(|handle| {
            handle.write_all_at(format!("eventwright log format {version}\n").as_bytes(), 0)?;
            handle.sync_data()
        })
        .and_then(|()| disk.rename(&temporary, &path))
        .and_then(|()| disk.sync_directory(directory));
    written.map_err(|error| LogError::io("write", &path, error))
}

/// The version of the data directory, written first of all; a newer one is refused.
pub(crate) fn check_format(disk: &Arc<dyn Disk>, directory: &Path) -> Result<u32, LogError> {
    let path = formatted_name(directory);
    let exists = disk.exists(&path).map_err(|error| LogError::io("look for", &path, error))?;
    if !exists {
        write_format(disk, directory, FORMAT_VERSION)?;
        return Ok(FORMAT_VERSION);
    }
    let read = disk.open(&path).and_then(|handle| {
        let mut text = vec![0; handle.length()?.min(64) as usize];
        handle.read_exact_at(&mut text, 0)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    });
    let text = read.map_err(|error| LogError::io("read", &path, error))?;
    let version = text.strip_prefix("eventwright log format ").and_then(|rest| rest.trim().parse().ok());
    match version {
        Some(found @ FORMAT_VERSION..=WITH_SEGMENTS) => Ok(found),
        Some(found) if found > WITH_SEGMENTS => Err(LogError::NewerFormat {
            directory: directory.display().to_string(),
            found,
            known: WITH_SEGMENTS,
        }),
        _ => Err(LogError::Corrupt(Damage {
            file: "format".into(),
            position: 0,
            partition: None,
            offsets: None,
            reason: format!(
                "the file must read 'eventwright log format {FORMAT_VERSION}'; if the log files are of this \
                 version, write that into it"
            ),
        })),
    }
}
