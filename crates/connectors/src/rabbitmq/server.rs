//! How we log in to a RabbitMQ, in both of its protocols.

use super::amqp;
use crate::messages::{Access, Credentials, Done, ServerError};
use base::options::Options;

/// RabbitMQ's own user for those who have none.
const GUEST: &str = "guest";

/// What the options say beyond user and password.
#[derive(Debug, Clone)]
pub(super) struct Login {
    mechanism: String,
    virtual_host: Option<String>,
}

/// What logs in to one server.
pub(super) struct User<'a> {
    pub name: &'a str,
    pub password: &'a str,
    pub virtual_host: &'a str,
}

impl Login {
    pub(super) fn of(options: &Options) -> Login {
        Login {
            mechanism: options.text(super::options::MECHANISM).unwrap_or("PLAIN").to_string(),
            virtual_host: options.text("virtual-host").map(str::to_string),
        }
    }

    pub(super) fn user<'a>(&'a self, credentials: &Credentials<'a>) -> User<'a> {
        User {
            name: credentials.user.unwrap_or(GUEST),
            password: credentials.password.unwrap_or(GUEST),
            virtual_host: credentials.path.or(self.virtual_host.as_deref()).unwrap_or("/"),
        }
    }
}

/// Says what to look at when the server does not let a user in.
pub(super) fn with_hint(error: ServerError, user: &User<'_>) -> ServerError {
    if !error.message.contains("Login was refused") {
        return error;
    }
    let message = format!("{}; look at the user '{}' and the password", error.message, user.name);
    ServerError { message, ..error }
}

/// A connection that speaks AMQP 0-9-1.
pub(super) fn open(access: &Access, login: &Login, name: &str) -> Done<amqp::Connection> {
    access.connect(&mut |stream, credentials| {
        let user = login.user(credentials);
        let login = amqp::Login {
            mechanism: &login.mechanism,
            user: user.name,
            password: user.password,
            virtual_host: user.virtual_host,
            heartbeat: access.heartbeat(),
            name,
        };
        let opened = amqp::Connection::open(stream, access.os().clock.clone(), access.timeout(), &login);
        opened.map_err(|error| with_hint(error, &user))
    })
}
