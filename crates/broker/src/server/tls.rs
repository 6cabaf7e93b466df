//! TLS of the listeners: certificate and key from PEM files, read again when they change.

use crate::security::SecurityConfig;
use crate::sync::lock;
use auth::tls::{ClientAuth, Identity};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TLS cannot begin: file={} reason={reason}", .file.display())]
pub struct TlsError {
    pub file: PathBuf,
    pub reason: String,
}

/// What a listener shows of itself, as the files are now.
pub struct Tls {
    config: SecurityConfig,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// When the files were last changed; another time makes them be read again.
    changed: Vec<Option<SystemTime>>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// `None` for a listener without TLS.
    pub(super) fn load(config: &SecurityConfig) -> Result<Option<Tls>, TlsError> {
        if config.tls { Tls::of(config).map(Some) } else { Ok(None) }
    }

    /// For HTTP: with the files of the Kafka port, whether or not that speaks TLS. Certificates of clients are looked at
    /// if they are there, since there are other ways to log in.
    pub fn for_http(config: &SecurityConfig) -> Result<Tls, TlsError> {
        let mut config = config.clone();
        if config.client_auth == ClientAuth::Required {
            config.client_auth = ClientAuth::Requested;
        }
        Tls::of(&config)
    }

    fn of(config: &SecurityConfig) -> Result<Tls, TlsError> {
        let loaded = Loaded { changed: changed(config), server: Arc::new(read(config)?) };
        Ok(Tls { config: config.clone(), loaded: Mutex::new(loaded) })
    }

    /// For the next connection; files that have become unusable are told of and not taken.
    pub fn acceptor(&self, log: &dyn Fn(&str)) -> TlsAcceptor {
        let mut loaded = lock(&self.loaded);
        let changed = changed(&self.config);
        if changed != loaded.changed {
            loaded.changed = changed;
            match read(&self.config) {
                Ok(server) => {
                    loaded.server = Arc::new(server);
                    log("the certificate and the key have been read again");
                }
                Err(error) => log(&format!("the certificate and the key stay as they were: {error}")),
            }
        }
        TlsAcceptor::from(loaded.server.clone())
    }
}

fn files(config: &SecurityConfig) -> impl Iterator<Item = &Path> {
    let files = [&config.certificate, &config.key, &config.client_ca];
    files.into_iter().map(PathBuf::as_path).filter(|file| !file.as_os_str().is_empty())
}

fn changed(config: &SecurityConfig) -> Vec<Option<SystemTime>> {
    files(config).map(|file| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()).collect()
}

fn read(config: &SecurityConfig) -> Result<ServerConfig, TlsError> {
    let bytes = |file: &Path| {
        std::fs::read(file).map_err(|error| TlsError { file: file.into(), reason: error.to_string() })
    };
    let (certificates, key) = (bytes(&config.certificate)?, bytes(&config.key)?);
    let client_ca = match config.client_auth {
        ClientAuth::None => None,
        _ => Some(bytes(&config.client_ca)?),
    };
    let identity = Identity { certificates: &certificates, key: &key };
    auth::tls::server(identity, config.client_auth, client_ca.as_deref()).map_err(|error| {
        let named = |part: &str| error.0.contains(part);
        let file = if named("PRIVATE KEY") || named("private key") {
            &config.key
        } else if named("authority") {
            &config.client_ca
        } else {
            &config.certificate
        };
        TlsError { file: file.clone(), reason: error.0 }
    })
}
