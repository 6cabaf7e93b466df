//! The Kafka APIs, one file each; this table is what ApiVersions advertises and dispatch consults.
//!
//! To add an API: write `api/its_name.rs` with a `pub const API: Api`, and add one line to `APIS`.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_share_group_offsets;
mod alter_user_scram_credentials;
mod api_versions;
mod change_configs;
mod config_sources;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_share_group_offsets;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_share_group_offsets;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod share_acknowledge;
mod share_fetch;
mod share_group_describe;
mod share_group_heartbeat;
mod sync_group;
mod txn_offset_commit;
mod write_txn_markers;

use crate::broker::Broker;
use crate::call::{Call, Now, Outcome, Peer, ReplyTo};
use crate::quotas::{Meter, settle};
use crate::security::{Access, Gate};
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::{ApiKey, DecodeError, Message, Reader, RequestHeader};
pub(crate) use produce::{partition_of, permit_remote};

pub(crate) use describe_groups::describe as describe_group;

/// Every API that is implemented, by rising key.
pub const APIS: &[Api] = &[
    produce::API,
    fetch::API,
    list_offsets::API,
    metadata::API,
    offset_commit::API,
    offset_fetch::API,
    find_coordinator::API,
    join_group::API,
    heartbeat::API,
    leave_group::API,
    sync_group::API,
    describe_groups::API,
    list_groups::API,
    sasl_handshake::API,
    api_versions::API,
    create_topics::API,
    delete_topics::API,
    delete_records::API,
    init_producer_id::API,
    offset_for_leader_epoch::API,
    add_partitions_to_txn::API,
    add_offsets_to_txn::API,
    end_txn::API,
    write_txn_markers::API,
    txn_offset_commit::API,
    describe_acls::API,
    create_acls::API,
    delete_acls::API,
    describe_configs::API,
    alter_configs::API,
    alter_replica_log_dirs::API,
    describe_log_dirs::API,
    sasl_authenticate::API,
    create_partitions::API,
    delete_groups::API,
    elect_leaders::API,
    incremental_alter_configs::API,
    alter_partition_reassignments::API,
    list_partition_reassignments::API,
    offset_delete::API,
    describe_client_quotas::API,
    alter_client_quotas::API,
    describe_user_scram_credentials::API,
    alter_user_scram_credentials::API,
    describe_quorum::API,
    describe_cluster::API,
    describe_producers::API,
    describe_transactions::API,
    list_transactions::API,
    consumer_group_heartbeat::API,
    consumer_group_describe::API,
    list_config_resources::API,
    describe_topic_partitions::API,
    share_group_heartbeat::API,
    share_group_describe::API,
    share_fetch::API,
    share_acknowledge::API,
    describe_share_group_offsets::API,
    alter_share_group_offsets::API,
    delete_share_group_offsets::API,
];

