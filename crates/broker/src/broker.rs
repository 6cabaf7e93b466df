//! The broker: the log, the state that is a fold of it, the groups, and the door to the Kafka APIs.
//!
//! It is synchronous and deterministic: `handle` takes a request and the time, and answers or says
//! what it waits for. Lock order: the log's append lock, then the coordinator, then the state, the
//! members of share groups, their state, and the deadlines of transactions; the session, ticket and sensor locks
//! are leaves.

use crate::api;
use crate::budget::Budget;
use crate::buffers::Buffers;
use crate::call::{Call, Now, Outcome, Peer, ReplyTo};
use crate::config::BrokerConfig;
use crate::errors::ApiError;
use crate::group::{Coordinator, Event, Ticket};
use crate::metrics::{Counters, read};
use crate::produce_spans::ProduceSpans;
use crate::quotas::{QUOTAS_LAYER, QuotaChange, QuotaRules, Sensors, SharedQuotas};
use crate::security::{Rules, RulesChange, SharedRules, Throttle, USERS_LAYER, permit_name};
use crate::sessions::Sessions;
use crate::settings::{SETTINGS_LAYER, Settings, SharedSettings};
use crate::share::{SHARE_LAYER, ShareGroups, ShareMembers, SharedShareGroups};
use crate::state::producers::{ID_BLOCK, IDS_PER_EPOCH};
use crate::state::{BrokerState, DecodeError, LAYER_NAME, SharedState, encode_reservation};
use crate::sync::lock;
use crate::tickets::{Awaited, Tickets};
use crate::transactions::Deadlines;
use crate::upkeep::Upkeep;
use crate::views::TrafficCounters;
use auth::jwt::TokenVerifier;
use base::{Lsn, PartitionId, TopicId};
use bytes::Bytes;
use eventlog::{Bounds, Entry, EventLog, Fold, Layer, LogError, Recovery, Topic};
use kafka_wire::error_code::ErrorCode;
use os::Os;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use traces::Tracer;

/// What the broker rebuilds while the log is recovered: give its fold to `Recovery::start`.
pub struct Recovered {
    state: Arc<SharedState>,
    rules: Arc<SharedRules>,
    quotas: Arc<SharedQuotas>,
    settings: Arc<SharedSettings>,
    share: Arc<SharedShareGroups>,
}

impl Recovered {
    /// The state at the last checkpoint.
    pub fn from_checkpoint(recovery: &Recovery) -> Result<Recovered, DecodeError> {
        Recovered::restore(|name| recovery.checkpoint(name))
    }

    /// The state at a checkpoint, which has parts by the names of the folds; none is the state before the first entry.
    pub fn restore<'a>(part: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Recovered, DecodeError> {
        let state = BrokerState::restore(part(LAYER_NAME))?;
        let rules = Rules::restore(part(USERS_LAYER)).map_err(|error| DecodeError(error.what))?;
        let quotas = QuotaRules::restore(part(QUOTAS_LAYER)).map_err(|error| DecodeError(error.what))?;
        let settings = Settings::restore(part(SETTINGS_LAYER)).map_err(|error| DecodeError(error.what))?;
        let share = ShareGroups::restore(part(SHARE_LAYER)).map_err(|error| DecodeError(error.what))?;
        Ok(Recovered {
            state: Arc::new(SharedState(Mutex::new(state))),
            rules: Arc::new(SharedRules::new(rules)),
            quotas: Arc::new(SharedQuotas::new(quotas)),
            settings: Arc::new(SharedSettings::new(settings)),
            share: Arc::new(SharedShareGroups::new(share)),
        })
    }

    /// Takes an entry of the replay; entries of other layers do nothing.
    pub fn apply(&self, lsn: Lsn, entry: &Entry<'_>) -> Result<(), DecodeError> {
        self.rules.replay(entry).map_err(|error| DecodeError(error.what))?;
        self.quotas.replay(entry).map_err(|error| DecodeError(error.what))?;
        self.settings.replay(entry).map_err(|error| DecodeError(error.what))?;
        self.share.replay(entry).map_err(|error| DecodeError(error.what))?;
        lock(&self.state.0).apply(lsn, entry)
    }

    /// The names and the folds under which the log keeps the broker's checkpoints.
    pub fn folds(&self) -> Vec<(&'static str, Arc<dyn Fold>)> {
        vec![
            (LAYER_NAME, self.state.clone()),
            (USERS_LAYER, self.rules.clone()),
            (QUOTAS_LAYER, self.quotas.clone()),
            (SETTINGS_LAYER, self.settings.clone()),
            (SHARE_LAYER, self.share.clone()),
        ]
    }
}

