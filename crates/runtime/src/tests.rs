//! The journal's bytes: what is written is read again, and what is damaged is an error, never a panic.

mod journal;
mod restart;
