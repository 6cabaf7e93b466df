//! The terminal: keys from its bytes, its modes by `stty`.
//!
//! `stty` is on every system that has a shell; asking it needs neither code that is unsafe nor a library. Where it is not
//! there, lines are read as the terminal gives them.

use crate::editor::{Key, LINE_CHARACTERS_MAX};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

const COLUMNS: usize = 80;
/// Somebody who holds Ctrl-C down.
const TRIES_MAX: u32 = 100;
const PASTE_END: &[u8] = b"\x1b[201~";

fn stty(arguments: &[&str]) -> Option<String> {
    // Ctrl-C at the terminal ends it too, as it is of our group; what it is to do has to be done all the same.
    for _ in 0..TRIES_MAX {
        let mut command = Command::new("stty");
        let output = command.args(arguments).stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
        if output.status.signal().is_none() {
            let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
            return output.status.success().then_some(text);
        }
    }
    None
}

/// Gives single keys until it is dropped.
pub struct Keys {
    before: String,
    pub columns: usize,
}

impl Keys {
    /// None where the terminal cannot do it.
    pub fn begin() -> Option<Keys> {
        if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
            return None;
        }
        let before = stty(&["-g"])?;
        let size = stty(&["size"]).unwrap_or_default();
        let columns = size.split(' ').nth(1).and_then(|columns| columns.parse().ok());
        let raw = ["-icanon", "-echo", "-isig", "-ixon", "-icrnl", "-iexten", "min", "1", "time", "0"];
        stty(&raw)?;
        let keys = Keys { before, columns: columns.filter(|columns| *columns > 0).unwrap_or(COLUMNS) };
        // Pasted text comes between marks.
        print!("\x1b[?2004h");
        Some(keys)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        print!("\x1b[?2004l");
        let _ = io::stdout().flush();
        stty(&[&self.before]);
    }
}

/// The next key; none at the end of what is typed.
pub fn next_key(bytes: &mut impl Read) -> io::Result<Option<Key>> {
    let Some(byte) = next(bytes)? else { return Ok(None) };
    Ok(Some(match byte {
        1 => Key::Home,
        2 => Key::Left,
        3 => Key::Interrupt,
        4 => Key::EndOfFile,
        5 => Key::End,
        6 => Key::Right,
        8 | 127 => Key::Backspace,
        9 => Key::Tab,
        10 | 13 => Key::Enter,
        11 => Key::KillToEnd,
        12 => Key::Clear,
        14 => Key::Down,
        16 => Key::Up,
        18 => Key::Search,
        21 => Key::KillToStart,
        23 => Key::KillWord,
        25 => Key::Yank,
        27 => return escape(bytes),
        0..=31 => Key::Other,
        first => character(first, bytes)?.map_or(Key::Other, Key::Char),
    }))
}

fn next(bytes: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match bytes.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A character of UTF-8; none of what is no UTF-8.
fn character(first: u8, bytes: &mut impl Read) -> io::Result<Option<char>> {
    let more = match first {
        0..=0x7f => 0,
        0xc2..=0xdf => 1,
        0xe0..=0xef => 2,
        0xf0..=0xf4 => 3,
        _ => return Ok(None),
    };
    let mut all = vec![first];
    for _ in 0..more {
        all.extend(next(bytes)?);
    }
    Ok(std::str::from_utf8(&all).ok().and_then(|text| text.chars().next()))
}

fn escape(bytes: &mut impl Read) -> io::Result<Option<Key>> {
    let Some(kind) = next(bytes)? else { return Ok(None) };
    match kind {
        b'b' => return Ok(Some(Key::WordLeft)),
        b'f' => return Ok(Some(Key::WordRight)),
        127 => return Ok(Some(Key::KillWord)),
        b'[' | b'O' => {}
        _ => return Ok(Some(Key::Other)),
    }
    // Numbers, then what it is.
    let mut numbers = Vec::new();
    let last = loop {
        match next(bytes)? {
            None => return Ok(None),
            Some(byte @ (b'0'..=b'9' | b';')) if numbers.len() < 16 => numbers.push(byte),
            Some(last) => break last,
        }
    };
    let is_by_word = numbers.ends_with(b";5") || numbers.ends_with(b";3");
    Ok(Some(match (last, numbers.as_slice()) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) if is_by_word => Key::WordRight,
        (b'D', _) if is_by_word => Key::WordLeft,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"3") => Key::Delete,
        (b'~', b"200") => return pasted(bytes),
        _ => Key::Other,
    }))
}

fn pasted(bytes: &mut impl Read) -> io::Result<Option<Key>> {
    let mut text = Vec::new();
    while let Some(byte) = next(bytes)? {
        text.push(byte);
        if text.ends_with(PASTE_END) {
            text.truncate(text.len() - PASTE_END.len());
            break;
        }
        // The rest of a paste that is too long is not kept, but its end is still looked for.
        if text.len() > 4 * LINE_CHARACTERS_MAX {
            text.drain(..text.len() - PASTE_END.len());
        }
    }
    Ok(Some(Key::Paste(String::from_utf8_lossy(&text).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_their_bytes() {
        let mut bytes: &[u8] = b"a\xc3\xbc\xff\x1b[A\x1bOF\x1b[1;5D\x1b[3~\x1bb\x1b[200~x\ny\x1b[201~\r\x04\x1b[99999999999999999999z\x1b";
        let mut keys = Vec::new();
        while let Some(key) = next_key(&mut bytes).unwrap() {
            keys.push(key);
        }
        let wanted = [
            Key::Char('a'),
            Key::Char('ü'),
            Key::Other,
            Key::Up,
            Key::End,
            Key::WordLeft,
            Key::Delete,
            Key::WordLeft,
            Key::Paste("x\ny".into()),
            Key::Enter,
            Key::EndOfFile,
            Key::Other,
        ];
        assert_eq!(keys[..wanted.len()], wanted);
    }
}
