//! WriteTxnMarkers (27): ends a producer's open transaction in the partitions named.
//!
//! Between Kafka's brokers this is how transactions end. Here the coordinator needs nobody for that; what is left is
//! the operator's way to end a transaction that hangs (KIP-664, `kafka-transactions.sh abort`).

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::security::not_internal;
use crate::state::producers::Marker;
use base::Lsn;
use kafka_wire::ApiKey;
use kafka_wire::messages::write_txn_markers_request::WriteTxnMarkersRequest;
use kafka_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponse,
};
use kafka_wire::records::ControlKind;

pub const API: Api = Api::new(ApiKey::WriteTxnMarkers, (1, 2), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: WriteTxnMarkersRequest) -> Outcome {
    let permitted = call.permit_cluster();
    let mut last = Lsn(0);
    let mut markers = Vec::with_capacity(request.markers.len());
    for asked in request.markers {
        let marker = Marker {
            producer_id: asked.producer_id,
            epoch: asked.producer_epoch,
            kind: if asked.transaction_result { ControlKind::Commit } else { ControlKind::Abort },
            coordinator_epoch: asked.coordinator_epoch,
            timestamp_ms: call.now.wall_ms,
        };
        let mut topics = Vec::with_capacity(asked.topics.len());
        for topic in asked.topics {
            let known = call.broker.find_topic(&topic.name).and_then(not_internal);
            let write = |index: i32| -> Result<Lsn, ApiError> {
                permitted?;
                let partition = super::produce::partition_of(known.as_ref().map_err(Clone::clone)?, index)?;
                call.broker.write_marker(partition, &marker)
            };
            let partitions = topic.partition_indexes.into_iter().map(|partition_index| {
                let error_code = match write(partition_index) {
                    Ok(lsn) => {
                        last = last.max(lsn);
                        NONE
                    }
                    Err(error) => code(error.code),
                };
                WritableTxnMarkerPartitionResult { partition_index, error_code }
            });
            let partitions = partitions.collect();
            topics.push(WritableTxnMarkerTopicResult { name: topic.name, partitions });
        }
        markers.push(WritableTxnMarkerResult { producer_id: asked.producer_id, topics });
    }
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            let topics = markers.iter_mut().flat_map(|marker| &mut marker.topics);
            let partitions = topics.flat_map(|topic| &mut topic.partitions);
            for partition in partitions.filter(|partition| partition.error_code == NONE) {
                partition.error_code = code(error);
            }
        }
        WriteTxnMarkersResponse { markers }
    })
}
