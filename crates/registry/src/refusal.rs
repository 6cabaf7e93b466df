//! Refusals with the numbers that Confluent's clients know; the first three digits are the HTTP status.

use base::ErrorKind;
use eventlog::LogError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: u32,
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    pub(crate) fn status(&self) -> u16 {
        let mut status = self.code;
        while status >= 1000 {
            status /= 100;
        }
        status as u16
    }

    pub(crate) fn not_found() -> Refusal {
        Refusal::new(404, "the registry has nothing under this path")
    }

    pub(crate) fn subject_not_found(subject: &str) -> Refusal {
        Refusal::new(40401, format!("there is no subject {subject}"))
    }

    pub(crate) fn version_not_found(version: &str) -> Refusal {
        Refusal::new(40402, format!("the subject has no version {version}"))
    }

    pub(crate) fn schema_not_found() -> Refusal {
        Refusal::new(40403, "the subject has no version with this schema")
    }

    pub(crate) fn id_not_found(id: u32) -> Refusal {
        Refusal::new(40403, format!("no schema has the id {id}"))
    }

    pub(crate) fn subject_soft_deleted(subject: &str) -> Refusal {
        let message =
            format!("the subject {subject} is deleted already; permanent=true removes what is left of it");
        Refusal::new(40404, message)
    }

    pub(crate) fn subject_not_soft_deleted(subject: &str) -> Refusal {
        Refusal::new(40405, format!("delete the subject {subject} without permanent=true, then with it"))
    }

    pub(crate) fn version_soft_deleted(subject: &str, version: u32) -> Refusal {
        let message = format!(
            "version {version} of {subject} is deleted already; permanent=true removes what is left of it"
        );
        Refusal::new(40406, message)
    }

    pub(crate) fn version_not_soft_deleted(subject: &str, version: u32) -> Refusal {
        let message = format!("delete version {version} of {subject} without permanent=true, then with it");
        Refusal::new(40407, message)
    }

    pub(crate) fn no_own_compatibility(subject: &str) -> Refusal {
        Refusal::new(
            40408,
            format!(
                "{subject} has no compatibility of its own; defaultToGlobal=true shows the one that holds"
            ),
        )
    }

    pub(crate) fn no_own_mode(subject: &str) -> Refusal {
        Refusal::new(
            40409,
            format!("{subject} has no mode of its own; defaultToGlobal=true shows the one that holds"),
        )
    }

    pub(crate) fn incompatible(subject: &str, details: &str) -> Refusal {
        let message = format!("the schema does not fit earlier versions of {subject}: {details}");
        Refusal::new(409, message)
    }

    pub(crate) fn invalid_schema(reason: impl std::fmt::Display) -> Refusal {
        Refusal::new(42201, format!("this is no valid schema: {reason}"))
    }

    pub(crate) fn invalid_version(version: &str) -> Refusal {
        Refusal::new(42202, format!("{version} is no version: give a number from 1 to 2147483647, or latest"))
    }

    pub(crate) fn invalid_compatibility() -> Refusal {
        let allowed =
            "NONE, BACKWARD, FORWARD, FULL, BACKWARD_TRANSITIVE, FORWARD_TRANSITIVE or FULL_TRANSITIVE";
        Refusal::new(42203, format!("the compatibility must be {allowed}"))
    }

    pub(crate) fn invalid_mode() -> Refusal {
        Refusal::new(42204, "the mode must be READWRITE, READONLY, READONLY_OVERRIDE or IMPORT")
    }

    pub(crate) fn not_permitted(message: impl Into<String>) -> Refusal {
        Refusal::new(42205, message)
    }

    pub(crate) fn referenced(subject: &str, version: u32) -> Refusal {
        let message = format!("other schemas refer to version {version} of {subject}: delete them first");
        Refusal::new(42206, message)
    }

    pub(crate) fn other_id(known: u32, given: u32) -> Refusal {
        Refusal::new(42207, format!("the schema has the id {known} already, not {given}"))
    }

    pub(crate) fn invalid_subject(subject: &str) -> Refusal {
        Refusal::new(42208, format!("{subject} cannot be the name of a subject"))
    }

    pub(crate) fn too_large(bytes: usize, limit: usize) -> Refusal {
        Refusal::new(42209, format!("the schema has bytes={bytes}, which are more than {limit}"))
    }

    pub(crate) fn invalid_rules(reason: &str) -> Refusal {
        Refusal::new(42210, format!("the rule set cannot be used: {reason}"))
    }

    pub(crate) fn undecided() -> Refusal {
        let message = "a client has a transaction open in the topic _schemas: try again when it has ended";
        Refusal::new(503, message)
    }

    pub(crate) fn unprocessable(message: impl Into<String>) -> Refusal {
        Refusal::new(422, message)
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Refusal {
        let code = match error.kind() {
            // The log is busy or full: a while later it may not be.
            ErrorKind::Retry | ErrorKind::Unavailable => 503,
            _ => 50001,
        };
        Refusal::new(code, format!("the log did not take the change: {error}"))
    }
}
