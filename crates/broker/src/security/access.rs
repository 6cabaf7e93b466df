//! One client's rights at one moment, and the questions that handlers ask.

use super::acl::{CLUSTER_NAME, Operation, ResourceType};
use super::needs::need;
use super::rules::{Rules, RulesChange};
use crate::broker::Broker;
use crate::call::Call;
use crate::errors::ApiError;
use base::TopicId;
use eventlog::Topic;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use std::sync::Arc;

/// What a client may do; cheap to clone, so that a request that waits takes it along.
#[derive(Clone)]
pub(crate) struct Access {
    principal: Arc<str>,
    host: Arc<str>,
    /// `None` where nothing is refused: rules are not in force, or the client is a super user.
    rules: Option<Arc<Rules>>,
    /// The answer where no rule speaks of a resource.
    fallback: bool,
}

impl Access {
    pub(crate) fn of(broker: &Broker, principal: Arc<str>, host: &str) -> Access {
        let config = &broker.config.security;
        let rules = broker.rules.current();
        let enforced = config.authenticates() || !rules.is_empty();
        let exempt = !enforced || config.super_users.contains(&*principal);
        Access {
            principal,
            host: host.into(),
            rules: (!exempt).then_some(rules),
            fallback: config.allow_where_no_rule,
        }
    }

    /// Refuses changes after which the client could not take them back, where nobody can log in to do it instead.
    pub(crate) fn keeps_out_nobody(&self, broker: &Broker, changes: &[RulesChange]) -> Result<(), ApiError> {
        let config = &broker.config.security;
        if config.authenticates() || config.super_users.contains(&*self.principal) {
            return Ok(());
        }
        let mut rules = (*broker.rules.current()).clone();
        changes.iter().cloned().for_each(|change| rules.apply(change));
        let (operation, resource) = (Operation::Alter, ResourceType::Cluster);
        let fallback = config.allow_where_no_rule;
        if rules.is_empty()
            || rules.permits(&self.principal, &self.host, operation, resource, CLUSTER_NAME, fallback)
        {
            return Ok(());
        }
        let message = "nobody can log in here, so this would lock everybody out: stop the node, make an admin with \
                       `eventwright user add NAME --admin --data DIR`, and start it with security.protocol; or name \
                       User:ANONYMOUS in super.users";
        Err(ApiError::new(ErrorCode::SecurityDisabled, message))
    }

    pub(crate) fn principal(&self) -> &str {
        &self.principal
    }

    pub(crate) fn names(&self) -> (&Arc<str>, &str) {
        (&self.principal, &self.host)
    }

    pub(crate) fn permits(&self, operation: Operation, resource: ResourceType, name: &str) -> bool {
        match &self.rules {
            None => true,
            Some(rules) => {
                rules.permits(&self.principal, &self.host, operation, resource, name, self.fallback)
            }
        }
    }

    /// Whether it permits the operation on some resource of the type, whatever its name.
    pub(crate) fn permits_some(&self, operation: Operation, resource: ResourceType) -> bool {
        match &self.rules {
            None => true,
            Some(rules) => rules.permits_some(&self.principal, &self.host, operation, resource),
        }
    }

    /// What the table of needs asks of this API.
    pub(crate) fn permit(&self, api: ApiKey, resource: ResourceType, name: &str) -> Result<(), ErrorCode> {
        if self.rules.is_none() {
            return Ok(());
        }
        let permitted = need(api, resource).is_some_and(|operation| self.permits(operation, resource, name));
        if permitted { Ok(()) } else { Err(refusal(resource)) }
    }

    /// The operations that are permitted, as the bits that Kafka's messages carry.
    pub(crate) fn operations(&self, resource: ResourceType, name: &str) -> i32 {
        let permitted =
            resource.operations().iter().filter(|operation| self.permits(**operation, resource, name));
        permitted.fold(0, |bits, operation| bits | 1 << operation.number())
    }
}

/// What Kafka answers when a resource of this type is not for the client.
fn refusal(resource: ResourceType) -> ErrorCode {
    match resource {
        ResourceType::Topic => ErrorCode::TopicAuthorizationFailed,
        ResourceType::Group => ErrorCode::GroupAuthorizationFailed,
        ResourceType::TransactionalId => ErrorCode::TransactionalIdAuthorizationFailed,
        ResourceType::DelegationToken => ErrorCode::DelegationTokenAuthorizationFailed,
        ResourceType::Cluster | ResourceType::User => ErrorCode::ClusterAuthorizationFailed,
    }
}

/// The topic, unless it is one of the node's own: jobs rely on what they wrote there.
pub(crate) fn not_internal(topic: Arc<Topic>) -> Result<Arc<Topic>, ApiError> {
    permit_name(&topic.name)?;
    Ok(topic)
}

/// Refuses the names of the node's own topics, as Kafka refuses those of its own.
pub(crate) fn permit_name(name: &str) -> Result<(), ApiError> {
    if !eventlog::is_internal_topic(name) {
        return Ok(());
    }
    let message = format!("topic '{name}' is internal: the node alone makes and changes it");
    Err(ApiError::new(ErrorCode::InvalidTopicException, message))
}

impl Call<'_> {
    /// Whether the client has what this API needs on a resource, by the table of needs.
    pub(crate) fn permit(&self, resource: ResourceType, name: &str) -> Result<(), ErrorCode> {
        self.access.permit(self.reply_to.api, resource, name)
    }

    pub(crate) fn permit_topic(&self, name: &str) -> Result<(), ErrorCode> {
        self.permit(ResourceType::Topic, name)
    }

    pub(crate) fn permit_group(&self, name: &str) -> Result<(), ErrorCode> {
        self.permit(ResourceType::Group, name)
    }

    pub(crate) fn permit_cluster(&self) -> Result<(), ErrorCode> {
        self.permit(ResourceType::Cluster, CLUSTER_NAME)
    }

    pub(crate) fn permit_transaction(&self, id: &str) -> Result<(), ErrorCode> {
        self.permit(ResourceType::TransactionalId, id)
    }

    /// The topic, if the client may do to it what this API does. Without the right it is not told
    /// whether the topic exists.
    pub(crate) fn find_topic(&self, name: &str) -> Result<Arc<Topic>, ApiError> {
        self.permit_topic(name)?;
        self.broker.find_topic(name)
    }

    /// The same for a topic's id.
    pub(crate) fn topic_by_id(&self, id: TopicId) -> Result<Arc<Topic>, ApiError> {
        let topic = self.broker.log.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId)?;
        self.permit_topic(&topic.name)?;
        Ok(topic)
    }
}
