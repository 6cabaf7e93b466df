//! DescribeProducers (61): who has written to a partition with sequence numbers (KIP-664).

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::state::BrokerState;
use crate::sync::lock;
use base::PartitionId;
use kafka_wire::ApiKey;
use kafka_wire::messages::describe_producers_request::DescribeProducersRequest;
use kafka_wire::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

pub const API: Api = Api::new(ApiKey::DescribeProducers, (0, 0), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DescribeProducersRequest) -> Outcome {
    let mut topics: Vec<TopicResponse> = request
        .topics
        .into_iter()
        .map(|asked| {
            let topic = call.find_topic(&asked.name);
            let partitions = asked
                .partition_indexes
                .into_iter()
                .map(|index| {
                    let id = topic.clone().and_then(|topic| super::produce::partition_of(&topic, index));
                    match id {
                        Ok(id) => PartitionResponse {
                            partition_index: index,
                            error_code: NONE,
                            active_producers: producers_of(&lock(&call.broker.state.0), id),
                            ..Default::default()
                        },
                        Err(error) => PartitionResponse {
                            partition_index: index,
                            error_code: code(error.code),
                            error_message: some_text(error.message),
                            ..Default::default()
                        },
                    }
                })
                .collect();
            TopicResponse { name: asked.name, partitions }
        })
        .collect();
    call.after_all(move |error| {
        if let Some(error) = error {
            let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|partition| partition.error_code = code(error));
        }
        DescribeProducersResponse { topics, ..Default::default() }
    })
}

fn producers_of(state: &BrokerState, partition: PartitionId) -> Vec<ProducerState> {
    let producers = state.producers.of_partition(partition).into_iter();
    producers
        .map(|producer| ProducerState {
            producer_id: producer.producer_id,
            producer_epoch: i32::from(producer.epoch),
            last_sequence: producer.last_sequence,
            last_timestamp: producer.last_timestamp_ms,
            coordinator_epoch: producer.coordinator_epoch,
            current_txn_start_offset: state
                .partitions
                .open_since(partition, producer.producer_id)
                .unwrap_or(-1),
        })
        .collect()
}
