//! What outside servers say: a queue's where the first byte is 0 or 1, or else a database's, which never begins so.

use crate::{database, queues};

pub fn hear(data: &[u8]) {
    match data.first() {
        Some(0 | 1) => queues::read(data),
        _ => database::answers(data),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [database::seeds(), queues::seeds()].concat()
}
