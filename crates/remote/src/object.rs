//! An object of the log in the store: a line that says what it is, a header as JSON, and the bytes of a log file.
//!
//! The line and the header can be read by a person (`head -2`). Both are under a checksum, and so are the bytes behind them.

use crate::error::RemoteError;
use serde_json::{Value, json};

pub(crate) const LOG: &str = "log/";
const MAGIC: &str = "eventwright-remote 1";
/// The first line has this length, whatever it says.
const LINE_BYTES: usize = 64;
/// No log file is larger.
const FILE_BYTES_MAX: u64 = 1 << 40;
/// Of an object, with its header: one frame may make it larger than usual.
pub(crate) const OBJECT_BYTES_MAX: u64 = 2 << 30;
/// Headers of bases name every file; this is a million of them.
const HEADER_BYTES_MAX: usize = 256 << 20;

pub(crate) fn log_key(number: u64) -> String {
    format!("{LOG}{number:020}")
}

pub(crate) fn number_of(key: &str, prefix: &str) -> Option<u64> {
    let digits = key.strip_prefix(prefix)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    // There is always one behind it.
    digits.parse().ok().filter(|number| is_number && *number < u64::MAX)
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Keys that objects may name, and so have removed: those of files beside the log and of parts of log files, nothing else.
fn is_file_key(key: &str) -> bool {
    let is_side =
        |key: &str| key.split_once('/').is_some_and(|(writer, number)| is_hex(writer) && is_hex(number));
    let is_part = |key: &str| key.split('-').count() == 4 && key.split('-').all(is_hex);
    key.strip_prefix("side/").is_some_and(is_side) || key.strip_prefix("files/").is_some_and(is_part)
}

/// Paths below a data directory that objects may have written: segments, runs and snapshots, nothing else.
fn is_side_path(path: &str) -> bool {
    let is_segment = |name: &str| name.strip_suffix(".segment").is_some_and(is_hex);
    let is_name = |name: &str| !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    let is_of_job = |path: &str| {
        path.split_once('/').is_some_and(|(job, name)| {
            !job.is_empty()
                && is_name(job)
                && is_name(name)
                && (name.ends_with(".run") || name.ends_with(".snapshot"))
        })
    };
    path.strip_prefix("log/").is_some_and(is_segment) || path.strip_prefix("state/").is_some_and(is_of_job)
}

/// Whether bytes can be a part of a log file.
fn is_part(position: u64, bytes: u64) -> bool {
    position.checked_add(bytes).is_some_and(|end| end <= FILE_BYTES_MAX)
}

/// A file beside the log: a segment, a run or a snapshot of a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SideFile {
    /// Below the data directory, with `/`.
    pub path: String,
    pub key: String,
    pub bytes: u64,
    pub crc: u32,
}

/// A part of a log file, often all of it, that the store has in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub file: u64,
    pub generation: u64,
    pub position: u64,
    pub bytes: u64,
    pub crc: u32,
}

impl Stretch {
    /// The bytes are those of the log: whoever puts them under this key puts the same.
    pub(crate) fn key(&self) -> String {
        format!("files/{:016x}-{:016x}-{:x}-{:x}", self.file, self.generation, self.position, self.bytes)
    }
}

/// All that is needed to begin with this object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Base {
    /// Log files of which some is only there in objects, with the number of the first of these.
    pub in_objects: Vec<(u64, u64)>,
    pub stretches: Vec<Stretch>,
    pub side: Vec<SideFile>,
    /// What was put before and is needed no more by this base, nor by those after it.
    pub gone: Vec<String>,
    /// The objects with which epochs begin: they are never removed.
    pub epochs: Vec<u64>,
}

impl Base {
    /// The first object that is needed.
    pub(crate) fn from(&self, own: u64) -> u64 {
        self.in_objects.iter().map(|(_, number)| *number).min().unwrap_or(own).min(own)
    }
}

/// Bytes of a log file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub file: u64,
    pub generation: u64,
    pub position: u64,
    pub bytes: u64,
    pub crc: u32,
    /// Of the last frame.
    pub appended_ms: i64,
    pub added: Vec<SideFile>,
    pub base: Option<Base>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub epoch: u64,
    /// The data directory, and the process that wrote.
    pub node: String,
    pub writer: String,
    pub time_ms: i64,
    /// The log's last frame up to here.
    pub last_lsn: u64,
    /// None where an epoch begins.
    pub extent: Option<Extent>,
}

fn side_json(side: &SideFile) -> Value {
    json!({"path": side.path, "key": side.key, "bytes": side.bytes, "crc": side.crc})
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_string)
}

fn crc_of(value: &Value) -> Option<u32> {
    u32::try_from(number(value, "crc")?).ok()
}

fn each<T>(value: &Value, key: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.get(key)?.as_array()?.iter().map(read).collect()
}

fn side_of(value: &Value) -> Option<SideFile> {
    let side = SideFile {
        path: text(value, "path").filter(|path| is_side_path(path))?,
        key: text(value, "key").filter(|key| is_file_key(key))?,
        bytes: number(value, "bytes")?,
        crc: crc_of(value)?,
    };
    is_part(0, side.bytes).then_some(side)
}

