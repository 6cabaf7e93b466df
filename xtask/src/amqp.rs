//! Servers of AMQP 1.0 and STOMP, Apache Artemis and ActiveMQ Classic of Maven Central: plain processes on free ports, with all that they
//! keep in a folder of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::kafka::lasting_ports;
use crate::process::{self, Server};
use crate::{certificates, peers, places, versions};

const LIMIT: Duration = Duration::from_secs(120);
const SCRIPT: &str = "tests/amqp/client.py";

/// Who may do everything; also the name in the client's certificate.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "pencil-and-paper";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It makes no queue that was not made before.
    Artemis,
    ActiveMq,
}

/// A running server; stopped when dropped.
pub struct Amqp {
    server: Option<Server>,
    kind: Kind,
    folder: TempDir,
    /// With their passwords.
    users: Vec<(String, String)>,
    pub port: u16,
    /// Of Artemis.
    pub tls_port: u16,
    pub stomp_port: u16,
    /// Of Artemis.
    pub stomp_tls_port: u16,
}

impl Amqp {
    /// With users besides [`USER`].
    pub fn start(kind: Kind, users: &[(&str, &str)]) -> Result<Amqp> {
        let folder = tempfile::Builder::new().prefix("amqp-").tempdir()?;
        certificates::make(folder.path(), "amqp")?;
        let [port, tls_port, stomp_port, stomp_tls_port] = lasting_ports()?;
        let users = [&[(USER, PASSWORD)], users].concat();
        let users = users.iter().map(|(user, password)| (user.to_string(), password.to_string())).collect();
        let mut amqp = Amqp { server: None, kind, folder, users, port, tls_port, stomp_port, stomp_tls_port };
        for (name, text) in amqp.files()? {
            std::fs::write(amqp.file(name), text)?;
        }
        amqp.write_users()?;
        amqp.serve()?;
        Ok(amqp)
    }

    fn files(&self) -> Result<Vec<(&'static str, String)>> {
        let folder = self.folder.path().display().to_string();
        let Amqp { port, tls_port, stomp_port, stomp_tls_port, .. } = self;
        Ok(match self.kind {
            Kind::Artemis => {
                // A key store is one file here.
                let read = |name: &str| std::fs::read_to_string(self.file(name));
                let store = read("server.pem")? + &read("server.key")?;
                let tls = |port: &u16, protocol: &str| {
                    format!(
                        "tcp://127.0.0.1:{port}?protocols={protocol};saslMechanisms=PLAIN,EXTERNAL;sslEnabled=true;\
                         keyStorePath={folder}/store.pem;keyStoreType=PEM;trustStorePath={folder}/ca.pem;\
                         trustStoreType=PEMCA;wantClientAuth=true"
                    )
                };
                let broker = ARTEMIS_BROKER
                    .replace("PORT", &port.to_string())
                    .replace("SIDE", &stomp_port.to_string())
                    .replace("TLS", &tls(tls_port, "AMQP"))
                    .replace("SECURED", &tls(stomp_tls_port, "STOMP"));
                vec![
                    ("store.pem", store),
                    ("broker.xml", broker),
                    ("bootstrap.xml", ARTEMIS_BOOTSTRAP.replace("FOLDER", &folder)),
                    ("management.xml", ARTEMIS_MANAGEMENT.into()),
                    ("log4j2.properties", ARTEMIS_LOGGING.into()),
                    ("login.config", log_in("org.apache.activemq.artemis.spi.core.security.jaas", "role")),
                    ("cert-users.properties", format!("{USER}=CN={USER}\n")),
                ]
            }
            Kind::ActiveMq => vec![
                (
                    "activemq.xml",
                    ACTIVEMQ.replace("PORT", &port.to_string()).replace("SIDE", &stomp_port.to_string()),
                ),
                ("login.config", log_in("org.apache.activemq.jaas", "group")),
            ],
        })
    }

