//! Performatives (section 2.7 of the specification) and what they are made of.

use super::error::Condition;
use super::values::{Reader, Value, Writer};
use crate::messages::{Done, ServerError};

pub(super) const OPEN: u64 = 0x10;
pub(super) const BEGIN: u64 = 0x11;
pub(super) const ATTACH: u64 = 0x12;
pub(super) const FLOW: u64 = 0x13;
pub(super) const TRANSFER: u64 = 0x14;
pub(super) const DISPOSITION: u64 = 0x15;
pub(super) const DETACH: u64 = 0x16;
pub(super) const END: u64 = 0x17;
pub(super) const CLOSE: u64 = 0x18;
pub(super) const SASL_MECHANISMS: u64 = 0x40;
pub(super) const SASL_INIT: u64 = 0x41;
pub(super) const SASL_CHALLENGE: u64 = 0x42;
pub(super) const SASL_OUTCOME: u64 = 0x44;

const ERROR: u64 = 0x1d;
const ACCEPTED: u64 = 0x24;
const REJECTED: u64 = 0x25;
const RELEASED: u64 = 0x26;
const MODIFIED: u64 = 0x27;
const SOURCE: u64 = 0x28;
const TARGET: u64 = 0x29;
/// What the registered filter `apache.org:selector-filter:string` is called by number.
const SELECTOR: u64 = 0x468C_0000_0004;

/// The fields of a performative, of which the last may be left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fields(Vec<Value>);

impl Fields {
    /// A performative: what it is, its fields, and what lies behind it in the frame.
    pub(super) fn read(body: &[u8]) -> Done<(u64, Fields, &[u8])> {
        let mut reader = Reader::new(body);
        match reader.described()? {
            (code, Value::List(fields)) => Ok((code, Fields(fields), reader.rest())),
            _ => Err(ServerError::malformed("a performative is no list")),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index).filter(|value| **value != Value::Null)
    }

    pub(super) fn u32(&self, index: usize) -> Option<u32> {
        self.get(index)?.number().and_then(|number| u32::try_from(number).ok())
    }

    pub(super) fn wanted_u32(&self, index: usize) -> Done<u32> {
        self.u32(index).ok_or_else(|| ServerError::malformed("a performative lacks a number"))
    }

    pub(super) fn is_true(&self, index: usize) -> bool {
        self.get(index) == Some(&Value::Bool(true))
    }

    /// One symbol, or an array of them.
    pub(super) fn texts(&self, index: usize) -> Vec<&str> {
        match self.get(index) {
            Some(Value::List(values)) => values.iter().filter_map(Value::text).collect(),
            Some(one) => one.text().into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// A text in a map of properties.
    pub(super) fn property(&self, index: usize, name: &str) -> Option<&str> {
        let Some(Value::Map(pairs)) = self.get(index) else { return None };
        pairs.iter().find(|(key, _)| key.text() == Some(name)).and_then(|(_, value)| value.text())
    }

    pub(super) fn condition(&self, index: usize) -> Condition {
        self.get(index).map(condition).unwrap_or_default()
    }

    /// What became of a message.
    pub(super) fn state(&self, index: usize) -> Option<State> {
        let Some(Value::Described(described)) = self.get(index) else { return None };
        let fields = match &described.1 {
            Value::List(fields) => fields.as_slice(),
            _ => &[],
        };
        match described.0.number().and_then(|code| u64::try_from(code).ok())? {
            ACCEPTED => Some(State::Accepted),
            REJECTED => Some(State::Rejected(fields.first().map(condition).unwrap_or_default())),
            RELEASED | MODIFIED => Some(State::Released),
            _ => None,
        }
    }
}

fn condition(value: &Value) -> Condition {
    let Value::Described(described) = value else { return Condition::default() };
    let (Some(ERROR), Value::List(fields)) =
        (described.0.number().and_then(|code| u64::try_from(code).ok()), &described.1)
    else {
        return Condition::default();
    };
    let text = |index: usize| fields.get(index).and_then(Value::text).unwrap_or_default().to_string();
    Condition { name: text(0), description: text(1) }
}

/// What becomes of a message (section 3.4 of the specification).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Accepted,
    /// It is no message that can be taken.
    Rejected(Condition),
    /// Somebody may take it later.
    Released,
}

impl State {
    fn put(&self, out: &mut Writer<'_>) {
        match self {
            State::Accepted => {
                out.described(ACCEPTED, |state| {
                    state.list(|_| {});
                });
            }
            State::Released => {
                out.described(RELEASED, |state| {
                    state.list(|_| {});
                });
            }
            State::Rejected(condition) => {
                out.described(REJECTED, |state| {
                    state.list(|fields| {
                        fields.described(ERROR, |error| {
                            error.list(|fields| {
                                fields.symbol(&condition.name).string(&condition.description);
                            });
                        });
                    });
                });
            }
        }
    }
}

/// Where messages come from or go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Queue,
    Topic,
}

