//! Starts our node, or an Apache Kafka, with TLS, users and rules, for the client suites on security.
//!
//! One address serves SASL_SSL with the user `admin`, one wants client certificates. Certificates are made by openssl
//! for each run; nothing of it outlives the run.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::kafka::{self, Kafka};
use crate::node::{self, Node};
use crate::{peers, places, process};

const LIMIT: Duration = Duration::from_secs(60);
const PASSWORD: &str = "admin-secret";
const SCRAM_MODULE: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";

const TOKEN_MODULE: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
const TOKEN_HANDLER: &str =
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler";

/// What runs; stopped when dropped.
enum Running {
    Nodes { _sasl: Node, _mtls: Node },
    Kafka { _kafka: Kafka },
}

/// Two secured addresses.
pub struct Secured {
    _running: Running,
    folder: TempDir,
    pub sasl: String,
    mtls: String,
    /// Kafka has none.
    registry: Option<String>,
}

impl Secured {
    /// What the suites are told besides the address.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("SECURITY_FOLDER", self.folder.path().display().to_string()),
            ("SECURITY_MTLS", self.mtls.clone()),
        ];
        variables.extend(self.registry.iter().map(|url| ("SECURITY_REGISTRY", url.clone())));
        variables
    }

    /// Two nodes, since a node has one listener.
    pub fn node() -> Result<Secured> {
        let folder = tempfile::Builder::new().prefix("secured-").tempdir()?;
        make_certificates(folder.path())?;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("admin.password"), PASSWORD)?;
        let add = ["user", "add", "admin", "--admin", "--password-file"];
        process::output(
            node::command()?.args(add).arg(at("admin.password")).arg("--data").arg(at("sasl")),
            LIMIT,
        )?;
        let set = |key: &str, value: &str| vec!["--set".to_owned(), format!("{key}={value}")];
        let file = |key: &str, name: &str| set(key, &at(name).display().to_string());
        let tokens = token_settings(&at("keys.json")).map(|(key, value)| set(key, &value)).concat();
        let own =
            [file("ssl.certificate.location", "node.pem"), file("ssl.key.location", "node.key")].concat();
        let mechanisms = "SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER";
        let sasl_settings = [
            own.clone(),
            tokens,
            set("security.protocol", "SASL_SSL"),
            set("sasl.enabled.mechanisms", mechanisms),
            vec!["--http".to_owned(), "https://127.0.0.1:0".to_owned()],
        ]
        .concat();
        let sasl = node::start_with(&at("sasl"), &at("sasl.log"), &sasl_settings)?;
        let mtls_settings = [
            own,
            set("security.protocol", "SSL"),
            set("ssl.client.auth", "required"),
            set("super.users", "User:CN=client"),
            file("ssl.ca.location", "ca.pem"),
        ]
        .concat();
        let mtls = node::start_with(&at("mtls"), &at("mtls.log"), &mtls_settings)?;
        Ok(Secured {
            sasl: sasl.bootstrap.clone(),
            mtls: mtls.bootstrap.clone(),
            registry: Some(sasl.http.clone()),
            _running: Running::Nodes { _sasl: sasl, _mtls: mtls },
            folder,
        })
    }

    /// One broker with two listeners.
    pub fn kafka() -> Result<Secured> {
        let folder = tempfile::Builder::new().prefix("secured-").tempdir()?;
        make_certificates(folder.path())?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        // Java wants the key and the certificate in one file, the key as PKCS 8.
        let both = [std::fs::read(at("node.key"))?, std::fs::read(at("node.pem"))?].concat();
        std::fs::write(at("keystore.pem"), both)?;
        let (sasl_port, mtls_port) = (kafka::lasting_port()?, kafka::lasting_port()?);
        let (sasl, mtls) = (format!("127.0.0.1:{sasl_port}"), format!("127.0.0.1:{mtls_port}"));
        let security = kafka::Security {
            listeners: format!(",SASL_SSL://{sasl},SSL://{mtls}"),
            protocols: ",SASL_SSL:SASL_SSL,SSL:SSL".to_owned(),
            settings: format!(
                "ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
{}listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class={TOKEN_HANDLER}
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config={TOKEN_MODULE} required;
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={SCRAM_MODULE} required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={SCRAM_MODULE} required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS;User:CN=client
",
                at("keystore.pem"),
                at("ca.pem"),
                token_settings(&folder.path().join("keys.json"))
                    .map(|(key, value)| format!("{key}={value}\n"))
                    .concat(),
            ),
            java_options: vec![format!(
                "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file:{}",
                at("keys.json")
            )],
            advertised: None,
            users: ["SCRAM-SHA-256", "SCRAM-SHA-512"]
                .map(|mechanism| format!("{mechanism}=[name=admin,password={PASSWORD}]"))
                .to_vec(),
        };
        let kafka = kafka::start_with(&security)?;
        Ok(Secured { _running: Running::Kafka { _kafka: kafka }, folder, sasl, mtls, registry: None })
    }
}

/// How both sides check tokens.
fn token_settings(keys: &Path) -> [(&'static str, String); 3] {
    [
        ("sasl.oauthbearer.jwks.endpoint.url", format!("file:{}", keys.display())),
        ("sasl.oauthbearer.expected.audience", "kafka".to_owned()),
        ("sasl.oauthbearer.expected.issuer", "https://issuer.example".to_owned()),
    ]
}

/// An authority, the issuer of tokens, and what the authority signed for the node and for the clients `CN=client` and `CN=guest`.
fn make_certificates(folder: &Path) -> Result<()> {
    const SCRIPT: &str = "set -e
key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $key -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > node.ext
printf 'extendedKeyUsage=clientAuth' | tee client.ext > guest.ext
for name in node client guest; do
  openssl req $key -subj /CN=$name -keyout $name.key -out $name.csr
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem
done";
    process::output(Command::new("bash").args(["-c", SCRIPT]).current_dir(folder), LIMIT)?;
    let script = places::root().join("tests/clients/tokens.py");
    let mut tokens = Command::new(peers::python_program()?);
    process::output(tokens.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(folder), LIMIT)?;
    Ok(())
}
