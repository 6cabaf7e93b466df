//! `stdin` and `stdout`: a job in a pipe of a shell.
//!
//! `cat orders.jsonl | eventwright run job.sql | jq .total`

mod read;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use read::Stdin;
pub(crate) use write::Stdout;
