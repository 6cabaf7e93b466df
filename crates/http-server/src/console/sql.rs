//! Questions in SQL: views and topics, asked by who asks and within what they may read.
//!
//! What knows SQL is handed in. Its answers are lines of JSON that are made as the page takes them, and end with it.

use super::{Answered, Asked, Console, Refused, lines};
use crate::body::Body;
use broker::security::Visitor;
use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;

const RELATIONS_MAX: usize = 50;
const ROWS_DEFAULT: usize = 1_000;

/// A question in SQL.
pub struct Asking {
    pub visitor: Visitor,
    pub text: String,
    /// The statement is asked that this character is in.
    pub at: usize,
    /// Its plan is asked for.
    pub explains: bool,
    pub rows_max: usize,
}

/// Answers questions in SQL.
pub trait Queries: Send + Sync {
    /// `columns`, `rows` and at the end `ended` or `error`; the first of them says which statement it was. Nothing more is
    /// done when the receiver is gone.
    fn ask(&self, asking: Asking) -> mpsc::Receiver<Bytes>;

    /// The views and topics of these names.
    fn named(&self, visitor: &Visitor, names: Vec<String>, max: usize) -> Value;

    /// Those whose names begin so.
    fn beginning(&self, visitor: &Visitor, prefix: String, max: usize) -> Value;
}

fn none() -> Refused {
    Refused {
        status: StatusCode::NOT_FOUND,
        words: "this node answers no queries: it was started with --pg none".into(),
    }
}

pub(super) fn answer(console: &Console, body: &[u8], visitor: Visitor) -> Response<Body> {
    let asked = || {
        let queries = console.given.queries.as_ref().ok_or_else(none)?;
        let given: Value = serde_json::from_slice(body)
            .map_err(|error| Refused::bad(format!("the body is not JSON: {error}")))?;
        let text = given["text"].as_str().ok_or_else(|| Refused::bad("the question has no 'text'"))?;
        let number = |name: &str| given[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let (at, rows_max) = (number("at").unwrap_or(0), number("max").unwrap_or(ROWS_DEFAULT));
        let explains = given["explain"] == true;
        Ok(queries.ask(Asking { visitor, text: text.to_owned(), at, explains, rows_max }))
    };
    match asked() {
        Ok(parts) => lines(parts),
        Err(refused) => Refused::into_response(refused),
    }
}

/// What can be completed, or the columns of what is named.
pub(super) fn relations(console: &Console, asked: &Asked<'_>) -> Answered {
    let queries = console.given.queries.as_ref().ok_or_else(none)?;
    Ok(match asked.value("names") {
        Some(names) => {
            // A comma in a name is written twice by nobody: names are those of relations, which have none.
            let names = names.split(',').map(str::to_owned).collect();
            queries.named(asked.visitor, names, RELATIONS_MAX)
        }
        None => queries.beginning(asked.visitor, asked.value("prefix").unwrap_or_default(), RELATIONS_MAX),
    })
}
