//! A decision under the append lock that needs something first that cannot be had there: it is fetched without the lock,
//! and decided again.

use crate::errors::ApiError;
use eventlog::LogError;
use kafka_wire::error_code::ErrorCode;

pub(crate) enum Undecided<N> {
    Needs(N),
    Refused(ApiError),
}

impl<N> From<LogError> for Undecided<N> {
    fn from(error: LogError) -> Undecided<N> {
        Undecided::Refused(error.into())
    }
}

impl<N> From<ApiError> for Undecided<N> {
    fn from(error: ApiError) -> Undecided<N> {
        Undecided::Refused(error)
    }
}

impl<N> From<ErrorCode> for Undecided<N> {
    fn from(error: ErrorCode) -> Undecided<N> {
        Undecided::Refused(error.into())
    }
}
