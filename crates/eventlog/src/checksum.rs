//! The CRC32C of two strings one behind the other, from their own checksums.
//!
//! A checksum is a remainder modulo the polynomial; with `n` bits behind it, it is multiplied by `x^n`. The powers
//! `x^(2^k)` are squares of one another, so any `x^n` is a product of few of them.

/// CRC32C's polynomial; the highest power is the lowest bit, and `x^32` is left out.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// `x^0`.
const ONE: u32 = 1 << 31;

/// `x^(2^k)`, for lengths in bits.
const SQUARES: [u32; usize::BITS as usize + 3] = {
    let mut squares = [ONE >> 1; usize::BITS as usize + 3];
    let mut index = 1;
    while index < squares.len() {
        squares[index] = product(squares[index - 1], squares[index - 1]);
        index += 1;
    }
    squares
};

/// The product of two polynomials modulo CRC32C's.
const fn product(left: u32, mut right: u32) -> u32 {
    let (mut sum, mut bit) = (0, ONE);
    while bit > 0 {
        if left & bit != 0 {
            sum ^= right;
        }
        let carry = if right & 1 == 1 { POLYNOMIAL } else { 0 };
        right = right >> 1 ^ carry;
        bit >>= 1;
    }
    sum
}

/// The checksum of two strings in a row; `bytes` is the length of the second.
pub(crate) fn joined(first: u32, second: u32, bytes: usize) -> u32 {
    // Bytes are eight bits: the exponents begin three squares further.
    let shifted = (0..usize::BITS)
        .filter(|bit| bytes >> bit & 1 == 1)
        .fold(first, |sum, bit| product(SQUARES[bit as usize + 3], sum));
    shifted ^ second
}

#[cfg(test)]
mod tests {
    use super::joined;
    use os::sim::SplitMix;

    #[test]
    fn a_joined_checksum_is_that_of_the_whole() {
        let mut random = SplitMix(1);
        let bytes: Vec<u8> = (0..70_000).map(|_| random.next_u64() as u8).collect();
        for length in [0, 1, 2, 7, 8, 255, 256, 4095, 65_536, 70_000] {
            for at in [0, 1, length / 3, length] {
                let (first, second) = bytes[..length].split_at(at.min(length));
                let crc = joined(crc32c::crc32c(first), crc32c::crc32c(second), second.len());
                assert_eq!(crc, crc32c::crc32c(&bytes[..length]), "length={length} at={at}");
            }
        }
    }
}
