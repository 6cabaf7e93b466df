//! AMQP 0-9-1 from a client's side, blocking: a connection with one channel, that consumes or publishes.
//!
//! The specification is that of the AMQP working group with RabbitMQ's extensions and errata: publisher confirms,
//! `basic.nack`, cancels by the server, `connection.blocked`.

mod connection;
mod fields;
mod frames;
mod properties;

pub(super) use connection::{Connection, Event, Login, Message, Publish};
pub(super) use fields::{Reader, Table, Value};
pub(super) use properties::Properties;
