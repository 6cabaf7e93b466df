//! A node on real sockets with certificates of its own, for the tests of its security.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use auth::{Credential, Mechanism};
use broker::security::acl::Pattern;
use broker::security::{Acl, Operation, PatternType, Permission, ResourceType, RulesChange};
use broker::server::{ServerConfig, ServerHandle, start};
use broker::{Broker, BrokerConfig, Recovered};
use eventlog::{EventLog, LogError, LogOptions, Recovery};
use kafka_client::{Client, ClientError, ClientOptions, Security};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Longer than anything here takes; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(&[(DnType::CommonName, name)]);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The certificate and the key in PEM.
    pub fn sign(&self, names: &[(DnType, &str)], hosts: &[&str]) -> (String, String) {
        let hosts: Vec<String> = hosts.iter().map(|host| host.to_string()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = named(names);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

pub fn named(names: &[(DnType, &str)]) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    names.iter().for_each(|(kind, value)| out.push(kind.clone(), *value));
    out
}

/// A folder with the files that nodes and clients name.
pub struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    pub fn new() -> Files {
        let files =
            Files { folder: tempfile::tempdir().unwrap(), authority: Authority::new("test authority") };
        files.write("ca.pem", &files.authority.0.pem());
        files.sign("node", &[(DnType::CommonName, "node")], &["127.0.0.1", "localhost"]);
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn sign(&self, name: &str, names: &[(DnType, &str)], hosts: &[&str]) {
        let (certificate, key) = self.authority.sign(names, hosts);
        self.write(&format!("{name}.pem"), &certificate);
        self.write(&format!("{name}.key"), &key);
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn tls(&self, protocol: &str) -> Vec<(String, String)> {
        vec![
            ("security.protocol".into(), protocol.into()),
            ("ssl.certificate.location".into(), self.text("node.pem")),
            ("ssl.key.location".into(), self.text("node.key")),
        ]
    }
}

/// What the server said.
#[derive(Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

pub struct Node {
    pub server: Option<ServerHandle>,
    pub broker: Arc<Broker>,
    log: EventLog,
    pub address: SocketAddr,
    said: Arc<Said>,
}

pub fn broker_of(directory: &Path, settings: &[(String, String)]) -> (EventLog, Arc<Broker>) {
    let given: BTreeMap<String, String> = settings.iter().cloned().collect();
    let os = os::Os::real();
    let options = LogOptions { file_bytes: 1 << 20, first_file_bytes: 1 << 20, ..LogOptions::new(directory) };
    let mut recovery = Recovery::open(&os, options).unwrap();
    let recovered = Recovered::from_checkpoint(&recovery).unwrap();
    recovery
        .replay(&mut |lsn, entry| {
            recovered.apply(lsn, &entry).map_err(|error| LogError::Internal(error.to_string()))
        })
        .unwrap();
    let log = recovery.start(recovered.folds()).unwrap();
    let config = BrokerConfig::check(&given).unwrap();
    (log.clone(), Arc::new(Broker::new(log, recovered, config, os).unwrap()))
}

impl Node {
    pub fn start(files: &Files, settings: &[(String, String)]) -> Node {
        let (log, broker) = broker_of(&files.path("log"), settings);
        let said = Arc::new(Said::default());
        let hears = said.clone();
        let config = ServerConfig {
            log: Arc::new(move |line| {
                hears.lines.lock().unwrap().push(line.to_string());
                hears.more.notify_all();
            }),
            ..ServerConfig::new("127.0.0.1:0".parse().unwrap())
        };
        let server = start(config, broker.clone()).unwrap();
        Node { address: server.local_addr(), server: Some(server), broker, log, said }
    }

    pub fn add_user(&self, user: &str, password: &str) {
        let changes = Mechanism::ALL.map(|mechanism| RulesChange::CredentialSet {
            user: user.into(),
            credential: Credential::from_password(mechanism, b"0123456789", 4_096, password),
        });
        self.broker.change_rules(changes.to_vec()).unwrap();
    }

    pub fn allow(&self, principal: &str, operation: Operation, resource: ResourceType, name: &str) {
        let pattern = Pattern { resource, kind: PatternType::Literal, name: name.into() };
        let acl = Acl {
            pattern,
            principal: principal.into(),
            host: "*".into(),
            operation,
            permission: Permission::Allow,
        };
        self.broker.change_rules(vec![RulesChange::AclsAdded(vec![acl])]).unwrap();
    }

    pub fn connect(&self, files: &Files, properties: &[(&str, &str)]) -> Result<Client, ClientError> {
        let ca = files.text("ca.pem");
        let mut all = BTreeMap::from([("ssl.ca.location".to_string(), ca)]);
        all.extend(properties.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        let options = ClientOptions {
            security: Security::from_properties(&all).unwrap(),
            ..ClientOptions::new("test")
        };
        Client::connect_with(&self.address.to_string(), options)
    }

    /// Waits until the server has said something with these words.
    pub fn wait_for(&self, words: &str) -> String {
        let lines = self.said.lines.lock().unwrap();
        let heard = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(words));
        let (lines, _) = self.said.more.wait_timeout_while(lines, PATIENCE, heard).unwrap();
        let found = lines.iter().find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("it never said {words:?}: {lines:?}")).clone()
    }

    pub fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub fn stop(mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown();
        }
        self.log.shutdown().unwrap();
    }
}

/// Tries until it is so, or the patience ends.
pub fn until(mut is_so: impl FnMut() -> bool) {
    let clock = os::Os::real().clock;
    let end_ns = u128::from(clock.monotonic_ns()) + PATIENCE.as_nanos();
    while !is_so() {
        assert!(u128::from(clock.monotonic_ns()) < end_ns, "it never came to be");
        std::thread::yield_now();
    }
}

/// Until the other side ends the connection.
pub fn read_to_the_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    bytes
}
