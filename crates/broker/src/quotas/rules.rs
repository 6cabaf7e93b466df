//! Which quotas are set, and the log records they are a fold of (ADR: users and access rules).
//!
//! A request is judged by one immutable value, as with access rules. A record is applied idempotently.

use super::QuotaKey;
use super::entity::{Entity, Name};
use crate::sync::lock;
use base::codec::{CodecError, FieldReader, FieldWriter};
use eventlog::{Entry, Fold, Layer};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The name under which the log keeps the checkpoints.
pub const QUOTAS_LAYER: &str = "quotas";

const CHECKPOINT_VERSION: u8 = 1;
const QUOTA_SET: u8 = 1;
const QUOTA_REMOVED: u8 = 2;

const OF_USER: u8 = 1;
const OF_CLIENT: u8 = 2;
const OF_USER_CLIENT: u8 = 3;
const OF_IP: u8 = 4;

/// A kind, a name's kind, a key and a value.
const QUOTA_BYTES_MIN: usize = 11;

/// What one log record changes.
#[derive(Debug, Clone, PartialEq)]
pub enum QuotaChange {
    Set { entity: Entity, key: QuotaKey, value: f64 },
    Removed { entity: Entity, key: QuotaKey },
}

impl QuotaChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        match self {
            QuotaChange::Set { entity, key, value } => {
                out.u8(QUOTA_SET);
                put_quota(&mut out, entity, *key, *value);
            }
            QuotaChange::Removed { entity, key } => {
                out.u8(QUOTA_REMOVED);
                put_entity(&mut out, entity);
                out.u8(key.number());
            }
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<QuotaChange, CodecError> {
        let mut reader = FieldReader::new(bytes);
        let change = match reader.u8()? {
            QUOTA_SET => set(&mut reader)?,
            QUOTA_REMOVED => {
                let entity = entity(&mut reader)?;
                QuotaChange::Removed { entity, key: key(&mut reader)? }
            }
            _ => return Err(CodecError { what: "an unknown kind of change to quotas" }),
        };
        reader.finish()?;
        Ok(change)
    }
}

fn put_quota(out: &mut FieldWriter, entity: &Entity, key: QuotaKey, value: f64) {
    put_entity(out, entity);
    out.u8(key.number()).u64(value.to_bits());
}

fn put_entity(out: &mut FieldWriter, entity: &Entity) {
    match entity {
        Entity::User(name) => put_name(out.u8(OF_USER), name),
        Entity::Client(name) => put_name(out.u8(OF_CLIENT), name),
        Entity::UserClient { user, client } => {
            put_name(out.u8(OF_USER_CLIENT), user);
            put_name(out, client);
        }
        Entity::Ip(name) => put_name(out.u8(OF_IP), name),
    }
}

fn put_name(out: &mut FieldWriter, name: &Name) {
    match name {
        Name::Default => out.u8(0),
        Name::Of(name) => out.u8(1).text(name),
    };
}

fn set(reader: &mut FieldReader<'_>) -> Result<QuotaChange, CodecError> {
    let entity = entity(reader)?;
    let key = key(reader)?;
    let value = f64::from_bits(reader.u64()?);
    if !value.is_finite() || value <= 0.0 {
        return Err(CodecError { what: "a quota that is not above 0" });
    }
    Ok(QuotaChange::Set { entity, key, value })
}

fn entity(reader: &mut FieldReader<'_>) -> Result<Entity, CodecError> {
    Ok(match reader.u8()? {
        OF_USER => Entity::User(name(reader)?),
        OF_CLIENT => Entity::Client(name(reader)?),
        OF_USER_CLIENT => Entity::UserClient { user: name(reader)?, client: name(reader)? },
        OF_IP => Entity::Ip(name(reader)?),
        _ => return Err(CodecError { what: "an unknown kind of entity with a quota" }),
    })
}

fn name(reader: &mut FieldReader<'_>) -> Result<Name, CodecError> {
    match reader.u8()? {
        0 => Ok(Name::Default),
        1 => Ok(Name::Of(reader.text()?)),
        _ => Err(CodecError { what: "an unknown kind of name with a quota" }),
    }
}