impl Node {
    /// As the servers that came from JMS call it.
    fn capability(self) -> &'static str {
        match self {
            Node::Queue => "queue",
            Node::Topic => "topic",
        }
    }
}

/// A link, as we want it.
#[derive(Debug, Clone)]
pub(super) struct Attach<'a> {
    pub name: &'a str,
    pub address: &'a str,
    pub node: Node,
    /// The messages that are wanted; all without it.
    pub selector: Option<&'a str>,
}

/// The first link of its session.
const HANDLE: u32 = 0;
const UNSETTLED: u8 = 0;
const SETTLES_FIRST: u8 = 0;
/// A terminus that outlives its connection, with what is not settled.
const KEEPS_UNSETTLED: u32 = 2;

impl Attach<'_> {
    pub(super) fn put_receiver(&self, out: &mut Writer<'_>, message_bytes_max: u64) {
        out.string(self.name).uint(HANDLE).bool(true).ubyte(UNSETTLED).ubyte(SETTLES_FIRST);
        out.described(SOURCE, |source| {
            source.list(|fields| self.put_source(fields));
        });
        out.described(TARGET, |target| {
            target.list(|fields| {
                fields.string(self.address);
            });
        });
        out.null().null().null().ulong(message_bytes_max);
    }

    fn put_source(&self, fields: &mut Writer<'_>) {
        fields.string(self.address);
        match self.node {
            Node::Queue => fields.null().null(),
            Node::Topic => fields.uint(KEEPS_UNSETTLED).symbol("never"),
        };
        fields.null().null().null();
        match self.node {
            Node::Queue => fields.symbol("move"),
            Node::Topic => fields.null(),
        };
        fields.or_null(self.selector, |fields, selector| {
            fields.map(|filters| {
                filters.symbol("jms-selector").described(SELECTOR, |filter| {
                    filter.string(selector);
                });
            })
        });
        let outcomes =
            ["amqp:accepted:list", "amqp:rejected:list", "amqp:released:list", "amqp:modified:list"];
        fields.null().symbols(&outcomes).symbols(&[self.node.capability()]);
    }

    pub(super) fn put_sender(&self, out: &mut Writer<'_>) {
        out.string(self.name).uint(HANDLE).bool(false).ubyte(UNSETTLED).ubyte(SETTLES_FIRST);
        out.described(SOURCE, |source| {
            source.list(|fields| {
                fields.string(self.name);
            });
        });
        out.described(TARGET, |target| {
            target.list(|fields| {
                fields.string(self.address).null().null().null().null().null();
                fields.symbols(&[self.node.capability()]);
            });
        });
        out.null().null().uint(0);
    }
}

/// What a flow says of a session and its link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub next_incoming_id: u32,
    pub next_outgoing_id: u32,
    pub delivery_count: u32,
    pub credit: u32,
    /// The sender is to use the credit up.
    pub drain: bool,
}

/// So many frames may be on their way to us; it is the credit that bounds them.
pub(super) const WINDOW: u32 = i32::MAX as u32;

impl Flow {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.uint(self.next_incoming_id).uint(WINDOW).uint(self.next_outgoing_id).uint(WINDOW);
        out.uint(HANDLE).uint(self.delivery_count).uint(self.credit).null().bool(self.drain);
    }
}

/// Settles deliveries, both ends included. The receiver of messages says it.
pub(super) fn put_disposition(out: &mut Writer<'_>, first: u32, last: u32, state: &State) {
    out.bool(true).uint(first).uint(last).bool(true);
    state.put(out);
}

/// What stands in front of a part of a message.
pub(super) fn put_transfer(out: &mut Writer<'_>, id: u32, is_first: bool, more: bool) {
    out.uint(HANDLE);
    if is_first {
        out.uint(id).binary(&id.to_be_bytes()).uint(0).bool(false);
    } else {
        out.null().null().null().null();
    }
    out.bool(more);
}
