//! The keys that tokens are checked with: fetched at the start, again after a time, and soon after a token with a key
//! that nobody knows. While the source does not answer, the keys stay as they were.

use crate::broker::Broker;
use crate::security::{KeySource, TokenConfig};
use auth::https;
use auth::jwks::{KEY_SET_BYTES_MAX, KeySet};
use auth::jwt::TokenVerifier;
use os::Os;
use os::http::Request;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the other side may take to connect, and to each of its answers.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Tokens with unknown keys make the keys be fetched once in this time at most: anybody can send some.
const MISS_INTERVAL_MS: u64 = 10_000;

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of tokens cannot be had: sasl.oauthbearer.jwks.endpoint.url={source_text} reason={reason}")]
pub struct KeysError {
    pub source_text: String,
    pub reason: String,
}

pub(super) struct TokenKeys {
    verifier: Arc<TokenVerifier>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for TokenKeys {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.verifier.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; the keys stay as they are.
            let _ = thread.join();
        }
    }
}

type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// Fetches the keys and goes on doing so. A file that cannot be used is an error at once; an address may come to answer
/// later, and until then no token counts. `None` where no tokens are taken.
pub(super) fn start(broker: &Broker, log: Log) -> Result<Option<TokenKeys>, KeysError> {
    let (Some(config), Some(verifier)) = (&broker.config().security.tokens, broker.tokens()) else {
        return Ok(None);
    };
    let fetcher = Fetcher { os: broker.os.clone(), config: config.clone() };
    let mut failures = 0;
    match (fetcher.fetch(), &config.keys) {
        (Ok(keys), _) => verifier.replace_keys(keys),
        (Err(error), KeySource::File(_)) => return Err(error),
        (Err(error), KeySource::Web(_)) => {
            log(&format!("{error}; no token counts until there are some"));
            failures = 1;
        }
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let (stop, keys) = (stopped.clone(), verifier.clone());
    let started = std::thread::Builder::new()
        .name("token-keys".into())
        .spawn(move || fetcher.run(&keys, &stop, failures, &log));
    let thread = started.map_err(|error| KeysError {
        source_text: text_of(&config.keys),
        reason: format!("no thread to fetch them on: {error}"),
    })?;
    Ok(Some(TokenKeys { verifier: verifier.clone(), stopped, thread: Some(thread) }))
}

fn text_of(source: &KeySource) -> String {
    match source {
        KeySource::File(path) => format!("file:{}", path.display()),
        KeySource::Web(url) => {
            let scheme = if url.tls { "https" } else { "http" };
            // What stands behind a question mark may be a secret.
            let path = url.path.split('?').next().unwrap_or_default();
            format!("{scheme}://{}{path}", url.address())
        }
    }
}

struct Fetcher {
    os: Os,
    config: TokenConfig,
}

impl Fetcher {
    fn run(&self, verifier: &TokenVerifier, stopped: &AtomicBool, mut failures: u32, log: &Log) {
        let now_ms = || self.os.clock.monotonic_ns() / 1_000_000;
        let mut fetched_ms = now_ms();
        loop {
            let pause_ms = match failures {
                0 => self.config.refresh_ms,
                _ => {
                    let doubled = self.config.retry_ms.saturating_mul(1 << (failures - 1).min(20));
                    doubled.min(self.config.retry_ms_max)
                }
            };
            // After a failure the next try comes soon enough; else a token may ask for it.
            let earliest_ms = fetched_ms + pause_ms.min(MISS_INTERVAL_MS);
            let latest_ms = fetched_ms + pause_ms;
            let mut asked = failures > 0;
            loop {
                let until_ms = if asked { earliest_ms } else { latest_ms };
                let left_ms = until_ms.saturating_sub(now_ms());
                if left_ms == 0 {
                    break;
                }
                asked |= verifier.wait_for_miss(Duration::from_millis(left_ms));
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
            }
            let fetched = self.fetch();
            fetched_ms = now_ms();
            match fetched {
                Ok(keys) => {
                    if failures > 0 {
                        log(&format!("the keys of tokens are there: keys={}", keys.len()));
                    }
                    verifier.replace_keys(keys);
                    failures = 0;
                }
                Err(error) => {
                    if failures == 0 {
                        log(&format!("{error}; the keys stay as they were"));
                    }
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    fn fetch(&self) -> Result<KeySet, KeysError> {
        let failed = |reason: String| KeysError { source_text: text_of(&self.config.keys), reason };
        let bytes = match &self.config.keys {
            KeySource::File(path) => {
                let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
                if length > KEY_SET_BYTES_MAX as u64 {
                    return Err(failed(format!(
                        "the file has {length} bytes, more than {KEY_SET_BYTES_MAX}"
                    )));
                }
                std::fs::read(path).map_err(|error| failed(error.to_string()))?
            }
            KeySource::Web(url) => self.ask(url).map_err(failed)?,
        };
        KeySet::parse(&bytes).map_err(|error| failed(error.0))
    }

    fn ask(&self, url: &https::Url) -> Result<Vec<u8>, String> {
        let tls = match url.tls {
            false => None,
            true => {
                Some(Arc::new(auth::tls::client_of_web(&self.config.authorities).map_err(|error| error.0)?))
            }
        };
        let address = url.address();
        let headers = [("Accept", "application/json")];
        let request =
            Request { method: "GET", address: &address, path: &url.path, headers: &headers, body: &[] };
        let tls = tls.as_ref().map(|config| (config, url.host.as_str()));
        let answer = https::exchange(&*self.os.network, tls, &request, TIMEOUT);
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status {
            200 => Ok(answer.body),
            // Another address is one that nobody configured.
            status @ 300..=399 => Err(format!("status {status}: redirections are not followed")),
            status => Err(format!("status {status}")),
        }
    }
}
