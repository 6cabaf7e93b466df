//! Digests as hexadecimal digits.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::fmt::Write;

#[derive(Debug, Clone, Copy)]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    pub(super) fn write(self, bytes: &[u8], out: &mut String) {
        match self {
            Algorithm::Md5 => digits(&Md5::digest(bytes), out),
            Algorithm::Sha1 => digits(&Sha1::digest(bytes), out),
            Algorithm::Sha224 => digits(&Sha224::digest(bytes), out),
            Algorithm::Sha256 => digits(&Sha256::digest(bytes), out),
            Algorithm::Sha384 => digits(&Sha384::digest(bytes), out),
            Algorithm::Sha512 => digits(&Sha512::digest(bytes), out),
        }
    }
}

fn digits(digest: &[u8], out: &mut String) {
    for byte in digest {
        let _ = write!(out, "{byte:02x}");
    }
}