fn key(reader: &mut FieldReader<'_>) -> Result<QuotaKey, CodecError> {
    QuotaKey::from_number(reader.u8()?).ok_or(CodecError { what: "an unknown key of a quota" })
}

/// The limits of one entity.
pub type Limits = BTreeMap<QuotaKey, f64>;

/// Something by name, and what all others have.
#[derive(Debug, Clone, Default)]
struct ByName<T> {
    default: T,
    named: BTreeMap<String, T>,
}

impl<T: Default> ByName<T> {
    fn get(&self, name: &str) -> Option<&T> {
        self.named.get(name)
    }

    fn slot(&mut self, name: &Name) -> &mut T {
        match name {
            Name::Default => &mut self.default,
            Name::Of(name) => self.named.entry(name.clone()).or_default(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (Name, &T)> {
        let named = self.named.iter().map(|(name, value)| (Name::Of(name.clone()), value));
        std::iter::once((Name::Default, &self.default)).chain(named)
    }
}

#[derive(Debug, Clone, Default)]
struct OfUser {
    own: Limits,
    clients: ByName<Limits>,
}

impl OfUser {
    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.clients.default.is_empty() && self.clients.named.is_empty()
    }
}

/// Who shares what a limit allows: each user with each of its client ids alone, a user, or a client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sharing {
    UserClient,
    User,
    Client,
}

/// All quotas.
#[derive(Debug, Clone, Default)]
pub struct QuotaRules {
    users: ByName<OfUser>,
    clients: ByName<Limits>,
    ips: ByName<Limits>,
    count: usize,
}

impl QuotaRules {
    /// From the last checkpoint, if there is one.
    pub fn restore(bytes: Option<&[u8]>) -> Result<QuotaRules, CodecError> {
        let mut rules = QuotaRules::default();
        let Some(bytes) = bytes else { return Ok(rules) };
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != CHECKPOINT_VERSION {
            return Err(CodecError { what: "a checkpoint of quotas from a newer version" });
        }
        for _ in 0..reader.count(QUOTA_BYTES_MIN)? {
            let change = set(&mut reader)?;
            rules.apply(&change);
        }
        reader.finish()?;
        Ok(rules)
    }

    pub fn checkpoint(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(CHECKPOINT_VERSION).u32(u32::try_from(self.count).unwrap_or(u32::MAX));
        for (entity, limits) in self.entities() {
            limits.iter().for_each(|(key, value)| put_quota(&mut out, &entity, *key, *value));
        }
        out.finish()
    }

    pub fn apply(&mut self, change: &QuotaChange) {
        match change {
            QuotaChange::Set { entity, key, value } => {
                let before = self.slot(entity).insert(*key, *value);
                self.count += usize::from(before.is_none());
            }
            QuotaChange::Removed { entity, key } => {
                let before = self.slot(entity).remove(key);
                self.count -= usize::from(before.is_some());
                self.tidy(entity);
            }
        }
    }

    fn slot(&mut self, entity: &Entity) -> &mut Limits {
        match entity {
            Entity::User(user) => &mut self.users.slot(user).own,
            Entity::Client(client) => self.clients.slot(client),
            Entity::UserClient { user, client } => self.users.slot(user).clients.slot(client),
            Entity::Ip(ip) => self.ips.slot(ip),
        }
    }

    /// Forgets names without a limit.
    fn tidy(&mut self, entity: &Entity) {
        let tidy = |limits: &mut ByName<Limits>| limits.named.retain(|_, limits| !limits.is_empty());
        match entity {
            Entity::Client(_) => tidy(&mut self.clients),
            Entity::Ip(_) => tidy(&mut self.ips),
            Entity::User(user) | Entity::UserClient { user, .. } => {
                tidy(&mut self.users.slot(user).clients);
                self.users.named.retain(|_, of_user| !of_user.is_empty());
            }
        }
    }

