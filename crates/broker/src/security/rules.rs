//! Users and access rules, and the log records they are a fold of (ADR: users and access rules).
//!
//! Readers take the whole set as one shared value, so that a request is judged by one state of it and
//! nobody holds a lock meanwhile. A record is applied idempotently: replaying it over a checkpoint
//! that already holds it changes nothing.

use super::acl::{ANY_NAME, Acl, AclFilter, Operation, Pattern, PatternType, Permission, ResourceType};
use crate::sync::lock;
use auth::{Credential, Mechanism};
use base::codec::{CodecError, FieldReader, FieldWriter};
use eventlog::{Entry, Fold, Layer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The name under which the log keeps the checkpoints.
pub const USERS_LAYER: &str = "users";

const CHECKPOINT_VERSION: u8 = 1;
const CREDENTIAL_SET: u8 = 1;
const CREDENTIAL_REMOVED: u8 = 2;
const ACLS_ADDED: u8 = 3;
const ACLS_REMOVED: u8 = 4;
const DECOY_SECRET: u8 = 5;

/// Six lengths or numbers at least.
const ACL_BYTES_MIN: usize = 16;
const CREDENTIAL_BYTES_MIN: usize = 17;

/// What one log record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesChange {
    CredentialSet {
        user: String,
        credential: Credential,
    },
    CredentialRemoved {
        user: String,
        mechanism: Mechanism,
    },
    AclsAdded(Vec<Acl>),
    AclsRemoved(Vec<Acl>),
    /// From which the salts of users that do not exist are made.
    DecoySecret(Vec<u8>),
}

impl RulesChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        match self {
            RulesChange::CredentialSet { user, credential } => {
                out.u8(CREDENTIAL_SET).text(user);
                put_credential(&mut out, credential);
            }
            RulesChange::CredentialRemoved { user, mechanism } => {
                out.u8(CREDENTIAL_REMOVED).text(user).u8(mechanism.number().unsigned_abs());
            }
            RulesChange::AclsAdded(acls) => {
                out.u8(ACLS_ADDED);
                put_acls(&mut out, acls.iter());
            }
            RulesChange::AclsRemoved(acls) => {
                out.u8(ACLS_REMOVED);
                put_acls(&mut out, acls.iter());
            }
            RulesChange::DecoySecret(secret) => {
                out.u8(DECOY_SECRET).bytes(secret);
            }
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<RulesChange, CodecError> {
        let mut reader = FieldReader::new(bytes);
        let change = match reader.u8()? {
            CREDENTIAL_SET => {
                let user = reader.text()?;
                RulesChange::CredentialSet { user, credential: credential(&mut reader)? }
            }
            CREDENTIAL_REMOVED => {
                let user = reader.text()?;
                RulesChange::CredentialRemoved { user, mechanism: mechanism(&mut reader)? }
            }
            ACLS_ADDED => RulesChange::AclsAdded(acls(&mut reader)?),
            ACLS_REMOVED => RulesChange::AclsRemoved(acls(&mut reader)?),
            DECOY_SECRET => RulesChange::DecoySecret(reader.bytes()?.to_vec()),
            _ => return Err(CodecError { what: "an unknown kind of change to users or access rules" }),
        };
        reader.finish()?;
        Ok(change)
    }
}

fn put_credential(out: &mut FieldWriter, credential: &Credential) {
    out.u8(credential.mechanism.number().unsigned_abs())
        .u32(credential.iterations)
        .bytes(&credential.salt)
        .bytes(&credential.stored_key)
        .bytes(&credential.server_key);
}

fn mechanism(reader: &mut FieldReader<'_>) -> Result<Mechanism, CodecError> {
    let number = i8::try_from(reader.u8()?).ok();
    number.and_then(Mechanism::from_number).ok_or(CodecError { what: "an unknown SCRAM mechanism" })
}

fn credential(reader: &mut FieldReader<'_>) -> Result<Credential, CodecError> {
    Ok(Credential {
        mechanism: mechanism(reader)?,
        iterations: reader.u32()?,
        salt: reader.bytes()?.to_vec(),
        stored_key: reader.bytes()?.to_vec(),
        server_key: reader.bytes()?.to_vec(),
    })
}

