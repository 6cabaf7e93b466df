//! One file per verb.

pub mod check;
pub mod connector;
pub mod dlq;
pub mod doctor;
pub mod explain;
pub mod group;
pub mod job;
pub mod run;
pub mod savepoint;
pub mod start;
pub mod topic;
pub mod user;
pub mod verify;
