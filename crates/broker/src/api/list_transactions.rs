//! ListTransactions (66): transactional ids, by state, producer, duration and (KIP-1152) name.

use super::{Api, code, typed};
use crate::call::{Call, Outcome};
use crate::sync::lock;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::list_transactions_request::ListTransactionsRequest;
use kafka_wire::messages::list_transactions_response::{ListTransactionsResponse, TransactionState};
use regex::{Regex, RegexBuilder};

pub const API: Api = Api::new(ApiKey::ListTransactions, (0, 2), |call, body| typed(call, body, handle));

/// All of Kafka's states; some of them never occur here.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// A pattern that needs more memory than this is refused.
const PATTERN_BYTES_MAX: usize = 1 << 20;

fn handle(call: &Call<'_>, request: ListTransactionsRequest) -> Outcome {
    let pattern = match request.transactional_id_pattern.as_deref().filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => match whole(text) {
            Ok(pattern) => Some(pattern),
            Err(_) => {
                let error_code = code(ErrorCode::InvalidRegularExpression);
                return call.reply(&ListTransactionsResponse { error_code, ..Default::default() });
            }
        },
    };
    let now_ms = call.now.wall_ms;
    let state = lock(&call.broker.state.0);
    let wanted = state.transactions.iter().filter(|(id, known)| {
        let (states, producers) = (&request.state_filters, &request.producer_id_filters);
        let lasted_ms = now_ms.saturating_sub(known.started_at_ms);
        (states.is_empty() || states.iter().any(|name| name == known.state.name()))
            && (producers.is_empty() || producers.contains(&known.identity.producer_id))
            && (request.duration_filter < 0 || lasted_ms > request.duration_filter)
            && call.permit_transaction(id).is_ok()
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    });
    let transaction_states = wanted
        .map(|(id, known)| TransactionState {
            transactional_id: id.to_string(),
            producer_id: known.identity.producer_id,
            transaction_state: known.state.name().into(),
        })
        .collect();
    drop(state);
    let unknown = request.state_filters.into_iter().filter(|name| !STATES.contains(&name.as_str()));
    let unknown_state_filters = unknown.collect();
    call.after_all(move |error| match error {
        None => ListTransactionsResponse { unknown_state_filters, transaction_states, ..Default::default() },
        Some(error) => ListTransactionsResponse { error_code: code(error), ..Default::default() },
    })
}

/// The pattern as one for whole names.
fn whole(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_BYTES_MAX).build()
}
