//! The options of whatever lies in buckets: who we are to each of the providers, and where they are.

use super::place::{ObjectPlace, Provider};
use crate::aws::options::COUNT as AWS;
use crate::azure::options::{self as azure, COUNT as AZURE};
use crate::google::options::{self as google, STORAGE, STORAGE_COUNT};
use base::options::{OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;

pub(crate) const COUNT: usize = AWS + STORAGE_COUNT + AZURE;

const COMMON: [OptionSpec; COUNT] = {
    let mut all = [crate::aws::options::COMMON[0]; COUNT];
    let mut index = 0;
    while index < COUNT {
        all[index] = if index < AWS {
            crate::aws::options::COMMON[index]
        } else if index < AWS + STORAGE_COUNT {
            STORAGE[index - AWS]
        } else {
            azure::COMMON[index - AWS - STORAGE_COUNT]
        };
        index += 1;
    }
    all
};

/// Some options of a connector, behind those of all.
pub(crate) const fn with_common<const N: usize, const M: usize>(own: [OptionSpec; N]) -> [OptionSpec; M] {
    assert!(N + COUNT == M);
    let mut all = [own[0]; M];
    let mut index = 0;
    while index < M {
        all[index] = if index < N { own[index] } else { COMMON[index - N] };
        index += 1;
    }
    all
}

/// What is wrong with those of a place beyond what one spec can see: of each an option, and the words.
pub(crate) fn mistakes(place: &ObjectPlace, options: &Options) -> Vec<(&'static str, String)> {
    match &place.provider {
        Provider::S3 => crate::aws::options::mistakes(options),
        Provider::Google => google::mistakes(options, &google::OF_STORAGE),
        Provider::Azure(_) => azure::mistakes(options),
    }
}

/// The same of a table.
pub(crate) fn problems(
    place: &ObjectPlace,
    table: &TableDefinition,
    options: &Options,
) -> Vec<ConnectorError> {
    crate::option_problems(table, mistakes(place, options))
}
