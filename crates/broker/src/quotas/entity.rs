//! Whom a quota is for: a user, a client id, both together, or an address; each by name or by default.

use std::net::IpAddr;

pub const USER: &str = "user";
pub const CLIENT_ID: &str = "client-id";
pub const IP: &str = "ip";

/// Longer names cannot be limited one by one.
pub const NAME_BYTES_MAX: usize = 255;

/// A name, or all that have no quota by their name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    Default,
    Of(String),
}

impl Name {
    /// Kafka's messages say `null` for the default.
    pub fn from_wire(name: Option<String>) -> Name {
        name.map_or(Name::Default, Name::Of)
    }

    pub fn wire(&self) -> Option<String> {
        match self {
            Name::Default => None,
            Name::Of(name) => Some(name.clone()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    User(Name),
    Client(Name),
    UserClient { user: Name, client: Name },
    Ip(Name),
}

impl Entity {
    /// The entity with these (type, name) pairs; else what is wrong with them.
    pub fn from_parts(parts: impl IntoIterator<Item = (String, Option<String>)>) -> Result<Entity, String> {
        let (mut user, mut client, mut ip) = (None, None, None);
        for (kind, name) in parts {
            let slot = match kind.as_str() {
                USER => &mut user,
                CLIENT_ID => &mut client,
                IP => &mut ip,
                _ => {
                    let shown = crate::security::shown(&kind);
                    return Err(format!(
                        "the entity type '{shown}' is not known; there are user, client-id and ip"
                    ));
                }
            };
            if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
                return Err(format!("the name of a {kind} has 1 to {NAME_BYTES_MAX} bytes"));
            }
            if slot.replace(Name::from_wire(name)).is_some() {
                return Err(format!("the entity has more than one {kind}"));
            }
        }
        match (user, client, ip) {
            (None, None, None) => Err("the entity is empty; name a user, a client-id or an ip".into()),
            (Some(user), None, None) => Ok(Entity::User(user)),
            (None, Some(client), None) => Ok(Entity::Client(client)),
            (Some(user), Some(client), None) => Ok(Entity::UserClient { user, client }),
            (None, None, Some(Name::Default)) => Ok(Entity::Ip(Name::Default)),
            (None, None, Some(Name::Of(ip))) => match ip.parse::<IpAddr>() {
                // In one form, so that a connection from it is found.
                Ok(address) => Ok(Entity::Ip(Name::Of(address.to_canonical().to_string()))),
                Err(_) => Err(format!("'{}' is not an IP address", crate::security::shown(&ip))),
            },
            (_, _, Some(_)) => Err("an ip cannot be combined with a user or a client-id".into()),
        }
    }

    /// Its (type, name) pairs, as they are sent.
    pub fn parts(&self) -> Vec<(&'static str, Option<String>)> {
        match self {
            Entity::User(user) => vec![(USER, user.wire())],
            Entity::Client(client) => vec![(CLIENT_ID, client.wire())],
            Entity::UserClient { user, client } => vec![(USER, user.wire()), (CLIENT_ID, client.wire())],
            Entity::Ip(ip) => vec![(IP, ip.wire())],
        }
    }
}
