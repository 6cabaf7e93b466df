//! The options of tables that lookup joins ask, as Flink names them: which answers are kept, and how often a failure is
//! tried again.

use crate::{option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::plan::LookupCache;
use dataflow::table::TableDefinition;

pub(crate) const CACHE: OptionSpec = optional(
    "lookup.cache",
    OptionKind::OneOf(&["NONE", "PARTIAL", "none", "partial"]),
    Some("NONE"),
    "Which answers of lookup joins are kept: none, or those that were asked for. FULL is not supported yet.",
    "PARTIAL",
);
pub(crate) const MAX_ROWS: OptionSpec = optional(
    "lookup.partial-cache.max-rows",
    OptionKind::Integer { min: 0, max: i64::MAX },
    None,
    "Keys that are kept at most; those that were not used again since they came go first.",
    "10000",
);
pub(crate) const AFTER_WRITE: OptionSpec = optional(
    "lookup.partial-cache.expire-after-write",
    OptionKind::Duration,
    None,
    "An answer that is so old is asked for again.",
    "10 min",
);
pub(crate) const AFTER_ACCESS: OptionSpec = optional(
    "lookup.partial-cache.expire-after-access",
    OptionKind::Duration,
    None,
    "An answer that was not used for so long is forgotten.",
    "1 h",
);
pub(crate) const MISSING_KEY: OptionSpec = optional(
    "lookup.partial-cache.cache-missing-key",
    OptionKind::Boolean,
    Some("true"),
    "Keep also that there is nothing under a key.",
    "false",
);
pub(crate) const OLDER_MAX_ROWS: OptionSpec = optional(
    "lookup.cache.max-rows",
    OptionKind::Integer { min: -1, max: i64::MAX },
    None,
    "The older name of `lookup.partial-cache.max-rows`; together with `lookup.cache.ttl` it turns the cache on.",
    "10000",
);
pub(crate) const OLDER_TTL: OptionSpec = optional(
    "lookup.cache.ttl",
    OptionKind::Duration,
    None,
    "The older name of `lookup.partial-cache.expire-after-write`.",
    "10 min",
);
pub(crate) const OLDER_MISSING_KEY: OptionSpec = optional(
    "lookup.cache.caching-missing-key",
    OptionKind::Boolean,
    Some("true"),
    "The older name of `lookup.partial-cache.cache-missing-key`.",
    "false",
);
pub(crate) const RETRIES: OptionSpec = optional(
    "lookup.max-retries",
    OptionKind::Integer { min: 0, max: 1000 },
    Some("3"),
    "How often a lookup that failed is tried again before the job fails; the pause doubles each time.",
    "10",
);

/// Which answers are kept.
pub(crate) fn cache(
    table: &TableDefinition,
    options: &Options,
) -> Result<Option<LookupCache>, ConnectorError> {
    let count = |key: &str| options.integer(key).and_then(|count| u64::try_from(count).ok());
    let is_partial = options.text("lookup.cache").is_some_and(|cache| cache.eq_ignore_ascii_case("PARTIAL"));
    if !is_partial {
        // As Flink has it, the older options count only together.
        let older = count("lookup.cache.max-rows").filter(|rows| *rows > 0);
        let older = older.zip(options.duration_ms("lookup.cache.ttl").filter(|ms| *ms > 0));
        return Ok(older.map(|(rows, ttl_ms)| LookupCache {
            keys_max: Some(rows),
            expire_after_write_ms: Some(ttl_ms),
            expire_after_access_ms: None,
            caches_missing_keys: options.boolean("lookup.cache.caching-missing-key"),
        }));
    }
    let cache = LookupCache {
        keys_max: count("lookup.partial-cache.max-rows"),
        expire_after_write_ms: options.duration_ms("lookup.partial-cache.expire-after-write"),
        expire_after_access_ms: options.duration_ms("lookup.partial-cache.expire-after-access"),
        caches_missing_keys: options.boolean("lookup.partial-cache.cache-missing-key"),
    };
    if (cache.keys_max, cache.expire_after_write_ms, cache.expire_after_access_ms) == (None, None, None) {
        let message = "a cache that never forgets would grow and never see a change; set \
                       'lookup.partial-cache.max-rows', 'lookup.partial-cache.expire-after-write' or \
                       'lookup.partial-cache.expire-after-access'";
        return Err(option_problem(table, "lookup.cache", message));
    }
    Ok(Some(cache))
}

/// How often a lookup that failed is tried again.
pub(crate) fn retries_max(options: &Options) -> u32 {
    options.integer("lookup.max-retries").and_then(|count| u32::try_from(count).ok()).unwrap_or(3)
}
