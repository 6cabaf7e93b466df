//! What goes into the group coordinator and what comes out of it.
//!
//! An `Event` is a client's request (with the ticket under which its answer is awaited) or the
//! passing of time; an `Action` answers one ticket. Random names (member ids) come in with the
//! event, so that the machine itself draws nothing.

use bytes::Bytes;
use kafka_wire::error_code::ErrorCode;

/// Names one awaited answer; never reused within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Who is asking: shown by DescribeGroups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientIdentity {
    pub client_id: String,
    /// With Kafka's leading slash, as its tools print it: `/127.0.0.1`.
    pub client_host: String,
}

/// One protocol (assignor) a member offers, with its opaque subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    pub name: String,
    pub metadata: Bytes,
}

#[derive(Debug, Clone)]
pub struct JoinEvent {
    pub group: String,
    /// Empty for a member that has no id yet.
    pub member_id: String,
    pub instance_id: Option<String>,
    /// The id to give if the member needs one.
    pub fresh_member_id: String,
    pub client: ClientIdentity,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    pub protocols: Vec<Protocol>,
    /// KIP-394: from version 4 on a nameless member is told its id first.
    pub require_known_member_id: bool,
    /// KIP-814: from version 9 on a returning static leader may be told to skip the assignment.
    pub supports_skipping_assignment: bool,
}

#[derive(Debug, Clone)]
pub struct SyncEvent {
    pub group: String,
    pub generation: i32,
    pub member_id: String,
    pub instance_id: Option<String>,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignments: Vec<(String, Bytes)>,
}

#[derive(Debug, Clone)]
pub struct HeartbeatEvent {
    pub group: String,
    pub generation: i32,
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// A member that leaves: by its id, or (static) by its instance id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    pub member_id: String,
    pub instance_id: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Event {
    Join(Ticket, JoinEvent),
    Sync(Ticket, SyncEvent),
    Heartbeat(Ticket, HeartbeatEvent),
    Leave(Ticket, String, Vec<LeavingMember>),
    /// Time has passed; deadlines up to now fire.
    Tick,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinReply {
    pub error: ErrorCode,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    pub member_id: String,
    /// (member id, instance id, subscription): only the leader gets them.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

impl JoinReply {
    pub fn refused(error: ErrorCode, member_id: &str) -> JoinReply {
        JoinReply {
            error,
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.to_string(),
            members: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReply {
    pub error: ErrorCode,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Bytes,
}

impl SyncReply {
    pub fn refused(error: ErrorCode) -> SyncReply {
        SyncReply { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Join(JoinReply),
    Sync(SyncReply),
    Heartbeat(ErrorCode),
    /// The error of the whole request, and of each member in the order asked.
    Leave(ErrorCode, Vec<(LeavingMember, ErrorCode)>),
}

/// The answer that one ticket has waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub ticket: Ticket,
    pub reply: Reply,
}

/// Which protocol a group follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupType {
    /// JoinGroup and SyncGroup; also a group that is known by its offsets only.
    Classic,
    /// KIP-848: the broker assigns.
    Consumer,
    /// KIP-932: members share partitions.
    Share,
}

impl GroupType {
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
            GroupType::Share => "share",
        }
    }
}

/// Kafka's names for the states of a classic group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl GroupState {
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// Limits and times of the coordinator.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// How long an empty group waits for more members before its first generation.
    pub initial_rebalance_delay_ms: i64,
    pub session_timeout_min_ms: i32,
    pub session_timeout_max_ms: i32,
    pub members_max: usize,
    pub groups_max: usize,
}

impl Default for GroupConfig {
    /// Kafka's defaults but for the initial delay: Kafka waits 3 s because brokers of a cluster
    /// start one after another; with one node 100 ms let the consumers that one command starts
    /// meet in one generation, and nobody notices the wait.
    fn default() -> GroupConfig {
        GroupConfig {
            initial_rebalance_delay_ms: 100,
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            members_max: 10_000,
            groups_max: 100_000,
        }
    }
}