fn put_acls<'a>(out: &mut FieldWriter, acls: impl ExactSizeIterator<Item = &'a Acl>) {
    // Their number is bounded where they are created.
    out.u32(u32::try_from(acls.len()).unwrap_or(u32::MAX));
    for acl in acls {
        out.u8(acl.pattern.resource.number().unsigned_abs())
            .u8(acl.pattern.kind.number().unsigned_abs())
            .text(&acl.pattern.name)
            .text(&acl.principal)
            .text(&acl.host)
            .u8(acl.operation.number().unsigned_abs())
            .u8(acl.permission.number().unsigned_abs());
    }
}

fn acls(reader: &mut FieldReader<'_>) -> Result<Vec<Acl>, CodecError> {
    let count = reader.count(ACL_BYTES_MIN)?;
    let mut acls = Vec::with_capacity(count);
    for _ in 0..count {
        let pattern = Pattern {
            resource: known(reader, ResourceType::from_number)?,
            kind: known(reader, PatternType::from_number)?,
            name: reader.text()?,
        };
        acls.push(Acl {
            pattern,
            principal: reader.text()?,
            host: reader.text()?,
            operation: known(reader, Operation::from_number)?,
            permission: known(reader, Permission::from_number)?,
        });
    }
    Ok(acls)
}

fn known<T>(reader: &mut FieldReader<'_>, from: impl Fn(i8) -> Option<T>) -> Result<T, CodecError> {
    let number = i8::try_from(reader.u8()?).ok();
    number.and_then(from).ok_or(CodecError { what: "an unknown number in an access rule" })
}

/// All users and rules at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    users: BTreeMap<String, Vec<Credential>>,
    /// By pattern; a literal name is found at once, prefixes are gone through.
    acls: BTreeMap<Pattern, BTreeSet<Acl>>,
    acl_count: usize,
    decoy_secret: Vec<u8>,
}

impl Rules {
    pub fn restore(checkpoint: Option<&[u8]>) -> Result<Rules, CodecError> {
        let mut rules = Rules::default();
        let Some(bytes) = checkpoint else { return Ok(rules) };
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != CHECKPOINT_VERSION {
            return Err(CodecError { what: "an unknown version of the users' checkpoint" });
        }
        rules.decoy_secret = reader.bytes()?.to_vec();
        for _ in 0..reader.count(CREDENTIAL_BYTES_MIN)? {
            let user = reader.text()?;
            let credential = credential(&mut reader)?;
            rules.apply(RulesChange::CredentialSet { user, credential });
        }
        let acls = acls(&mut reader)?;
        rules.apply(RulesChange::AclsAdded(acls));
        reader.finish()?;
        Ok(rules)
    }

    pub fn checkpoint(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(CHECKPOINT_VERSION).bytes(&self.decoy_secret);
        let credentials = self.users.values().map(Vec::len).sum::<usize>();
        out.u32(u32::try_from(credentials).unwrap_or(u32::MAX));
        for (user, credentials) in &self.users {
            for credential in credentials {
                out.text(user);
                put_credential(&mut out, credential);
            }
        }
        let acls: Vec<&Acl> = self.acls().collect();
        put_acls(&mut out, acls.into_iter());
        out.finish()
    }

