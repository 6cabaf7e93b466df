//! The bytes that one write takes to a file: small ones are copied together, long ones stay where they came in.

use bytes::Bytes;
use std::io::IoSlice;

/// Shorter ones are copied: a piece of its own costs about as much.
pub(crate) const SHARED_BYTES_MIN: usize = 8 << 10;

#[derive(Default)]
pub(crate) struct GroupBytes {
    copied: Vec<u8>,
    /// Each with the number of copied bytes that come before it.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
}

/// An end that the bytes once had.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    copied: usize,
    shared: usize,
    shared_bytes: usize,
}

/// Where copied bytes lie that are known only later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(usize);

impl GroupBytes {
    /// No bytes, in the memory of a buffer.
    pub(crate) fn in_buffer(mut buffer: Vec<u8>) -> GroupBytes {
        buffer.clear();
        GroupBytes { copied: buffer, ..GroupBytes::default() }
    }

    pub(crate) fn of(bytes: Vec<u8>) -> GroupBytes {
        GroupBytes { copied: bytes, ..GroupBytes::default() }
    }

    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.copied
    }

    pub(crate) fn len(&self) -> usize {
        self.copied.len() + self.shared_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { copied: self.copied.len(), shared: self.shared.len(), shared_bytes: self.shared_bytes }
    }

    /// Forgets what was added since.
    pub(crate) fn truncate(&mut self, mark: Mark) {
        self.copied.truncate(mark.copied);
        self.shared.truncate(mark.shared);
        self.shared_bytes = mark.shared_bytes;
    }

    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Place {
        let place = Place(self.copied.len());
        self.copied.extend_from_slice(bytes);
        place
    }

    pub(crate) fn zeros(&mut self, length: usize) -> Place {
        let place = Place(self.copied.len());
        self.copied.resize(place.0 + length, 0);
        place
    }

    pub(crate) fn share(&mut self, bytes: Bytes) {
        self.shared_bytes += bytes.len();
        self.shared.push((self.copied.len(), bytes));
    }

    /// Writes over what was copied or left as zeros.
    pub(crate) fn patch(&mut self, place: Place, bytes: &[u8]) {
        self.copied[place.0..place.0 + bytes.len()].copy_from_slice(bytes);
    }

    /// The copied bytes from a place on.
    pub(crate) fn copied_from(&self, place: Place) -> &[u8] {
        &self.copied[place.0..]
    }

    /// All bytes in their order.
    pub(crate) fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(2 * self.shared.len() + 2);
        let mut copied = 0;
        for (before, bytes) in &self.shared {
            pieces.push(IoSlice::new(&self.copied[copied..*before]));
            pieces.push(IoSlice::new(bytes));
            copied = *before;
        }
        pieces.push(IoSlice::new(&self.copied[copied..]));
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(group: &GroupBytes) -> Vec<u8> {
        group.pieces().iter().flat_map(|piece| piece.to_vec()).collect()
    }

    #[test]
    fn copied_and_shared_bytes_keep_their_order() {
        let mut group = GroupBytes::of(b"ab".to_vec());
        let place = group.zeros(2);
        group.share(Bytes::from_static(b"CD"));
        group.share(Bytes::from_static(b"EF"));
        let end = group.mark();
        group.copy(b"gh");
        group.share(Bytes::from_static(b"IJ"));
        group.patch(place, b"yz");
        assert_eq!(joined(&group), b"abyzCDEFghIJ");
        assert_eq!(group.len(), 12);
        group.truncate(end);
        assert_eq!(joined(&group), b"abyzCDEF");
        assert_eq!(group.len(), 8);
        let group = GroupBytes::in_buffer(group.into_buffer());
        assert!(group.is_empty() && joined(&group).is_empty());
    }
}
