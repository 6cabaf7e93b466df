//! A bloom filter over hashes, split into blocks of half a cache line.
//!
//! The upper half of a hash names a block of 256 bits, the lower half one bit in each of the block's
//! eight lanes. A question touches one cache line; at ten bits for a hash about one in a hundred
//! absent ones is taken for present.

/// Bits for each hash.
const HASH_BITS: u64 = 10;

const LANES: usize = 8;

pub(super) const BLOCK_BYTES: usize = LANES * 4;

const BLOCK_BITS: u64 = BLOCK_BYTES as u64 * 8;

/// Odd multipliers, one for each lane; they are part of the format.
const MULTIPLIERS: [u32; LANES] =
    [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1, 0xd6e8_feb9, 0xa3b1_9537, 0x6c8e_9cf5];

#[derive(Debug, Default)]
pub(super) struct Filter {
    blocks: Vec<[u32; LANES]>,
}

impl Filter {
    /// An empty filter for so many hashes.
    pub(super) fn for_hashes(hashes: u64) -> Filter {
        // The upper half of a hash cannot name more blocks than this.
        let blocks = hashes.saturating_mul(HASH_BITS).div_ceil(BLOCK_BITS).min(u64::from(u32::MAX));
        Filter { blocks: vec![[0; LANES]; blocks as usize] }
    }

    /// For how many hashes a filter of this size is made at most.
    pub(super) fn hashes_max(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK_BITS / HASH_BITS
    }

    #[inline]
    fn block_of(&self, hash: u64) -> usize {
        (((hash >> 32) * self.blocks.len() as u64) >> 32) as usize
    }

    /// The bit of a hash in a lane.
    #[inline]
    fn bit(hash: u64, lane: usize) -> u32 {
        1 << ((hash as u32).wrapping_mul(MULTIPLIERS[lane]) >> 27)
    }

    /// Adds a hash; the filter was made for one at least.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64) {
        let block = self.block_of(hash);
        let block = &mut self.blocks[block];
        for (lane, bits) in block.iter_mut().enumerate() {
            *bits |= Filter::bit(hash, lane);
        }
    }

    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let Some(block) = self.blocks.get(self.block_of(hash)) else { return false };
        let mut missing = 0;
        for (lane, bits) in block.iter().enumerate() {
            missing |= Filter::bit(hash, lane) & !bits;
        }
        missing == 0
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.capacity() * BLOCK_BYTES
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.blocks.len() * BLOCK_BYTES) as u64
    }

    /// Gives the bytes of the filter in parts of a bounded size.
    pub(super) fn encode<E>(&self, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut part = Vec::with_capacity(PART_BLOCKS.min(self.blocks.len()) * BLOCK_BYTES);
        for blocks in self.blocks.chunks(PART_BLOCKS) {
            part.clear();
            part.extend(blocks.iter().flatten().flat_map(|lane| lane.to_le_bytes()));
            write(&part)?;
        }
        Ok(())
    }

    /// Makes a filter of so many bytes, which are asked for in parts; `read` fills what it is given.
    pub(super) fn decode<E>(
        bytes: u64,
        mut read: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Filter, E> {
        let count = bytes as usize / BLOCK_BYTES;
        let mut blocks = Vec::with_capacity(count);
        let mut part = vec![0; PART_BLOCKS.min(count) * BLOCK_BYTES];
        while blocks.len() < count {
            let part = &mut part[..PART_BLOCKS.min(count - blocks.len()) * BLOCK_BYTES];
            read(part)?;
            let lane = |at: usize, block: &[u8]| {
                u32::from_le_bytes(block[at * 4..at * 4 + 4].try_into().expect("four bytes"))
            };
            blocks.extend(
                part.chunks_exact(BLOCK_BYTES).map(|block| std::array::from_fn(|at| lane(at, block))),
            );
        }
        Ok(Filter { blocks })
    }
}

/// So many blocks are written and read at once.
const PART_BLOCKS: usize = 8192;
