//! Files that describe messages: one of them, all of a folder, or a set of descriptors.
//!
//! A description is part of a table's declaration, so it is read whenever the table is checked.

use formats::SchemaFile;
use std::path::Path;

/// More files, or more bytes together, are no description of messages.
const FILES_MAX: usize = 10_000;
const BYTES_MAX: u64 = 64 << 20;
const DEPTH_MAX: usize = 32;

/// The files at a path; those beside a single `.proto` file are there for its imports.
pub(crate) fn read(path: &str) -> Result<Vec<SchemaFile>, String> {
    let place = Path::new(path);
    let facts = std::fs::metadata(place).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let here = std::env::current_dir().unwrap_or_default();
            format!("there is no file or folder '{path}' in {}", here.display())
        }
        _ => format!("cannot read '{path}': {error}"),
    })?;
    let mut files = Files { found: Vec::new(), bytes_left: BYTES_MAX };
    if facts.is_dir() {
        files.add_folder(place, "", true, 0)?;
        if files.found.is_empty() {
            return Err(format!("there is no .proto file in the folder '{path}'"));
        }
        return Ok(files.found);
    }
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !name.ends_with(".proto") {
        files.add(place, name, true)?;
        return Ok(files.found);
    }
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    files.add_folder(folder, "", false, 0)?;
    files.found.iter_mut().for_each(|file| file.is_root = file.path == name);
    Ok(files.found)
}

struct Files {
    found: Vec<SchemaFile>,
    bytes_left: u64,
}

impl Files {
    /// Adds the `.proto` files of a folder, in the order of their names.
    fn add_folder(&mut self, folder: &Path, prefix: &str, is_root: bool, depth: usize) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot read '{}': {error}", folder.display());
        if depth > DEPTH_MAX {
            return Err(format!("the folder '{}' is nested too deeply", folder.display()));
        }
        let mut entries = std::fs::read_dir(folder)
            .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
            .map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type().map_err(failed)?;
            let path = format!("{prefix}{name}");
            if kind.is_dir() && !name.starts_with('.') {
                self.add_folder(&entry.path(), &format!("{path}/"), is_root, depth + 1)?;
            } else if name.ends_with(".proto") && !kind.is_dir() {
                self.add(&entry.path(), path, is_root)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, place: &Path, path: String, is_root: bool) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot read '{}': {error}", place.display());
        let length = std::fs::metadata(place).map_err(failed)?.len();
        let left = self.bytes_left.checked_sub(length).filter(|_| self.found.len() < FILES_MAX);
        self.bytes_left = left.ok_or_else(|| {
            format!("'{}' and what lies beside it are too many files, or too large", place.display())
        })?;
        let bytes = std::fs::read(place).map_err(failed)?;
        self.found.push(SchemaFile { path, bytes, is_root });
        Ok(())
    }
}
