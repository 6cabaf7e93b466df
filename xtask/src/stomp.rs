//! Servers of STOMP: Artemis and ActiveMQ Classic, as `amqp` runs them, and RabbitMQ with its plugin.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::process::{self, Server};
use crate::{amqp, places, rabbitmq};

const LIMIT: Duration = Duration::from_secs(120);
const SCRIPT: &str = "tests/stomp/client.py";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brand {
    Artemis,
    ActiveMq,
    RabbitMq,
}

impl Brand {
    pub fn name(self) -> &'static str {
        match self {
            Brand::Artemis => "artemis",
            Brand::ActiveMq => "activemq",
            Brand::RabbitMq => "rabbitmq",
        }
    }
}

/// A running server; stopped when dropped.
pub struct Stomp {
    pub brand: Brand,
    inner: Inner,
}

enum Inner {
    Amqp(Box<amqp::Amqp>),
    RabbitMq(Box<rabbitmq::RabbitMq>),
}

impl Stomp {
    /// With users besides the one of [`Stomp::login`].
    pub fn start(brand: Brand, users: &[(&str, &str)]) -> Result<Stomp> {
        let inner = match brand {
            Brand::Artemis => Inner::Amqp(Box::new(amqp::Amqp::start(amqp::Kind::Artemis, users)?)),
            Brand::ActiveMq => Inner::Amqp(Box::new(amqp::Amqp::start(amqp::Kind::ActiveMq, users)?)),
            Brand::RabbitMq => {
                let server = rabbitmq::RabbitMq::start()?;
                for &(user, password) in users {
                    server.control(&["add_user", user, password])?;
                    server.control(&["set_permissions", user, ".*", ".*", ".*"])?;
                }
                Inner::RabbitMq(Box::new(server))
            }
        };
        Ok(Stomp { brand, inner })
    }

    pub fn port(&self) -> u16 {
        match &self.inner {
            Inner::Amqp(server) => server.stomp_port,
            Inner::RabbitMq(server) => server.stomp_port,
        }
    }

    /// Of Artemis and RabbitMQ.
    pub fn tls_port(&self) -> u16 {
        match &self.inner {
            Inner::Amqp(server) => server.stomp_tls_port,
            Inner::RabbitMq(server) => server.stomp_tls_port,
        }
    }

    /// Who may do everything.
    pub fn login(&self) -> (&'static str, &'static str) {
        match &self.inner {
            Inner::Amqp(_) => (amqp::USER, amqp::PASSWORD),
            Inner::RabbitMq(_) => (rabbitmq::USER, rabbitmq::PASSWORD),
        }
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        match &mut self.inner {
            Inner::Amqp(server) => server.serve(),
            Inner::RabbitMq(server) => server.serve(),
        }
    }

    /// Kills the server as it stands.
    pub fn kill(&mut self) -> Result<()> {
        match &mut self.inner {
            Inner::Amqp(server) => server.kill(),
            Inner::RabbitMq(server) => {
                // A server that is killed may forget queues that were made a moment ago.
                server.control(&["eval", "mnesia:sync_log()."])?;
                server.kill();
            }
        }
        Ok(())
    }

    pub fn server(&self) -> Result<&Server> {
        match &self.inner {
            Inner::Amqp(server) => server.server(),
            Inner::RabbitMq(server) => server.server(),
        }
    }

    pub fn version(&self) -> Result<String> {
        match &self.inner {
            Inner::Amqp(server) => Ok(server.version()),
            Inner::RabbitMq(server) => server.version(),
        }
    }

    /// A file of the server: `ca.pem`, `client.pem`, `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        match &self.inner {
            Inner::Amqp(server) => server.file(name),
            Inner::RabbitMq(server) => server.file(name),
        }
    }

    /// Gives a user another password; done when the server knows it.
    pub fn set_password(&mut self, user: &str, password: &str) -> Result<()> {
        match &mut self.inner {
            Inner::Amqp(server) => server.set_password(user, password)?,
            Inner::RabbitMq(server) => server.control(&["change_password", user, password]).map(drop)?,
        }
        let begun = Instant::now();
        let is_known = || {
            let mut command = self.client_as(user, password, &["check"]);
            process::output(command.stderr(Stdio::null()), LIMIT).is_ok()
        };
        while !is_known() {
            ensure!(begun.elapsed() < LIMIT, "the server does not take the new password");
        }
        Ok(())
    }

    /// Queues and topics that are there (`queue:NAME`). The others make them when they are used.
    pub fn make(&self, places: &[&str]) -> Result<()> {
        if let (Brand::Artemis, Inner::Amqp(server)) = (self.brand, &self.inner) {
            for place in places {
                server.ask(&["make", place])?;
            }
        }
        Ok(())
    }

    fn client_as(&self, user: &str, password: &str, arguments: &[&str]) -> Command {
        // Debian's own Python has Debian's packages.
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(places::root().join(SCRIPT))
            .args([self.brand.name(), &self.port().to_string(), user, password])
            .args(arguments);
        command
    }

    /// What a client of Python says, which is none of ours: `arguments` are those of `tests/stomp/client.py`.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let (user, password) = self.login();
        process::output(&mut self.client_as(user, password, arguments), LIMIT)
    }
}