/// Producer ids that are reserved in the log but not handed out.
#[derive(Debug, Default)]
struct IdBlock {
    next: i64,
    end: i64,
    /// Durable from here on.
    lsn: Lsn,
}

pub struct Broker {
    pub(crate) log: EventLog,
    pub(crate) os: Os,
    /// As the node was started.
    pub(crate) config: BrokerConfig,
    pub(crate) state: Arc<SharedState>,
    pub(crate) coordinator: Mutex<Coordinator>,
    pub(crate) sessions: Mutex<Sessions>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) traffic: TrafficCounters,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) answers: Arc<Budget>,
    pub(crate) requests: Arc<Budget>,
    pub(crate) counters: Counters,
    pub(crate) deadlines: Mutex<Deadlines>,
    pub(crate) upkeep: Mutex<Upkeep>,
    opened: Now,
    pub(crate) rules: Arc<SharedRules>,
    pub(crate) quotas: Arc<SharedQuotas>,
    pub(crate) sensors: Mutex<Sensors>,
    pub(crate) settings: Arc<SharedSettings>,
    in_force: Mutex<Arc<BrokerConfig>>,
    pub(crate) share: Arc<SharedShareGroups>,
    pub(crate) share_members: Mutex<ShareMembers>,
    pub(crate) throttle: Mutex<Throttle>,
    /// Checks the tokens of OAUTHBEARER; whoever serves the broker gives it the keys.
    pub(crate) tokens: Option<Arc<TokenVerifier>>,
    any_transaction: Arc<AtomicBool>,
    producer_ids: Mutex<IdBlock>,
    cluster_id: String,
    deadline_watch: OnceLock<Box<dyn Fn(i64) + Send + Sync>>,
    connection_watch: OnceLock<Box<dyn Fn() + Send + Sync>>,
    tracer: Tracer,
    /// None where nobody wants traces.
    pub(crate) produce_spans: Option<Arc<ProduceSpans>>,
}

