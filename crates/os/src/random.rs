//! Random numbers: the kernel's, and a seeded sequence for tests.

use std::sync::Mutex;

/// Where random bytes come from.
pub trait Random: Send + Sync {
    fn fill(&self, out: &mut [u8]);

    /// The next 64 random bits.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The kernel's generator (getrandom).
#[derive(Debug)]
pub struct RealRandom;

impl Random for RealRandom {
    fn fill(&self, out: &mut [u8]) {
        let mut filled = 0;
        while filled < out.len() {
            match rustix::rand::getrandom(&mut out[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                // Without randomness no identity and no secret can be made safely; no caller could go on.
                Err(error) => panic!("the kernel gives no random bytes: {error}"),
            }
        }
    }
}

/// SplitMix64: small, fast, and the same on every machine. Not for secrets.
#[derive(Debug, Clone)]
pub struct SplitMix(pub u64);

impl SplitMix {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// True once in `times` on average.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A seeded sequence behind the trait.
#[derive(Debug)]
pub struct SimRandom(Mutex<SplitMix>);

impl SimRandom {
    pub fn new(seed: u64) -> SimRandom {
        SimRandom(Mutex::new(SplitMix(seed)))
    }
}

impl Random for SimRandom {
    fn fill(&self, out: &mut [u8]) {
        let mut sequence = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in out.chunks_mut(8) {
            let bytes = sequence.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}
