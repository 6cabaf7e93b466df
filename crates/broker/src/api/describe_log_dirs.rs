//! DescribeLogDirs (35): the bytes of each partition; all of them lie in one directory.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use kafka_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

pub const API: Api = Api::new(ApiKey::DescribeLogDirs, (1, 5), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DescribeLogDirsRequest) -> Outcome {
    if let Err(error) = call.permit_cluster() {
        return call.reply(&DescribeLogDirsResponse { error_code: code(error), ..Default::default() });
    }
    let log = &call.broker.log;
    let wanted: Vec<(String, Option<Vec<i32>>)> = match request.topics {
        None => log.topics().iter().map(|topic| (topic.name.clone(), None)).collect(),
        Some(topics) => topics.into_iter().map(|topic| (topic.topic, Some(topic.partitions))).collect(),
    };
    let mut topics = Vec::new();
    for (name, indexes) in wanted {
        // As Kafka: what does not exist is left out.
        let Some(topic) = log.topic(&name) else { continue };
        let indexes = indexes.unwrap_or_else(|| (0..topic.partitions.len() as i32).collect());
        let partitions = indexes
            .into_iter()
            .filter_map(|index| {
                let id = super::produce::partition_of(&topic, index).ok()?;
                let bytes = log.partition_bytes(id).ok()?;
                Some(DescribeLogDirsPartition {
                    partition_index: index,
                    partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
                    offset_lag: 0,
                    is_future_key: false,
                })
            })
            .collect();
        topics.push(DescribeLogDirsTopic { name, partitions });
    }
    // Total and usable bytes are -1, "unknown": they are the volume's, and the volume is not ours.
    let result = DescribeLogDirsResult {
        error_code: NONE,
        log_dir: call.broker.log_directory().to_string(),
        topics,
        ..Default::default()
    };
    call.reply(&DescribeLogDirsResponse { results: vec![result], ..Default::default() })
}
