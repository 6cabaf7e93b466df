//! One file per verb.

pub mod check;
pub mod connector;
pub mod debug;
pub mod dlq;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod group;
pub mod import;
pub mod job;
pub mod restore;
pub mod run;
pub mod savepoint;
pub mod sql;
pub mod start;
pub mod topic;
pub mod trace;
pub mod user;
pub mod verify;
pub mod view;
pub mod why;
