//! What can go wrong between the client and a node, in words that name the next step.

use std::io;

use base::ErrorKind;
use kafka_wire::records::RecordsError;
use kafka_wire::{DecodeError, EncodeError, ErrorCode};

/// A call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the address is not understood: address={address} reason={reason}; write it as HOST:PORT")]
    Address { address: String, reason: String },
    #[error("no connection is made: address={address} reason={reason}")]
    Guarded { address: String, reason: String },
    #[error(
        "no node answers: address={address} reason={reason}; start one with `eventwright start`, or name \
         another address"
    )]
    Unreachable { address: String, reason: io::Error },
    #[error(
        "the node did not answer in time: address={address} request={request} timeout_ms={timeout_ms}; look whether \
         the port is a Kafka port, and whether it wants TLS (security.protocol in --command-config)"
    )]
    Timeout { address: String, request: &'static str, timeout_ms: u128 },
    #[error(
        "the node's TLS is not trusted: address={address} reason={reason}; name the authority that signed its \
         certificate with ssl.ca.location"
    )]
    Tls { address: String, reason: String },
    #[error(
        "the node does not let the user in: address={address} reason={reason}; look at sasl.mechanism, sasl.username \
         and sasl.password"
    )]
    LogIn { address: String, reason: String },
    #[error("the connection broke: address={address} request={request} reason={reason}; connect again")]
    Broken { address: String, request: &'static str, reason: io::Error },
    #[error("the node closed the connection: address={address} request={request}; its log says why")]
    Closed { address: String, request: &'static str },
    #[error("an earlier error has closed this connection: address={address}; connect again")]
    AlreadyClosed { address: String },
    #[error("the node sent what is not the answer: address={address} request={request} reason={reason}")]
    Protocol { address: String, request: &'static str, reason: String },
    #[error("the node sent a malformed answer: address={address} request={request} reason={reason}")]
    Malformed { address: String, request: &'static str, reason: DecodeError },
    #[error(
        "the request cannot be written for this node: request={request} version={version} reason={reason}"
    )]
    Unwritable { request: &'static str, version: i16, reason: EncodeError },
    #[error("the node and this client share no version: request={request} node={node} client={client}")]
    NoCommonVersion { request: &'static str, node: String, client: String },
    #[error("the node refuses: {what} code={code}{}", message_suffix(.message))]
    Refused { what: String, code: ErrorCode, message: Option<String> },
    #[error("the node refuses with a code that is not known: {what} code={code}")]
    RefusedUnknown { what: String, code: i16 },
    #[error("records cannot be read: {what} reason={reason}")]
    Records { what: String, reason: RecordsError },
    #[error(
        "the record at partition={partition} offset={offset} is no dead letter: its headers {headers}* do not say \
         where it comes from"
    )]
    NoLetter { partition: i32, offset: i64, headers: &'static str },
    #[error(
        "the letter at partition={partition} offset={offset} has no copy of its record, and there is no record at \
         {record} any more"
    )]
    NoCopy { partition: i32, offset: i64, record: String },
    #[error(
        "the letter at partition={partition} offset={offset} came from {origin}, which is no topic that it can be sent \
         back to; produce its record where it belongs"
    )]
    NoWayBack { partition: i32, offset: i64, origin: String },
    #[error(
        "the letter at partition={partition} offset={offset} came from {topic}-{target}, and there is no such partition \
         any more; make the topic again, or produce its record where it belongs"
    )]
    NoTarget { partition: i32, offset: i64, topic: String, target: i32 },
    #[error("the letter at partition={partition} offset={offset} is not taken: {why}")]
    NotTaken { partition: i32, offset: i64, why: String },
    #[error("partition {partition} of '{topic}' has the offsets from {first} to {}, and not {offset}", end - 1)]
    NoSuchRecord { topic: String, partition: i32, offset: i64, first: i64, end: i64 },
}

fn message_suffix(message: &Option<String>) -> String {
    match message {
        Some(text) if !text.is_empty() => format!(" message={text}"),
        _ => String::new(),
    }
}

