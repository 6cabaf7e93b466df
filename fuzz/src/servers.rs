//! What outside servers say: a queue's where the first byte is one of theirs, one of HTTP, a store's or a stream where it is
//! behind those, a MySQL's, a MongoDB's and a sender's of syslog behind their own letters, or else a PostgreSQL's, which begins
//! with another one.

use crate::{database, mongodb, mysql, queues, stores, streams, syslog, web};

const STORES_END: u8 = web::KINDS_END + stores::COUNT;
const STREAMS_END: u8 = STORES_END + streams::COUNT;

pub fn hear(data: &[u8]) {
    match data.split_first() {
        Some((first, _)) if *first < queues::PROTOCOLS => queues::read(data),
        Some((first, _)) if *first < web::KINDS_END => web::answers(data),
        Some((first, said)) if *first < STORES_END => {
            stores::write(&[&[first - web::KINDS_END], said].concat());
        }
        Some((first, said)) if *first < STREAMS_END => {
            streams::follow(&[&[first - STORES_END], said].concat());
        }
        Some((&mysql::FIRST, said)) => mysql::answers(said),
        Some((&mongodb::FIRST, said)) => mongodb::answers(said),
        Some((&syslog::FIRST, said)) => syslog::hear(said),
        _ => database::answers(data),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let behind = [stores::seeds(web::KINDS_END), streams::seeds(STORES_END)].concat();
    let of_letters = [mysql::seeds(), mongodb::seeds(), syslog::seeds()].concat();
    [database::seeds(), of_letters, queues::seeds(), web::seeds(), behind].concat()
}