fn stretch_of(value: &Value) -> Option<Stretch> {
    let stretch = Stretch {
        file: number(value, "file")?,
        generation: number(value, "generation")?,
        position: number(value, "position")?,
        bytes: number(value, "bytes")?,
        crc: crc_of(value)?,
    };
    is_part(stretch.position, stretch.bytes).then_some(stretch)
}

fn base_json(base: &Base) -> Value {
    let stretches = base.stretches.iter().map(|one| {
        json!({
            "file": one.file, "generation": one.generation, "position": one.position, "bytes": one.bytes, "crc": one.crc,
        })
    });
    json!({
        "in_objects": base.in_objects,
        "stretches": stretches.collect::<Vec<_>>(),
        "side": base.side.iter().map(side_json).collect::<Vec<_>>(),
        "gone": base.gone,
        "epochs": base.epochs,
    })
}

fn base_of(value: &Value) -> Option<Base> {
    let pair = |value: &Value| Some((value.get(0)?.as_u64()?, value.get(1)?.as_u64()?));
    Some(Base {
        in_objects: each(value, "in_objects", pair)?,
        stretches: each(value, "stretches", stretch_of)?,
        side: each(value, "side", side_of)?,
        gone: each(value, "gone", |key| key.as_str().filter(|key| is_file_key(key)).map(str::to_string))?,
        epochs: each(value, "epochs", Value::as_u64)?,
    })
}

impl Header {
    fn json(&self) -> Value {
        let mut value = json!({
            "epoch": self.epoch,
            "node": self.node,
            "writer": self.writer,
            "time_ms": self.time_ms,
            "last_lsn": self.last_lsn,
        });
        if let Some(extent) = &self.extent {
            value["log"] = json!({
                "file": extent.file,
                "generation": extent.generation,
                "position": extent.position,
                "bytes": extent.bytes,
                "crc": extent.crc,
                "appended_ms": extent.appended_ms,
                "added": extent.added.iter().map(side_json).collect::<Vec<_>>(),
            });
            if let Some(base) = &extent.base {
                value["log"]["base"] = base_json(base);
            }
        }
        value
    }

    fn of(value: &Value) -> Option<Header> {
        let extent = match value.get("log") {
            None => None,
            Some(log) => Some(Extent {
                file: number(log, "file")?,
                generation: number(log, "generation")?,
                position: number(log, "position")?,
                bytes: number(log, "bytes")?,
                crc: crc_of(log)?,
                appended_ms: log.get("appended_ms")?.as_i64()?,
                added: each(log, "added", side_of)?,
                base: log.get("base").map(|base| base_of(base).ok_or(())).transpose().ok()?,
            }),
        };
        if extent.as_ref().is_some_and(|extent| !is_part(extent.position, extent.bytes)) {
            return None;
        }
        Some(Header {
            // There is always one behind it.
            epoch: number(value, "epoch").filter(|epoch| *epoch < u64::MAX)?,
            node: text(value, "node")?,
            writer: text(value, "writer")?,
            time_ms: value.get("time_ms")?.as_i64()?,
            last_lsn: number(value, "last_lsn")?,
            extent,
        })
    }

    /// The object with these bytes of a log file.
    pub(crate) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let json = format!("{}\n", self.json());
        let line = format!("{MAGIC} {:010} {:08x}", json.len(), crc32c::crc32c(json.as_bytes()));
        let mut object = format!("{line:<width$}\n", width = LINE_BYTES - 1).into_bytes();
        object.extend_from_slice(json.as_bytes());
        object.extend_from_slice(payload);
        object
    }
}

/// How long the header is that begins so, with its line; none for what is no object of ours.
pub(crate) fn header_bytes(beginning: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(beginning.get(..LINE_BYTES)?).ok()?.trim_end();
    let (length, _) = line.strip_prefix(MAGIC)?.trim_start().split_once(' ')?;
    let length: usize = length.parse().ok()?;
    (length <= HEADER_BYTES_MAX).then_some(LINE_BYTES + length)
}

/// The header of an object of which at least that is given.
pub(crate) fn decode_header(key: &str, object: &[u8]) -> Result<Header, RemoteError> {
    let damaged = || RemoteError::corrupt(key, "its header is damaged, or something else has written it");
    let length = header_bytes(object).ok_or_else(damaged)?;
    let line = std::str::from_utf8(&object[..LINE_BYTES]).map_err(|_| damaged())?.trim_end();
    let crc = line.rsplit(' ').next().and_then(|crc| u32::from_str_radix(crc, 16).ok());
    let json = object.get(LINE_BYTES..length).ok_or_else(damaged)?;
    if crc != Some(crc32c::crc32c(json)) {
        return Err(damaged());
    }
    let value: Value = serde_json::from_slice(json).map_err(|_| damaged())?;
    Header::of(&value)
        .ok_or_else(|| RemoteError::corrupt(key, "its header says what this version does not know"))
}

/// A whole object: its header, and the bytes of a log file.
pub(crate) fn decode<'a>(key: &str, object: &'a [u8]) -> Result<(Header, &'a [u8]), RemoteError> {
    let header = decode_header(key, object)?;
    let payload = &object[header_bytes(object).unwrap_or(object.len())..];
    if let Some(extent) = &header.extent
        && (extent.bytes != payload.len() as u64 || extent.crc != crc32c::crc32c(payload))
    {
        return Err(RemoteError::corrupt(key, "its bytes do not fit their checksum"));
    }
    Ok((header, payload))
}
