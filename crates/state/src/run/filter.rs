//! A split-block Bloom filter over hashes: one cache line per look, about ten bits per hash.

use crate::error::StateError;

/// A block is eight words of 32 bits; a hash sets one bit in each.
const WORDS: usize = 8;
const BLOCK_BYTES: usize = WORDS * 4;
const BITS_PER_HASH: usize = 10;

/// Odd multipliers that spread the lower half of a hash, one per word.
const SALTS: [u32; WORDS] =
    [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1, 0xd3a2_646d, 0xfd70_46c5, 0xb55a_4f09];

#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u32; WORDS]>,
}

impl Filter {
    pub(super) fn new(hashes: &[u64]) -> Filter {
        let count = (hashes.len() * BITS_PER_HASH).div_ceil(BLOCK_BYTES * 8).max(1);
        let mut filter = Filter { blocks: vec![[0; WORDS]; count] };
        for hash in hashes {
            let place = filter.place(*hash);
            for (word, bit) in filter.blocks[place].iter_mut().zip(bits(*hash)) {
                *word |= bit;
            }
        }
        filter
    }

    fn place(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.blocks.len() as u128) >> 64) as usize
    }

    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        self.blocks[self.place(hash)].iter().zip(bits(hash)).all(|(word, bit)| word & bit != 0)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.blocks.iter().flatten().flat_map(|word| word.to_le_bytes()));
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Filter, StateError> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(BLOCK_BYTES) {
            return Err(StateError::damaged("a filter has an impossible length"));
        }
        let block = |bytes: &[u8]| {
            let mut words = [0; WORDS];
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            words
        };
        Ok(Filter { blocks: bytes.chunks_exact(BLOCK_BYTES).map(block).collect() })
    }
}

fn bits(hash: u64) -> [u32; WORDS] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}
