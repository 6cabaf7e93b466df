//! The numbers of a value's occurrences as bytes of its entry.
//!
//! By far most are 0 or 1. With one part a 1 takes no bytes, any other number eight. With several parts there is a bit for
//! each; if one of the numbers is another than 0 and 1, the bits say which are not 0, and those follow, eight bytes each.

use state::StateError;

const COUNT_BYTES: usize = size_of::<i64>();

/// What an entry holds for these numbers, one for each part.
pub(crate) fn written(counts: &[i64]) -> Vec<u8> {
    match counts {
        [1] => return Vec::new(),
        [count] => return count.to_le_bytes().to_vec(),
        _ => {}
    }
    let mut bytes = vec![0; counts.len().div_ceil(8)];
    for (part, _) in counts.iter().enumerate().filter(|(_, count)| **count != 0) {
        bytes[part / 8] |= 1 << (part % 8);
    }
    if counts.iter().any(|count| !matches!(count, 0 | 1)) {
        let counts = counts.iter().filter(|count| **count != 0);
        bytes.extend(counts.flat_map(|count| count.to_le_bytes()));
    }
    bytes
}

/// Appends the numbers, one for each part.
pub(crate) fn read(stored: &[u8], parts: usize, counts: &mut Vec<i64>) -> Result<(), StateError> {
    let damaged = || StateError::damaged("a number of occurrences has the wrong length");
    let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).map_err(|_| damaged());
    if parts == 1 {
        counts.push(if stored.is_empty() { 1 } else { number(stored)? });
        return Ok(());
    }
    let (bits, numbers) = stored.split_at_checked(parts.div_ceil(8)).ok_or_else(damaged)?;
    let mut following = numbers.chunks(COUNT_BYTES);
    for part in 0..parts {
        let count = match (bits[part / 8] & (1 << (part % 8)) != 0, numbers.is_empty()) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => number(following.next().ok_or_else(damaged)?)?,
        };
        counts.push(count);
    }
    if following.next().is_some() { Err(damaged()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{read, written};

    fn back(bytes: &[u8], parts: usize) -> Option<Vec<i64>> {
        let mut counts = Vec::new();
        read(bytes, parts, &mut counts).ok().map(|()| counts)
    }

    /// All rows of so many numbers.
    fn rows(parts: usize) -> Vec<Vec<i64>> {
        let grown = |row: Vec<i64>| [0, 1, -2, i64::MAX].map(|count| [&row[..], &[count]].concat());
        (0..parts).fold(vec![Vec::new()], |rows, _| rows.into_iter().flat_map(grown).collect())
    }

    #[test]
    fn counts_come_back_and_damaged_ones_are_refused() {
        for counts in (1..=5).flat_map(rows).chain([vec![1; 9], [vec![0; 17], vec![5]].concat()]) {
            let (bytes, parts) = (written(&counts), counts.len());
            assert_eq!(back(&bytes, parts).as_ref(), Some(&counts));
            assert_eq!(back(&[&bytes[..], &[7]].concat(), parts), None, "{counts:?}");
            if bytes.len() > parts.div_ceil(8) {
                assert_eq!(back(&bytes[..bytes.len() - 1], parts), None, "{counts:?}");
            }
        }
        assert_eq!(back(&[], 2), None);
    }

    #[test]
    fn most_entries_are_short() {
        assert_eq!(written(&[1]).len(), 0);
        assert_eq!(written(&[2]).len(), 8);
        assert_eq!(written(&[1, 0, 0, 1]), [0b1001]);
        assert_eq!(written(&[0, 3, 0, 1]).len(), 17);
        assert_eq!(written(&[1; 9]).len(), 2);
    }
}