impl Broker {
    /// The broker over a started log; `recovered` has seen the whole replay. The cluster id is made
    /// and logged at the first start.
    pub fn new(
        log: EventLog,
        recovered: Recovered,
        config: BrokerConfig,
        os: Os,
    ) -> Result<Broker, LogError> {
        let Recovered { state, rules, quotas, settings, share } = recovered;
        let known = lock(&state.0).cluster_id.clone();
        let cluster_id = match known {
            Some(cluster_id) => cluster_id,
            None => {
                let cluster_id = random_uuid_base64(&os);
                log.append(|frame| {
                    frame.layer(Layer::PRODUCERS, &crate::state::encode_cluster_id(&cluster_id))?;
                    lock(&state.0).cluster_id = Some(cluster_id.clone());
                    Ok::<_, LogError>(())
                })?;
                cluster_id
            }
        };
        lock(&state.0).retain_partitions(|partition| log.bounds(partition).is_ok());
        {
            let mut state = lock(&state.0);
            let mut shared = lock(&share.0);
            shared.groups.retain_partitions(|partition| log.bounds(partition).is_ok());
            state.share_groups = shared.groups.names().map(str::to_string).collect();
            if shared.groups.iter().any(|(_, _, known)| known.has_dead()) {
                shared.alarm(0);
            }
        }
        let opened = Now::of(&*os.clock);
        let any_transaction = lock(&state.0).partitions.any();
        let tokens = config.security.tokens.as_ref().map(|tokens| tokens.policy.clone());
        let tokens = tokens.map(|policy| Arc::new(TokenVerifier::new(policy)));
        let broker = Broker {
            coordinator: Mutex::new(Coordinator::new(config.group.clone())),
            sessions: Mutex::new(Sessions::new(config.fetch_sessions_max, os.random.clone())),
            tickets: Arc::new(Tickets::default()),
            traffic: TrafficCounters::default(),
            buffers: Arc::default(),
            answers: Budget::of_answers(config.answer_bytes_max),
            requests: Budget::of_requests(config.requests_bytes_max),
            counters: Counters::default(),
            deadlines: Mutex::default(),
            upkeep: Mutex::new(Upkeep::new(&config, opened.monotonic_ms)),
            opened,
            rules,
            quotas,
            sensors: Mutex::default(),
            settings,
            in_force: Mutex::new(Arc::new(config.clone())),
            share,
            share_members: Mutex::default(),
            throttle: Mutex::new(Throttle::default()),
            tokens,
            any_transaction,
            producer_ids: Mutex::new(IdBlock::default()),
            cluster_id,
            deadline_watch: OnceLock::new(),
            connection_watch: OnceLock::new(),
            tracer: Tracer::off(),
            produce_spans: None,
            log,
            os,
            config,
            state,
        };
        broker.put_settings_in_force();
        broker.log.answer_for_transactions(broker.state.clone());
        broker.arm_recovered(opened);
        broker.arm_consumer_groups(opened);
        broker.tidy_partitions();
        Ok(broker)
    }

    /// The same with spans for what is produced.
    pub fn traced(self, tracer: Tracer) -> Broker {
        let produce_spans = ProduceSpans::new(tracer.clone(), self.os.clock.clone()).map(Arc::new);
        Broker { tracer, produce_spans, ..self }
    }

    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Answers one request frame (without its size).
    pub fn handle(&self, frame: Bytes, peer: &Peer, now: Now) -> Outcome {
        api::dispatch(self, frame, peer, now)
    }

    /// Time has passed for the groups and the transactions; returns when to come next. Both in monotonic time.
    pub fn tick(&self, now_ms: i64) -> Option<i64> {
        let now = Now { wall_ms: self.os.clock.now_ms(), monotonic_ms: now_ms };
        self.tick_transactions(now);
        let shared = self.tick_share_groups(now);
        let actions = lock(&self.coordinator).step(Event::Tick, now_ms);
        self.tickets.answer(actions);
        self.tick_consumer_groups(now_ms);
        self.keep_up(now);
        let next = lock(&self.coordinator).next_deadline_ms();
        let upkeep = Some(lock(&self.upkeep).next_ms());
        next.into_iter().chain(shared).chain(lock(&self.deadlines).next()).chain(upkeep).min()
    }

    /// Something is due earlier than the edge knows.
    pub(crate) fn hasten(&self, at_ms: i64) {
        if let Some(watch) = self.deadline_watch.get() {
            watch(at_ms);
        }
    }

    /// The wall clock, but never more than an hour ahead of what the monotonic one explains: a clock that is set
    /// forward must not make everything old at once.
    pub(crate) fn explained_wall_ms(&self, now: Now) -> i64 {
        const AHEAD_MS_MAX: i64 = 3_600_000;
        let up_ms = now.monotonic_ms.saturating_sub(self.opened.monotonic_ms);
        now.wall_ms.min(self.opened.wall_ms.saturating_add(up_ms).saturating_add(AHEAD_MS_MAX))
    }

    /// Has `watch` called with the next time at which `tick` has something to do, whenever a request
    /// may have brought it forward. Only the first call takes effect.
    pub fn watch_deadline(&self, watch: impl Fn(i64) + Send + Sync + 'static) {
        // A second edge over the same broker relies on the first one's ticks.
        let _ = self.deadline_watch.set(Box::new(watch));
    }

