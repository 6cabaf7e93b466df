//! Topics and configurations: create, delete, describe.

use kafka_wire::Message;
use kafka_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_wire::messages::delete_topics_request::DeleteTopicState;
use kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use kafka_wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_wire::messages::{CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest};

use crate::client::Client;
use crate::error::{ClientError, check};

/// What has a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigResource<'a> {
    Topic(&'a str),
    Broker(i32),
}

impl Client {
    /// Creates a topic; `partitions` of -1 means the node's default.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replication_factor: i16,
        configs: &[(&str, &str)],
    ) -> Result<(), ClientError> {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor,
            configs: configs.iter().map(config).collect(),
            ..Default::default()
        };
        let timeout_ms = i32::try_from(self.options.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms, ..Default::default() };
        let response = self.call(&request)?;
        let Some(created) = response.topics.first() else {
            return Err(self.missing(CreateTopicsRequest::NAME, "the topic is not in the answer"));
        };
        check(created.error_code, created.error_message.as_ref(), || format!("topic={name}"))
    }

    /// Deletes topics; the error is that of the first one that could not be deleted.
    pub fn delete_topics(&mut self, names: &[&str]) -> Result<(), ClientError> {
        let version = self.bootstrap.version::<DeleteTopicsRequest>()?;
        let timeout_ms = i32::try_from(self.options.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let mut request = DeleteTopicsRequest { timeout_ms, ..Default::default() };
        // Version 6 made the names a part of structs.
        if version >= 6 {
            let named =
                |name: &&str| DeleteTopicState { name: Some((*name).to_owned()), ..Default::default() };
            request.topics = names.iter().map(named).collect();
        } else {
            request.topic_names = names.iter().map(|name| (*name).to_owned()).collect();
        }
        let response = self.bootstrap.call_version(&request, version)?;
        for topic in &response.responses {
            let name = topic.name.as_deref().unwrap_or_default();
            check(topic.error_code, topic.error_message.as_ref(), || format!("topic={name}"))?;
        }
        if response.responses.len() < names.len() {
            return Err(self.missing(DeleteTopicsRequest::NAME, "a topic is not in the answer"));
        }
        Ok(())
    }

    /// The configuration of a topic or of a node, with where each value comes from.
    pub fn describe_configs(
        &mut self,
        resource: ConfigResource<'_>,
    ) -> Result<Vec<DescribeConfigsResourceResult>, ClientError> {
        // The numbers are those of Kafka's resource types.
        let (resource_type, resource_name) = match resource {
            ConfigResource::Topic(name) => (2, name.to_owned()),
            ConfigResource::Broker(id) => (4, id.to_string()),
        };
        let what = format!("resource={resource_name}");
        let asked = DescribeConfigsResource { resource_type, resource_name, configuration_keys: None };
        let request = DescribeConfigsRequest { resources: vec![asked], ..Default::default() };
        let response = self.call(&request)?;
        let Some(result) = response.results.into_iter().next() else {
            return Err(self.missing(DescribeConfigsRequest::NAME, "the resource is not in the answer"));
        };
        check(result.error_code, result.error_message.as_ref(), || what)?;
        Ok(result.configs)
    }
}
