//! A share group with one member, asked by hand: what it is given, and what it answers.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kafka_client::Client;
use kafka_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_wire::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch,
};
use kafka_wire::messages::share_fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::messages::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ShareAcknowledgeRequest,
    ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse,
};

const MEMBER: &str = "worker";
const WAIT: Duration = Duration::from_secs(30);
/// Kafka's number of the configurations of groups.
const GROUP_RESOURCE: i8 = 32;

/// A group, and the topic whose first partition it works on.
pub struct Queue {
    pub group: &'static str,
    pub topic: &'static str,
}

impl Queue {
    pub fn configure(&self, client: &mut Client, set: &[(&str, &str)]) -> Result<()> {
        let configs = set.iter().map(|(name, value)| AlterableConfig {
            name: (*name).into(),
            config_operation: 0,
            value: Some((*value).into()),
        });
        let resource = AlterConfigsResource {
            resource_type: GROUP_RESOURCE,
            resource_name: self.group.into(),
            configs: configs.collect(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let answer: IncrementalAlterConfigsResponse = client.call(&request)?;
        if let Some(refused) = answer.responses.iter().find(|one| one.error_code != 0) {
            bail!("the group is not configured: {:?}", refused.error_message);
        }
        Ok(())
    }

    fn topic_id(&self, client: &mut Client) -> Result<[u8; 16]> {
        let metadata = client.metadata(Some(&[self.topic]))?;
        Ok(metadata.topics.first().context("the queue's topic")?.topic_id)
    }

    /// The first fetch of the only member; the records given.
    pub fn fetch(&self, client: &mut Client) -> Result<i64> {
        let partition = FetchPartition { partition_index: 0, acknowledgement_batches: Vec::new() };
        let request = ShareFetchRequest {
            group_id: Some(self.group.into()),
            member_id: Some(MEMBER.into()),
            share_session_epoch: 0,
            max_wait_ms: i32::try_from(WAIT.as_millis())?,
            min_bytes: 1,
            max_bytes: 1 << 20,
            max_records: 10,
            batch_size: 10,
            topics: vec![FetchTopic { topic_id: self.topic_id(client)?, partitions: vec![partition] }],
            ..Default::default()
        };
        let answer: ShareFetchResponse = client.call(&request)?;
        let parts = || answer.responses.iter().flat_map(|topic| &topic.partitions);
        if answer.error_code != 0 || parts().any(|part| part.error_code != 0) {
            bail!("the share group is refused: {:?}", answer.error_message);
        }
        let runs = parts().flat_map(|part| &part.acquired_records);
        Ok(runs.map(|run| run.last_offset - run.first_offset + 1).sum())
    }

    /// Answers the records from the first on with these types: 1 accepts, 2 gives back, 3 rejects.
    pub fn acknowledge(&self, client: &mut Client, epoch: i32, types: &[i8]) -> Result<()> {
        let batches = types.iter().zip(0..).map(|(kind, offset)| AcknowledgementBatch {
            first_offset: offset,
            last_offset: offset,
            acknowledge_types: vec![*kind],
        });
        let partition =
            AcknowledgePartition { partition_index: 0, acknowledgement_batches: batches.collect() };
        let request = ShareAcknowledgeRequest {
            group_id: Some(self.group.into()),
            member_id: Some(MEMBER.into()),
            share_session_epoch: epoch,
            is_renew_ack: false,
            topics: vec![AcknowledgeTopic { topic_id: self.topic_id(client)?, partitions: vec![partition] }],
        };
        let answer: ShareAcknowledgeResponse = client.call(&request)?;
        let mut parts = answer.responses.iter().flat_map(|topic| &topic.partitions);
        if answer.error_code != 0 || parts.any(|part| part.error_code != 0) {
            bail!("the acknowledgement is refused: {:?}", answer.error_message);
        }
        Ok(())
    }
}
