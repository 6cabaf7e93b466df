//! One file per verb.

pub mod check;
pub mod doctor;
pub mod group;
pub mod run;
pub mod start;
pub mod topic;