    pub fn apply(&mut self, change: RulesChange) {
        match change {
            RulesChange::CredentialSet { user, credential } => {
                let credentials = self.users.entry(user).or_default();
                credentials.retain(|known| known.mechanism != credential.mechanism);
                credentials.push(credential);
                credentials.sort_by_key(|credential| credential.mechanism);
            }
            RulesChange::CredentialRemoved { user, mechanism } => {
                if let Some(credentials) = self.users.get_mut(&user) {
                    credentials.retain(|known| known.mechanism != mechanism);
                    if credentials.is_empty() {
                        self.users.remove(&user);
                    }
                }
            }
            RulesChange::AclsAdded(acls) => {
                for acl in acls {
                    let added = self.acls.entry(acl.pattern.clone()).or_default().insert(acl);
                    self.acl_count += usize::from(added);
                }
            }
            RulesChange::AclsRemoved(acls) => {
                for acl in acls {
                    if let Some(same) = self.acls.get_mut(&acl.pattern) {
                        self.acl_count -= usize::from(same.remove(&acl));
                        if same.is_empty() {
                            self.acls.remove(&acl.pattern);
                        }
                    }
                }
            }
            RulesChange::DecoySecret(secret) => self.decoy_secret = secret,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.acl_count == 0
    }

    pub fn users(&self) -> impl Iterator<Item = (&str, &[Credential])> {
        self.users.iter().map(|(user, credentials)| (user.as_str(), credentials.as_slice()))
    }

    pub fn credentials(&self, user: &str) -> &[Credential] {
        self.users.get(user).map_or(&[], Vec::as_slice)
    }

    /// The user's credential, or one that no password fits.
    pub fn credential_or_decoy(&self, user: &str, mechanism: Mechanism) -> Credential {
        let known = self.credentials(user).iter().find(|known| known.mechanism == mechanism);
        known.cloned().unwrap_or_else(|| Credential::decoy(mechanism, &self.decoy_secret, user))
    }

    pub fn has_decoy_secret(&self) -> bool {
        !self.decoy_secret.is_empty()
    }

    pub fn acl_count(&self) -> usize {
        self.acl_count
    }

    pub fn acls(&self) -> impl Iterator<Item = &Acl> {
        self.acls.values().flatten()
    }

    pub fn matching(&self, filter: &AclFilter) -> Vec<Acl> {
        self.acls().filter(|acl| filter.fits(acl)).cloned().collect()
    }

    /// The rules that speak of a resource.
    fn of<'a>(&'a self, resource: ResourceType, name: &'a str) -> impl Iterator<Item = &'a Acl> {
        let literal = |name: &str| {
            self.acls.get(&Pattern { resource, kind: PatternType::Literal, name: name.to_string() })
        };
        let any = if name == ANY_NAME { None } else { literal(ANY_NAME) };
        let first_prefix = Pattern { resource, kind: PatternType::Prefixed, name: String::new() };
        // A prefix sorts before the names that it begins.
        let prefixed = self
            .acls
            .range(first_prefix..)
            .take_while(move |(pattern, _)| pattern.resource == resource && *pattern.name <= *name)
            .filter(move |(pattern, _)| name.starts_with(&pattern.name));
        let whole = literal(name).into_iter().chain(any);
        whole.chain(prefixed.map(|(_, acls)| acls)).flatten()
    }

    /// Kafka's decision: a denial that fits wins; then a permission that fits; else `fallback` where no
    /// rule speaks of the resource at all, and no where one does.
    pub fn permits(
        &self,
        principal: &str,
        host: &str,
        operation: Operation,
        resource: ResourceType,
        name: &str,
        fallback: bool,
    ) -> bool {
        let mut allowed = false;
        let mut any = false;
        for acl in self.of(resource, name) {
            any = true;
            if acl.speaks_of(principal, host, operation) {
                match acl.permission {
                    Permission::Deny => return false,
                    Permission::Allow => allowed = true,
                }
            }
        }
        allowed || (!any && fallback)
    }

    /// Whether the client may do this to some resource of the type: one that no denial covers.
    pub fn permits_some(
        &self,
        principal: &str,
        host: &str,
        operation: Operation,
        resource: ResourceType,
    ) -> bool {
        let speaking = |permission| {
            self.acls().filter(move |acl| {
                acl.permission == permission
                    && acl.pattern.resource == resource
                    && acl.speaks_of(principal, host, operation)
            })
        };
        speaking(Permission::Allow).any(|allow| {
            !speaking(Permission::Deny).any(|deny| {
                let (deny, allow) = (&deny.pattern, &allow.pattern);
                let everything = deny.kind == PatternType::Literal && deny.name == ANY_NAME;
                everything
                    || match deny.kind {
                        PatternType::Literal => allow.kind == PatternType::Literal && allow.name == deny.name,
                        PatternType::Prefixed => allow.name != ANY_NAME && allow.name.starts_with(&deny.name),
                    }
            })
        })
    }
}

/// The rules as the log and the APIs share them. Lock order: the log's append lock first.
#[derive(Debug, Default)]
pub struct SharedRules(Mutex<Arc<Rules>>);

impl SharedRules {
    pub fn new(rules: Rules) -> SharedRules {
        SharedRules(Mutex::new(Arc::new(rules)))
    }

    pub fn current(&self) -> Arc<Rules> {
        lock(&self.0).clone()
    }

    pub fn apply(&self, change: RulesChange) {
        Arc::make_mut(&mut lock(&self.0)).apply(change);
    }

    /// Takes an entry of the replay; entries of other layers do nothing.
    pub fn replay(&self, entry: &Entry<'_>) -> Result<(), CodecError> {
        if let Entry::Layer { layer: Layer::USERS, bytes } = entry {
            self.apply(RulesChange::decode(bytes)?);
        }
        Ok(())
    }
}

impl Fold for SharedRules {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.current().checkpoint());
    }
}
