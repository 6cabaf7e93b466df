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
        Refusal::new(404, "HTTP 404 Not Found")
    }

    pub(crate) fn subject_not_found(subject: &str) -> Refusal {
        Refusal::new(40401, format!("Subject '{subject}' not found."))
    }

    pub(crate) fn version_not_found(version: &str) -> Refusal {
        Refusal::new(40402, format!("Version {version} not found."))
    }

    pub(crate) fn schema_not_found() -> Refusal {
        Refusal::new(40403, "Schema not found")
    }

    pub(crate) fn id_not_found(id: u32) -> Refusal {
        Refusal::new(40403, format!("Schema {id} not found"))
    }

    pub(crate) fn subject_soft_deleted(subject: &str) -> Refusal {
        let hint = "delete it with permanent=true to remove it for good";
        Refusal::new(40404, format!("Subject '{subject}' was soft deleted; {hint}"))
    }

    pub(crate) fn subject_not_soft_deleted(subject: &str) -> Refusal {
        Refusal::new(40405, format!("Subject '{subject}' must be deleted without permanent=true first"))
    }

    pub(crate) fn version_soft_deleted(subject: &str, version: u32) -> Refusal {
        let hint = "delete it with permanent=true to remove it for good";
        Refusal::new(40406, format!("Subject '{subject}' Version {version} was soft deleted; {hint}"))
    }

    pub(crate) fn version_not_soft_deleted(subject: &str, version: u32) -> Refusal {
        let message =
            format!("Subject '{subject}' Version {version} must be deleted without permanent=true first");
        Refusal::new(40407, message)
    }

    pub(crate) fn no_own_compatibility(subject: &str) -> Refusal {
        Refusal::new(
            40408,
            format!("Subject '{subject}' does not have subject-level compatibility configured"),
        )
    }

    pub(crate) fn no_own_mode(subject: &str) -> Refusal {
        Refusal::new(40409, format!("Subject '{subject}' does not have subject-level mode configured"))
    }

    pub(crate) fn incompatible(subject: &str, details: &str) -> Refusal {
        let message = "Schema being registered is incompatible with an earlier schema for subject";
        Refusal::new(409, format!("{message} \"{subject}\", details: {details}"))
    }

    pub(crate) fn invalid_schema(reason: impl std::fmt::Display) -> Refusal {
        Refusal::new(42201, format!("Invalid schema: {reason}"))
    }

    pub(crate) fn invalid_version(version: &str) -> Refusal {
        let allowed = "Allowed values are between [1, 2^31-1] and the string \"latest\"";
        Refusal::new(42202, format!("The specified version '{version}' is not a valid version id. {allowed}"))
    }

    pub(crate) fn invalid_compatibility() -> Refusal {
        let allowed = "Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and \
                       full_transitive";
        Refusal::new(42203, format!("Invalid compatibility level. {allowed}"))
    }

    pub(crate) fn invalid_mode() -> Refusal {
        let allowed = "Valid values are READWRITE, READONLY, READONLY_OVERRIDE and IMPORT.";
        Refusal::new(42204, format!("Invalid mode. {allowed}"))
    }

    pub(crate) fn not_permitted(message: impl Into<String>) -> Refusal {
        Refusal::new(42205, message)
    }

    pub(crate) fn referenced(subject: &str, version: u32) -> Refusal {
        let key = format!("{{magic=1,keytype=SCHEMA,subject={subject},version={version}}}");
        Refusal::new(42206, format!("One or more references exist to the schema {key}."))
    }

    pub(crate) fn other_id(known: u32, given: u32) -> Refusal {
        Refusal::new(42207, format!("Schema already registered with id {known} instead of input id {given}"))
    }

    pub(crate) fn invalid_subject(subject: &str) -> Refusal {
        Refusal::new(42208, format!("The specified subject '{subject}' is not a valid subject."))
    }

    pub(crate) fn too_large(bytes: usize, limit: usize) -> Refusal {
        Refusal::new(42209, format!("the schema has bytes={bytes}, which are more than {limit}"))
    }

    pub(crate) fn invalid_rules(reason: &str) -> Refusal {
        Refusal::new(42210, format!("Invalid rule set: {reason}"))
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
        Refusal::new(code, format!("Error in the backend data store: {error}"))
    }
}
