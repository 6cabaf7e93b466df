//! The client against a node inside the test.

mod client;
mod connection;
mod fake_node;