/// One API.
pub struct Api {
    pub key: ApiKey,
    /// The versions that are answered.
    pub versions: (i16, i16),
    /// The least version that is advertised; differs from the above for Produce only (KAFKA-18659).
    pub advertised_min: i16,
    pub handle: fn(&Call<'_>, Bytes) -> Result<Outcome, DecodeError>,
}

impl Api {
    /// An API that speaks the versions from `min` to `max`.
    const fn new(
        key: ApiKey,
        (min, max): (i16, i16),
        handle: fn(&Call<'_>, Bytes) -> Result<Outcome, DecodeError>,
    ) -> Api {
        Api { key, versions: (min, max), advertised_min: min, handle }
    }

    fn supports(&self, version: i16) -> bool {
        (self.versions.0..=self.versions.1).contains(&version)
    }
}

/// Decodes the body and hands it to the API's handler.
fn typed<M: Message>(
    call: &Call<'_>,
    body: Bytes,
    handle: impl FnOnce(&Call<'_>, M) -> Outcome,
) -> Result<Outcome, DecodeError> {
    // Bytes behind the message are left alone, as Kafka leaves them: librdkafka 2.16 asks for all
    // topics (Metadata 13) with three bytes too many.
    let message = M::decode(&mut Reader::new(body), call.version())?;
    Ok(handle(call, message))
}

/// Answers one request frame. What cannot be answered closes the connection, as Kafka does: a
/// client that speaks an unknown API or version has ignored ApiVersions.
pub(crate) fn dispatch(broker: &Broker, frame: Bytes, peer: &Peer, now: Now) -> Outcome {
    match try_dispatch(broker, frame, peer, now) {
        Ok(outcome) => outcome,
        Err(reason) => Outcome::Close(reason),
    }
}

fn try_dispatch(broker: &Broker, frame: Bytes, peer: &Peer, now: Now) -> Result<Outcome, String> {
    if peer.session.takes_bare_token() {
        return Ok(sasl_authenticate::bare(broker, peer, frame, now));
    }
    let damaged = |error: DecodeError| format!("the request's header is damaged: {error}");
    let request_bytes = frame.len();
    let mut reader = Reader::new(frame);
    // How the rest of the header looks depends on the API and the version, so they come first.
    let mut front = reader.clone();
    let api_key = front.i16().map_err(damaged)?;
    let api_version = front.i16().map_err(damaged)?;
    let correlation_id = front.i32().map_err(damaged)?;
    let principal = match peer.session.gate(api_key, now.monotonic_ms) {
        Gate::Pass(principal) => principal,
        Gate::Close(reason) => return Err(reason),
    };
    let Some(api) = APIS.iter().find(|api| api.key as i16 == api_key) else {
        return Err(format!("the API is not implemented: api_key={api_key} api_version={api_version}"));
    };
    if !api.supports(api_version) {
        if api.key == ApiKey::ApiVersions {
            // KIP-511: the client may speak a version we do not know; it learns ours from a
            // version 0 body, and its own body is not looked at.
            let reply_to = ReplyTo { api: api.key, version: 0, correlation_id };
            return Ok(reply_to.encode(broker, &api_versions::response(ErrorCode::UnsupportedVersion)));
        }
        return Err(format!("the version is not implemented: api={:?} api_version={api_version}", api.key));
    }
    let RequestHeader { client_id, .. } = RequestHeader::decode(&mut reader).map_err(damaged)?;
    let client_id = client_id.unwrap_or_default();
    // Who logs in is slowed down by other means.
    let logs_in =
        || matches!(api.key, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate) || !peer.session.is_open();
    let quotas = broker.quotas.any().filter(|_| !logs_in());
    let meter = quotas.map(|rules| Meter::new(rules, &principal, &client_id, peer));
    let access = Access::of(broker, principal, &peer.host);
    let call = Call {
        broker,
        peer,
        access: &access,
        client_id: &client_id,
        meter: meter.as_ref(),
        reply_to: ReplyTo { api: api.key, version: api_version, correlation_id },
        now,
    };
    let handled = match &meter {
        None => (api.handle)(&call, reader.take_rest()),
        Some(meter) => metered(api, &call, meter, request_bytes, reader.take_rest()),
    };
    handled.map_err(|error| {
        // The client chose its id: line breaks in it must not reach the log as such.
        let shown: String = client_id.chars().take(80).flat_map(char::escape_debug).collect();
        format!(
            "the request is damaged: api={:?} api_version={api_version} client_id=\"{shown}\": {error}",
            api.key
        )
    })
}

/// Answers, and counts the request for the client's quotas.
fn metered(
    api: &Api,
    call: &Call<'_>,
    meter: &Meter,
    request_bytes: usize,
    body: Bytes,
) -> Result<Outcome, DecodeError> {
    let clock = &call.broker.os.clock;
    let began_ns = clock.monotonic_ns();
    let throttle_ms = match api.key {
        ApiKey::Produce => meter.produced(call.broker, request_bytes, call.now.monotonic_ms),
        _ => 0,
    };
    let outcome = (api.handle)(call, body)?;
    let work_ns = clock.monotonic_ns().saturating_sub(began_ns);
    Ok(settle(call.broker, meter.clone(), throttle_ms, work_ns, outcome))
}

/// The client did not ask which operations it may do.
const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// The number on the wire.
fn code(error: ErrorCode) -> i16 {
    error.number()
}

const NONE: i16 = 0;

/// Clients of the first versions know only one code for a producer that was fenced.
fn fenced_code(error: ErrorCode, version: i16, since: i16) -> i16 {
    match error {
        ErrorCode::ProducerFenced if version < since => code(ErrorCode::InvalidProducerEpoch),
        other => code(other),
    }
}

/// `None` for an empty text: Kafka's error messages are null when there is nothing to say.
fn some_text(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

#[cfg(test)]
mod tests;