impl ClientError {
    /// The node's error code, if the node answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the connection can still be used.
    pub fn closes_connection(&self) -> bool {
        matches!(
            self,
            ClientError::Timeout { .. }
                | ClientError::Tls { .. }
                | ClientError::LogIn { .. }
                | ClientError::Broken { .. }
                | ClientError::Closed { .. }
                | ClientError::AlreadyClosed { .. }
                | ClientError::Protocol { .. }
                | ClientError::Malformed { .. }
        )
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ClientError::Address { .. }
            | ClientError::Guarded { .. }
            | ClientError::Tls { .. }
            | ClientError::LogIn { .. }
            | ClientError::NoCommonVersion { .. }
            | ClientError::NoLetter { .. }
            | ClientError::NoWayBack { .. }
            | ClientError::NotTaken { .. }
            | ClientError::Unwritable { .. } => ErrorKind::Invalid,
            ClientError::NoCopy { .. } | ClientError::NoSuchRecord { .. } | ClientError::NoTarget { .. } => {
                ErrorKind::NotFound
            }
            ClientError::Unreachable { .. }
            | ClientError::Timeout { .. }
            | ClientError::Broken { .. }
            | ClientError::Closed { .. }
            | ClientError::AlreadyClosed { .. } => ErrorKind::Unavailable,
            ClientError::Protocol { .. }
            | ClientError::Malformed { .. }
            | ClientError::Records { .. }
            | ClientError::RefusedUnknown { .. } => ErrorKind::Corrupt,
            ClientError::Refused { code, .. } => match code {
                code if code.is_retriable() => ErrorKind::Retry,
                ErrorCode::TopicAlreadyExists | ErrorCode::NonEmptyGroup => ErrorKind::Conflict,
                ErrorCode::GroupIdNotFound | ErrorCode::ResourceNotFound => ErrorKind::NotFound,
                code if ends_producer(*code) => ErrorKind::Fenced,
                ErrorCode::FencedInstanceId | ErrorCode::FencedMemberEpoch => ErrorKind::Fenced,
                _ => ErrorKind::Invalid,
            },
        }
    }
}

/// Whether a producer cannot go on with what it has, and can when it takes its id anew: somebody else took it, or the
/// node ended its transaction (it took too long), forgot the id (nobody used it for long) or where the sequence was.
fn ends_producer(code: ErrorCode) -> bool {
    use ErrorCode::{
        InvalidProducerEpoch, InvalidProducerIdMapping, InvalidTxnState, OutOfOrderSequenceNumber,
        ProducerFenced, TransactionAbortable, UnknownProducerId,
    };
    // A commit behind the end by time-out is InvalidTxnState: the epoch is the one before, which only a repeat may have.
    matches!(
        code,
        ProducerFenced
            | InvalidProducerEpoch
            | InvalidTxnState
            | InvalidProducerIdMapping
            | UnknownProducerId
            | OutOfOrderSequenceNumber
            | TransactionAbortable
    )
}

/// An error unless the code is zero; `what` names the thing that the code is about.
pub(crate) fn check(
    code: i16,
    message: Option<&String>,
    what: impl FnOnce() -> String,
) -> Result<(), ClientError> {
    match ErrorCode::from_number(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(code) => Err(ClientError::Refused { what: what(), code, message: message.cloned() }),
        None => Err(ClientError::RefusedUnknown { what: what(), code }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_lost_its_transaction_is_told_from_who_is_refused() {
        let kind = |code| ClientError::Refused { what: String::new(), code, message: None }.kind();
        for code in [
            ErrorCode::ProducerFenced,
            ErrorCode::InvalidProducerEpoch,
            ErrorCode::InvalidTxnState,
            ErrorCode::InvalidProducerIdMapping,
            ErrorCode::UnknownProducerId,
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::TransactionAbortable,
        ] {
            assert_eq!(kind(code), ErrorKind::Fenced, "{code}");
        }
        assert_eq!(kind(ErrorCode::ConcurrentTransactions), ErrorKind::Retry);
        assert_eq!(kind(ErrorCode::TransactionalIdAuthorizationFailed), ErrorKind::Invalid);
    }
}