    /// Open connections of Kafka clients.
    pub fn connections(&self) -> usize {
        let connections = &self.counters.connections;
        // In this order, so that there are never fewer opened than closed.
        let closed = read(&connections.closed);
        usize::try_from(read(&connections.opened).saturating_sub(closed)).unwrap_or(usize::MAX)
    }

    /// Has `watch` called whenever a Kafka client has connected, on the thread that accepts: other ports share the open
    /// files of the process with that one. Only the first call takes effect.
    pub fn watch_connections(&self, watch: impl Fn() + Send + Sync + 'static) {
        let _ = self.connection_watch.set(Box::new(watch));
    }

    pub(crate) fn connected(&self) {
        if let Some(watch) = self.connection_watch.get() {
            watch();
        }
    }

    /// Hands an event to the coordinator under a new ticket, and its answers to whom they belong; `None` if the event
    /// is not for the coordinator, which is asked under its lock.
    pub(crate) fn step_if(
        &self,
        now_ms: i64,
        is_for_it: impl FnOnce() -> bool,
        event: impl FnOnce(Ticket) -> Event,
    ) -> Option<Awaited> {
        let awaited = self.tickets.open();
        let event = event(awaited.ticket());
        // A heartbeat only moves deadlines away.
        let may_hasten = !matches!(event, Event::Heartbeat(..));
        let (actions, next) = {
            let mut coordinator = lock(&self.coordinator);
            if !is_for_it() {
                return None;
            }
            (coordinator.step(event, now_ms), coordinator.next_deadline_ms())
        };
        self.tickets.answer(actions);
        if let (true, Some(next)) = (may_hasten, next) {
            self.hasten(next);
        }
        Some(awaited)
    }

    pub fn log(&self) -> &EventLog {
        &self.log
    }

    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    pub(crate) fn log_directory(&self) -> &str {
        &self.config.log_directory
    }

    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// An id that no other producer has ever had, and the position that must be durable before it is told.
    pub(crate) fn allocate_producer_id(&self) -> Result<(i64, Lsn), ApiError> {
        loop {
            {
                let mut block = lock(&self.producer_ids);
                if block.next < block.end {
                    let id = block.next;
                    block.next += 1;
                    return Ok((id, block.lsn));
                }
            }
            // Not under the block's lock: the append lock comes first. Two callers may reserve a block
            // each; one of them is skipped.
            let (start, lsn) = self.log.append(|frame| {
                let mut state = lock(&self.state.0);
                // Another node that took over may not know what this one has given out: each has a range of its own.
                let own = i64::try_from(self.log.shipping_epoch()).unwrap_or(0).saturating_mul(IDS_PER_EPOCH);
                let start = state.producers.next_block().max(own);
                let end = start.checked_add(ID_BLOCK).ok_or_else(|| {
                    ApiError::new(ErrorCode::UnknownServerError, "all producer ids are used up")
                })?;
                frame.layer(Layer::PRODUCERS, &encode_reservation(end))?;
                state.producers.reserve(end);
                Ok::<_, ApiError>(start)
            })?;
            let mut block = lock(&self.producer_ids);
            if start >= block.end {
                *block = IdBlock { next: start, end: start + ID_BLOCK, lsn };
            }
        }
    }