    fn write_users(&self) -> Result<()> {
        let lines =
            |line: &dyn Fn(&(String, String)) -> String| self.users.iter().map(line).collect::<String>();
        let names: Vec<&str> = self.users.iter().map(|(user, _)| user.as_str()).collect();
        std::fs::write(self.file("groups.properties"), format!("all={}\n", names.join(",")))?;
        let users = lines(&|(user, password)| format!("{user}={password}\n"));
        // At once: the server may read it meanwhile.
        std::fs::write(self.file("users.new"), users)?;
        Ok(std::fs::rename(self.file("users.new"), self.file("users.properties"))?)
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let folder = self.folder.path().to_owned();
        let property = |name: &str, value: &Path| format!("-D{name}={}", value.display());
        let mut command = Command::new("java");
        command
            .current_dir(&folder)
            .arg("-Xmx512m")
            .arg(property("java.security.auth.login.config", &folder.join("login.config")));
        let ready = match self.kind {
            Kind::Artemis => {
                let home = peers::artemis_folder()?;
                command
                    .arg(property("log4j2.configurationFile", &folder.join("log4j2.properties")))
                    .arg(property("artemis.home", &home))
                    .arg(property("artemis.instance", &folder))
                    .arg(property("artemis.instance.etc", &folder))
                    .args(["-cp", &format!("{}/lib/*", home.display())])
                    .args(["org.apache.activemq.artemis.boot.Artemis", "run"]);
                "Server is now active"
            }
            Kind::ActiveMq => {
                command
                    .arg(property("activemq.home", &folder))
                    .arg(property("activemq.base", &folder))
                    .arg("-Dorg.slf4j.simpleLogger.logFile=System.out")
                    .args(["-cp", &format!("{}/*", peers::activemq_jars()?.display())])
                    .args([
                        "org.apache.activemq.console.command.ShellCommand",
                        "start",
                        "xbean:file:activemq.xml",
                    ]);
                "For help or more information please see"
            }
        };
        let ready = move |line: &str| line.contains(ready).then_some(());
        let (server, ()) = Server::start(&mut command, &self.file("server.log"), LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills the server as it stands.
    pub fn kill(&mut self) {
        drop(self.server.take());
    }

    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not there")
    }

    /// Gives a user another password; done when the server knows it.
    pub fn set_password(&mut self, user: &str, password: &str) -> Result<()> {
        let known = self.users.iter_mut().find(|(name, _)| name == user).context("there is no such user")?;
        known.1 = password.to_string();
        self.write_users()?;
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

    fn client_as(&self, user: &str, password: &str, arguments: &[&str]) -> Command {
        // Debian's own Python has Debian's packages.
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(places::root().join(SCRIPT))
            .args([&self.port.to_string(), user, password])
            .args(arguments);
        command
    }

    /// What a client of Python says, which is none of ours: `arguments` are those of `tests/amqp/client.py`.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        process::output(&mut self.client_as(USER, PASSWORD, arguments), LIMIT)
    }

    pub fn version(&self) -> String {
        match self.kind {
            Kind::Artemis => format!("Apache Artemis {}", versions::ARTEMIS),
            Kind::ActiveMq => format!("ActiveMQ Classic {}", versions::ACTIVEMQ),
        }
    }

    /// A file of the server: `ca.pem`, `client.pem`, `client.key`, `server.log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Both servers have the same modules, in other packages.
fn log_in(package: &str, group: &str) -> String {
    LOG_IN.replace("PACKAGE", package).replace("GROUP", group)
}

const LOG_IN: &str = "people {
  PACKAGE.PropertiesLoginModule required reload=true
    org.apache.activemq.jaas.properties.user=\"users.properties\"
    org.apache.activemq.jaas.properties.GROUP=\"groups.properties\";
};
certificates {
  PACKAGE.TextFileCertificateLoginModule required
    org.apache.activemq.jaas.textfiledn.user=\"cert-users.properties\"
    org.apache.activemq.jaas.textfiledn.GROUP=\"groups.properties\";
};
";

const ARTEMIS_BROKER: &str = "<configuration xmlns='urn:activemq'><core xmlns='urn:activemq:core'>
<name>shop</name>
<journal-type>NIO</journal-type>
<journal-file-size>1M</journal-file-size>
<paging-directory>data/paging</paging-directory>
<bindings-directory>data/bindings</bindings-directory>
<journal-directory>data/journal</journal-directory>
<large-messages-directory>data/large-messages</large-messages-directory>
<max-disk-usage>100</max-disk-usage>
<acceptors>
  <acceptor name='amqp'>tcp://127.0.0.1:PORT?protocols=AMQP;saslMechanisms=PLAIN</acceptor>
  <acceptor name='amqps'>TLS</acceptor>
  <acceptor name='stomp'>tcp://127.0.0.1:SIDE?protocols=STOMP</acceptor>
  <acceptor name='stomps'>SECURED</acceptor>
</acceptors>
<security-settings><security-setting match='#'>
  <permission type='createNonDurableQueue' roles='all'/>
  <permission type='deleteNonDurableQueue' roles='all'/>
  <permission type='createDurableQueue' roles='all'/>
  <permission type='deleteDurableQueue' roles='all'/>
  <permission type='createAddress' roles='all'/>
  <permission type='deleteAddress' roles='all'/>
  <permission type='consume' roles='all'/>
  <permission type='send' roles='all'/>
  <permission type='manage' roles='all'/>
</security-setting></security-settings>
<address-settings>
  <address-setting match='#'>
    <dead-letter-address>DLQ</dead-letter-address>
    <auto-create-queues>false</auto-create-queues>
    <auto-create-addresses>false</auto-create-addresses>
  </address-setting>
  <address-setting match='full'>
    <max-size-messages>3</max-size-messages>
    <address-full-policy>FAIL</address-full-policy>
  </address-setting>
</address-settings>
<addresses><address name='DLQ'><anycast><queue name='DLQ'/></anycast></address></addresses>
</core></configuration>
";

const ARTEMIS_BOOTSTRAP: &str = "<broker xmlns='http://activemq.apache.org/schema'>
<jaas-security domain='people' certificate-domain='certificates'/>
<server configuration='file:FOLDER/broker.xml'/>
</broker>
";

const ARTEMIS_MANAGEMENT: &str = "<management-context xmlns='http://activemq.apache.org/schema'/>\n";

const ARTEMIS_LOGGING: &str = "rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
logger.audit.name = org.apache.activemq.audit
logger.audit.level = OFF
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5level %logger - %msg%n
";

const ACTIVEMQ: &str = "<beans xmlns='http://www.springframework.org/schema/beans'
  xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'
  xsi:schemaLocation='http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd'>
<broker xmlns='http://activemq.apache.org/schema/core' brokerName='shop' dataDirectory='data' useJmx='false'>
  <persistenceAdapter><kahaDB directory='data/kahadb' journalMaxFileLength='1mb'/></persistenceAdapter>
  <plugins><jaasAuthenticationPlugin configuration='people'/></plugins>
  <transportConnectors>
    <transportConnector name='amqp' uri='amqp://127.0.0.1:PORT'/>
    <transportConnector name='stomp' uri='stomp://127.0.0.1:SIDE'/>
  </transportConnectors>
</broker>
</beans>
";
