//! A byte string in two parts with eight flags, in 24 bytes.
//!
//! Most keys, sub keys and values are a number each. They lie in place: they are found without a second access to
//! memory, and without an allocation, which would take more bytes than they have.

use std::cell::Cell;

/// As many bytes as the way to them, their lengths and the flags leave room for.
pub(super) const IN_PLACE_MAX: usize = 20;

/// What an allocation takes beside its bytes: a header, and what it is rounded up by.
const ALLOCATION_BYTES: usize = 16;

#[derive(Debug)]
pub(super) struct Packed(Place);

/// Flags change in place, also in a tree: they have no part in any order.
#[derive(Debug)]
enum Place {
    Here { flags: Cell<u8>, first: u8, length: u8, bytes: [u8; IN_PLACE_MAX] },
    Apart { flags: Cell<u8>, first: u32, bytes: Box<[u8]> },
}

const _: () = assert!(size_of::<Packed>() == 24);

impl Packed {
    /// `first` is shorter than 4 GB; the second part is what `second` is when put together.
    pub(super) fn new(first: &[u8], second: &[&[u8]], flags: u8) -> Packed {
        let length = first.len() + second.iter().map(|part| part.len()).sum::<usize>();
        let flags = Cell::new(flags);
        if length > IN_PLACE_MAX {
            let mut bytes = Vec::with_capacity(length);
            bytes.extend_from_slice(first);
            second.iter().for_each(|part| bytes.extend_from_slice(part));
            return Packed(Place::Apart { flags, first: first.len() as u32, bytes: bytes.into() });
        }
        let mut bytes = [0; IN_PLACE_MAX];
        let mut at = 0;
        for part in std::iter::once(&first).chain(second) {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Packed(Place::Here { flags, first: first.len() as u8, length: length as u8, bytes })
    }

    pub(super) fn first(&self) -> &[u8] {
        match &self.0 {
            Place::Here { first, bytes, .. } => &bytes[..usize::from(*first)],
            Place::Apart { first, bytes, .. } => &bytes[..*first as usize],
        }
    }

    pub(super) fn second(&self) -> &[u8] {
        match &self.0 {
            Place::Here { first, length, bytes, .. } => &bytes[usize::from(*first)..usize::from(*length)],
            Place::Apart { first, bytes, .. } => &bytes[*first as usize..],
        }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags().get() & flag != 0
    }

    pub(super) fn set(&self, flag: u8, on: bool) {
        let flags = self.flags();
        flags.set(if on { flags.get() | flag } else { flags.get() & !flag });
    }

    fn flags(&self) -> &Cell<u8> {
        match &self.0 {
            Place::Here { flags, .. } | Place::Apart { flags, .. } => flags,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let apart = match &self.0 {
            Place::Here { .. } => 0,
            Place::Apart { bytes, .. } => bytes.len() + ALLOCATION_BYTES,
        };
        size_of::<Packed>() + apart
    }
}