    /// The last position of the log, so that an answer can wait until what it tells is durable.
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.log.appended()
    }

    /// Where a reader of committed records must stop.
    pub(crate) fn last_stable_offset(&self, partition: PartitionId, bounds: &Bounds) -> i64 {
        // The bounds were read before: what they show of a transaction came after the flag was set.
        if !self.any_transaction.load(Ordering::Relaxed) {
            return bounds.high_watermark.0;
        }
        let state = lock(&self.state.0);
        state.partitions.last_stable_offset(partition, bounds.log_start.0, bounds.high_watermark.0)
    }

    pub(crate) fn find_topic(&self, name: &str) -> Result<Arc<Topic>, ApiError> {
        self.log.topic(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
            ApiError::new(ErrorCode::UnknownTopicOrPartition, format!("topic '{shown}' does not exist"))
        })
    }

    /// Whether there may be so many partitions, of which `added` would be new. Only what clients create is held to it:
    /// the node's own topics must not fail because of theirs.
    pub(crate) fn check_partition_count(&self, count: usize, added: usize) -> Result<(), ApiError> {
        let most = self.config.partitions_max;
        if count <= most {
            return Ok(());
        }
        let message = format!(
            "{added} more partitions would make {count} on this node, and max.broker.partitions={most}; delete topics \
             that are not needed, ask for fewer partitions, or start the node with a larger max.broker.partitions"
        );
        Err(ApiError::new(ErrorCode::PolicyViolation, message))
    }

    /// Creates a topic for a client.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        config: BTreeMap<String, String>,
    ) -> Result<(TopicId, Lsn), ApiError> {
        self.log.append(|frame| {
            let created = frame.create_topic(name, partitions, config).map_err(partitions_error)?;
            self.check_partition_count(frame.partition_count(), partitions as usize)?;
            Ok(created)
        })
    }

    /// Creates a topic that somebody asked for (auto.create.topics.enable), and says from which
    /// position of the log on it may be told of.
    pub(crate) fn create_topic_by_use(&self, name: &str) -> Result<(Arc<Topic>, Lsn), ApiError> {
        permit_name(name)?;
        let partitions = self.config.partitions_default;
        eventlog::check_topic_name(name)
            .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
        let lsn = match self.create_topic(name, partitions, BTreeMap::new()) {
            Ok((_, lsn)) => lsn,
            // Somebody else was faster.
            Err(error) if error.code == ErrorCode::TopicAlreadyExists => self.log.durable(),
            Err(error) => return Err(error),
        };
        Ok((self.find_topic(name)?, lsn))
    }

    /// The time that deadlines and delays run on.
    pub fn monotonic_ms(&self) -> i64 {
        Now::of(&*self.os.clock).monotonic_ms
    }

    /// What checks the tokens of OAUTHBEARER, if the listener takes them.
    pub fn tokens(&self) -> Option<&Arc<TokenVerifier>> {
        self.tokens.as_ref()
    }

    /// The configuration with what was changed while the node runs; the rest of it is that of `config`.
    pub(crate) fn in_force(&self) -> Arc<BrokerConfig> {
        lock(&self.in_force).clone()
    }

    /// Has those look at the changed settings who do not ask for them.
    pub(crate) fn put_settings_in_force(&self) {
        // Under the lock, so that of two changes the later one stays.
        let mut in_force = lock(&self.in_force);
        let config = Arc::new(self.settings.current().in_force(&self.config));
        self.log.set_topic_defaults(config.topic_defaults());
        self.log.set_compaction(config.compaction);
        lock(&self.upkeep).keep_to(&config);
        *in_force = config;
    }

    /// The users and access rules of now.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.current()
    }

    /// Writes the changes to users and access rules as one frame; in force when this returns.
    pub fn change_rules(&self, mut changes: Vec<RulesChange>) -> Result<Lsn, ApiError> {
        if !self.rules.current().has_decoy_secret() {
            let mut secret = vec![0; 32];
            self.os.random.fill(&mut secret);
            changes.push(RulesChange::DecoySecret(secret));
        }
        let ((), lsn) = self.log.append(|frame| {
            for change in &changes {
                frame.layer(Layer::USERS, &change.encode())?;
            }
            for change in changes.drain(..) {
                self.rules.apply(change);
            }
            Ok::<_, ApiError>(())
        })?;
        Ok(lsn)
    }

    /// Writes the changes to quotas as one frame; in force when this returns.
    pub(crate) fn change_quotas(&self, changes: &[QuotaChange]) -> Result<Lsn, ApiError> {
        let ((), lsn) = self.log.append(|frame| {
            for change in changes {
                frame.layer(Layer::QUOTAS, &change.encode())?;
            }
            changes.iter().for_each(|change| self.quotas.apply(change));
            Ok::<_, ApiError>(())
        })?;
        Ok(lsn)
    }

    /// 22 characters that nobody else has drawn.
    pub(crate) fn fresh_uuid(&self) -> String {
        random_uuid_base64(&self.os)
    }

    /// A member id as Kafka makes them: the client's name, then a random UUID.
    pub(crate) fn fresh_member_id(&self, client_id: &str) -> String {
        let mut bytes = [0; 16];
        self.os.random.fill(&mut bytes);
        format!("{client_id}-{}", TopicId(bytes))
    }
}

