//! The journal: its bytes, and what it tells; restart strategies.

mod journal;
mod lineage;
mod restart;
