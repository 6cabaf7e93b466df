//! What stands in for Google Cloud Storage and for Azure Blob Storage: fake-gcs-server and Azurite, each behind a program of
//! ours. Plain processes on loopback; neither keeps anything over a restart.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use os::Os;
use os::http::{Request, exchange, segment};
use serde_json::{Value, json};

use crate::process::Server;
use crate::{kafka, peers, places, versions};

const LIMIT: Duration = Duration::from_secs(120);
const AZURE_SCRIPT: &str = "tests/azure/server.js";
/// Azurite's only account.
pub const ACCOUNT: &str = "conformance";

/// Calls a stand-in beside its gate.
fn ask(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Vec<u8>> {
    let address = format!("127.0.0.1:{port}");
    let request = Request { method, address: &address, path, headers, body };
    let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
    let is_well = (200..300).contains(&answer.status);
    ensure!(is_well, "{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    Ok(answer.body)
}

/// A stand-in of either.
pub enum Cloud {
    Gcs(Gcs),
    Azure(Azurite),
}

impl Cloud {
    /// Who may call is said by this word.
    pub fn gcs(folder: &Path, word: &str) -> Result<Cloud> {
        Ok(Cloud::Gcs(Gcs::start(folder, word)?))
    }

    pub fn azure(folder: &Path, word: &str) -> Result<Cloud> {
        Ok(Cloud::Azure(Azurite::start(folder, word)?))
    }

    pub fn port(&self) -> u16 {
        match self {
            Cloud::Gcs(gcs) => gcs.port,
            Cloud::Azure(azurite) => azurite.port,
        }
    }

    pub fn server(&self) -> &Server {
        match self {
            Cloud::Gcs(gcs) => &gcs.server,
            Cloud::Azure(azurite) => &azurite.server,
        }
    }

    pub fn name(&self) -> String {
        match self {
            Cloud::Gcs(_) => format!("fake-gcs-server {}", versions::FAKE_GCS),
            Cloud::Azure(_) => format!("Azurite {}", versions::AZURITE[0].1),
        }
    }

    /// How the word is written where a job reads it.
    pub fn written(&self, word: &str) -> String {
        match self {
            Cloud::Gcs(_) => word.to_owned(),
            Cloud::Azure(_) => Azurite::key(word),
        }
    }

    pub fn set_word(&mut self, word: &str) -> Result<()> {
        match self {
            Cloud::Gcs(gcs) => gcs.set_token(word),
            Cloud::Azure(azurite) => azurite.ask("key", &[], Azurite::key(word).as_bytes()).map(drop),
        }
    }

    /// What is said to who may not call, in part.
    pub fn refusal(&self) -> &'static str {
        match self {
            Cloud::Gcs(_) => "Invalid Credentials",
            Cloud::Azure(_) => "AuthorizationFailure",
        }
    }

    pub fn make_bucket(&self, name: &str) -> Result<()> {
        match self {
            Cloud::Gcs(gcs) => gcs.make_bucket(name),
            Cloud::Azure(azurite) => azurite.ask("container", &[("name", name)], b"").map(drop),
        }
    }

    pub fn address(&self, bucket: &str, folder: &str) -> String {
        match self {
            Cloud::Gcs(_) => format!("gs://{bucket}/{folder}"),
            Cloud::Azure(_) => format!("abfss://{bucket}@{ACCOUNT}.dfs.core.windows.net/{folder}"),
        }
    }

    /// Of a table that reaches it by this port, and reads the word in this file.
    pub fn options(&self, port: u16, file: &str) -> String {
        match self {
            Cloud::Gcs(_) => format!(
                "'google.endpoint' = 'http://127.0.0.1:{port}', 'google.access-token' = '${{file:{file}}}'"
            ),
            Cloud::Azure(_) => format!(
                "'azure.endpoint' = 'http://127.0.0.1:{port}/{ACCOUNT}', 'azure.account-key' = '${{file:{file}}}'"
            ),
        }
    }

    /// Whether a list may begin at a name: an older service of Azure lists from the first one on.
    pub fn know_start(&self, known: bool) -> Result<()> {
        match self {
            Cloud::Gcs(_) => Ok(()),
            Cloud::Azure(azurite) => {
                azurite.ask("start", &[("known", if known { "yes" } else { "no" })], b"").map(drop)
            }
        }
    }

    pub fn put_object(&self, bucket: &str, key: &str, body: &[u8]) -> Result<()> {
        match self {
            Cloud::Gcs(gcs) => gcs.put_object(bucket, key, body),
            Cloud::Azure(azurite) => {
                azurite.ask("put_object", &[("name", bucket), ("key", key)], body).map(drop)
            }
        }
    }

    /// The objects of a bucket with such keys, in their order: those that do not go away while they are read.
    pub fn objects(&self, bucket: &str, is_wanted: fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>> {
        let keys = match self {
            Cloud::Gcs(gcs) => gcs.keys(bucket)?,
            Cloud::Azure(azurite) => {
                let keys = String::from_utf8(azurite.ask("keys", &[("name", bucket)], b"")?)?;
                keys.lines().map(str::to_owned).collect()
            }
        };
        let object = |key: String| {
            let bytes = match self {
                Cloud::Gcs(gcs) => gcs.get_object(bucket, &key)?,
                Cloud::Azure(azurite) => {
                    azurite.ask("get_object", &[("name", bucket), ("key", &key)], b"")?
                }
            };
            Ok((key, bytes))
        };
        keys.into_iter().filter(|key| is_wanted(key)).map(object).collect()
    }
}

/// A running fake-gcs-server; stopped when dropped.
pub struct Gcs {
    pub server: Server,
    pub port: u16,
    token: String,
}

impl Gcs {
    /// Lets in whoever shows this token.
    pub fn start(folder: &Path, token: &str) -> Result<Gcs> {
        let port = kafka::lasting_port()?;
        let mut command = Command::new(peers::gcs_program()?);
        command.args([&port.to_string(), token]);
        let ready = |line: &str| line.contains("ready").then_some(());
        let (server, ()) = Server::start(&mut command, &folder.join("gcs.log"), LIMIT, ready)?;
        Ok(Gcs { server, port, token: token.to_owned() })
    }

    /// Wants another token from now on.
    fn set_token(&mut self, token: &str) -> Result<()> {
        ask(self.port, "POST", "/suite/token", &[], token.as_bytes())?;
        token.clone_into(&mut self.token);
        Ok(())
    }

    pub fn make_bucket(&self, name: &str) -> Result<()> {
        let body = json!({"name": name}).to_string();
        self.call("POST", "/storage/v1/b?project=suite", body.as_bytes()).map(drop)
    }

    fn put_object(&self, bucket: &str, key: &str, body: &[u8]) -> Result<()> {
        let path = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={}", segment(key));
        self.call("POST", &path, body).map(drop)
    }

    fn keys(&self, bucket: &str) -> Result<Vec<String>> {
        let listed = self.call("GET", &format!("/storage/v1/b/{bucket}/o"), b"")?;
        let listed: Value = serde_json::from_slice(&listed)?;
        let names = listed["items"].as_array().into_iter().flatten().filter_map(|item| item["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>> {
        self.call("GET", &format!("/storage/v1/b/{bucket}/o/{}?alt=media", segment(key)), b"")
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        ask(self.port, method, path, &headers, body)
    }
}

/// A running Azurite; stopped when dropped.
pub struct Azurite {
    pub server: Server,
    pub port: u16,
    suite_port: u16,
}

impl Azurite {
    /// Its account's key is this word.
    pub fn start(folder: &Path, word: &str) -> Result<Azurite> {
        let [port, suite_port] = kafka::lasting_ports()?;
        let mut command = Command::new("node");
        command.arg(places::root().join(AZURE_SCRIPT)).arg(peers::azurite_folder()?);
        command.args([port.to_string(), suite_port.to_string(), Azurite::key(word)]).current_dir(folder);
        let ready = |line: &str| line.contains("ready").then_some(());
        let (server, ()) = Server::start(&mut command, &folder.join("azurite.log"), LIMIT, ready)?;
        Ok(Azurite { server, port, suite_port })
    }

    /// An account's key as it is written.
    pub fn key(word: &str) -> String {
        STANDARD.encode(word)
    }

    /// Has the suite's part of the program do something.
    fn ask(&self, command: &str, arguments: &[(&str, &str)], body: &[u8]) -> Result<Vec<u8>> {
        let parts: Vec<String> =
            arguments.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
        ask(self.suite_port, "POST", &format!("/suite/{command}?{}", parts.join("&")), &[], body)
    }
}