    /// How many limits there are.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn get(&self, entity: &Entity) -> Option<&Limits> {
        match entity {
            Entity::User(user) => self.of_user(user).map(|of_user| &of_user.own),
            Entity::Client(client) => named(&self.clients, client),
            Entity::UserClient { user, client } => named(&self.of_user(user)?.clients, client),
            Entity::Ip(ip) => named(&self.ips, ip),
        }
    }

    fn of_user(&self, user: &Name) -> Option<&OfUser> {
        named(&self.users, user)
    }

    /// Whoever has limits, with them.
    pub fn entities(&self) -> impl Iterator<Item = (Entity, &Limits)> {
        let of_users = self.users.iter().flat_map(|(user, of_user)| {
            let own = std::iter::once((Entity::User(user.clone()), &of_user.own));
            let clients = of_user.clients.iter();
            own.chain(
                clients
                    .map(move |(client, limits)| (Entity::UserClient { user: user.clone(), client }, limits)),
            )
        });
        let clients = self.clients.iter().map(|(client, limits)| (Entity::Client(client), limits));
        let ips = self.ips.iter().map(|(ip, limits)| (Entity::Ip(ip), limits));
        of_users.chain(clients).chain(ips).filter(|(_, limits)| !limits.is_empty())
    }

    /// The limit that counts for a client, and who shares it; Kafka's order.
    pub fn limit_of_client(&self, key: QuotaKey, user: &str, client: &str) -> Option<(Sharing, f64)> {
        use Sharing::{Client, User, UserClient};
        let (named, default) = (self.users.get(user), &self.users.default);
        let in_order = [
            (UserClient, named.and_then(|of_user| of_user.clients.get(client))),
            (UserClient, named.map(|of_user| &of_user.clients.default)),
            (User, named.map(|of_user| &of_user.own)),
            (UserClient, default.clients.get(client)),
            (UserClient, Some(&default.clients.default)),
            (User, Some(&default.own)),
            (Client, self.clients.get(client)),
            (Client, Some(&self.clients.default)),
        ];
        in_order.into_iter().find_map(|(sharing, limits)| Some((sharing, *limits?.get(&key)?)))
    }

    /// The limit of connections from an address.
    pub fn limit_of_address(&self, address: &str) -> Option<f64> {
        let limits = [self.ips.get(address), Some(&self.ips.default)];
        limits.into_iter().flatten().find_map(|limits| limits.get(&QuotaKey::ConnectionCreationRate)).copied()
    }
}

fn named<'a, T: Default>(all: &'a ByName<T>, name: &Name) -> Option<&'a T> {
    match name {
        Name::Default => Some(&all.default),
        Name::Of(name) => all.get(name),
    }
}

/// The quotas as the log and the APIs share them. Lock order: the log's append lock first.
#[derive(Debug, Default)]
pub struct SharedQuotas {
    /// Whether there is any quota, so that nodes without pay nothing for them.
    any: AtomicBool,
    rules: Mutex<Arc<QuotaRules>>,
}

impl SharedQuotas {
    pub fn new(rules: QuotaRules) -> SharedQuotas {
        SharedQuotas { any: AtomicBool::new(rules.count() > 0), rules: Mutex::new(Arc::new(rules)) }
    }

    pub fn current(&self) -> Arc<QuotaRules> {
        lock(&self.rules).clone()
    }

    /// The quotas, if there are any.
    pub fn any(&self) -> Option<Arc<QuotaRules>> {
        self.any.load(Ordering::Relaxed).then(|| self.current())
    }

    pub fn apply(&self, change: &QuotaChange) {
        let mut rules = lock(&self.rules);
        let rules = Arc::make_mut(&mut rules);
        rules.apply(change);
        self.any.store(rules.count() > 0, Ordering::Relaxed);
    }

    /// Takes an entry of the replay; entries of other layers do nothing.
    pub fn replay(&self, entry: &Entry<'_>) -> Result<(), CodecError> {
        if let Entry::Layer { layer: Layer::QUOTAS, bytes } = entry {
            self.apply(&QuotaChange::decode(bytes)?);
        }
        Ok(())
    }
}

impl Fold for SharedQuotas {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.current().checkpoint());
    }
}