/// What a handler needs to build the answer after its call's borrows have ended.
impl Call<'_> {
    /// Waits for the log to be durable up to `lsn`, then sends what `answer` makes of it.
    pub(crate) fn after_durable<M: kafka_wire::Message + 'static>(
        &self,
        lsn: Lsn,
        answer: impl FnOnce(Option<ErrorCode>) -> M + Send + 'static,
    ) -> Outcome {
        after_durable(self.broker, self.reply_to, lsn, answer)
    }
}

impl Call<'_> {
    /// Sends what `answer` makes of it when all that is in the log now is durable: what is told must not be taken
    /// back by a crash.
    pub(crate) fn after_all<M: kafka_wire::Message + 'static>(
        &self,
        answer: impl FnOnce(Option<ErrorCode>) -> M + Send + 'static,
    ) -> Outcome {
        self.after_durable(self.broker.last_lsn(), answer)
    }
}

/// `answer` gets the error if the log was fenced before it became durable.
pub(crate) fn after_durable<M: kafka_wire::Message + 'static>(
    broker: &Broker,
    reply_to: ReplyTo,
    lsn: Lsn,
    answer: impl FnOnce(Option<ErrorCode>) -> M + Send + 'static,
) -> Outcome {
    if broker.log.durable() >= lsn {
        return reply_to.encode(broker, &answer(None));
    }
    if broker.log.fenced().is_some() {
        return reply_to.encode(broker, &answer(Some(ErrorCode::KafkaStorageError)));
    }
    Outcome::wait(crate::call::Until::Durable(lsn), None, move |broker, _, _| {
        after_durable(broker, reply_to, lsn, answer)
    })
}

/// `answer` gets `late` if the log was not shipped so far by the deadline, and the error of a fenced log if it never will be.
pub(crate) fn after_shipped<M: kafka_wire::Message + 'static>(
    broker: &Broker,
    reply_to: ReplyTo,
    lsn: Lsn,
    (deadline_ms, late): (i64, ErrorCode),
    answer: impl FnOnce(Option<ErrorCode>) -> M + Send + 'static,
) -> Outcome {
    if broker.log.shipped() >= Some(lsn) {
        return reply_to.encode(broker, &answer(None));
    }
    if broker.log.fenced().is_some() {
        return reply_to.encode(broker, &answer(Some(ErrorCode::KafkaStorageError)));
    }
    Outcome::wait(crate::call::Until::Shipped(lsn), Some(deadline_ms), move |broker, now_ms, woken| {
        if woken == crate::call::Woken::Deadline && now_ms >= deadline_ms && broker.log.shipped() < Some(lsn)
        {
            return reply_to.encode(broker, &answer(Some(late)));
        }
        after_shipped(broker, reply_to, lsn, (deadline_ms, late), answer)
    })
}

/// A number of partitions that the log does not take.
pub(crate) fn partitions_error(error: LogError) -> ApiError {
    match error {
        LogError::Invalid(message) => ApiError::new(ErrorCode::InvalidPartitions, message),
        other => other.into(),
    }
}

/// 22 characters of URL-safe base64 without padding, as Kafka writes cluster ids.
fn random_uuid_base64(os: &Os) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 16];
    os.random.fill(&mut bytes);
    // Kafka's tools take a leading dash for an option.
    bytes[0] &= 0x7f;
    let number = u128::from_be_bytes(bytes);
    (0..22)
        .map(|index| {
            let shift = 122 - 6 * index;
            let sextet = if shift >= 0 { number >> shift } else { number << -shift };
            char::from(ALPHABET[(sextet & 63) as usize])
        })
        .collect()
}
