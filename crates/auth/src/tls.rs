//! rustls' configurations from PEM: for a node, and for a client.

use crate::AuthError;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
pub use rustls::{ClientConfig, ServerConfig};
use rustls::{ClientConnection, RootCertStore, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Whether a client shows a certificate; Kafka's `ssl.client.auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    #[default]
    None,
    /// Checked if there is one.
    Requested,
    Required,
}

/// What a side shows of itself: its certificate with those that signed it, and the key.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    pub certificates: &'a [u8],
    pub key: &'a [u8],
}

/// A node's side; `client_ca` signs the certificates of clients.
pub fn server(
    identity: Identity<'_>,
    client_auth: ClientAuth,
    client_ca: Option<&[u8]>,
) -> Result<ServerConfig, AuthError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| AuthError::new(error.to_string()))?;
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Requested | ClientAuth::Required => {
            let ca = client_ca.ok_or_else(|| {
                AuthError::new("client certificates need the authority that signed them: set ssl.ca.location")
            })?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider);
            let verifier = match client_auth {
                ClientAuth::Requested => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(
                verifier.build().map_err(|error| AuthError::new(error.to_string()))?,
            )
        }
    };
    builder
        .with_single_cert(certificates(identity.certificates)?, key(identity.key)?)
        .map_err(|error| AuthError::new(format!("the certificate and the key do not fit: {error}")))
}

/// A client's side: it believes what `ca` has signed, for the name it connects to.
pub fn client(ca: &[u8], identity: Option<Identity<'_>>) -> Result<ClientConfig, AuthError> {
    client_with(roots(ca)?, identity)
}

fn client_with(roots: RootCertStore, identity: Option<Identity<'_>>) -> Result<ClientConfig, AuthError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| AuthError::new(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| AuthError::new(error.to_string()))?
        .with_webpki_verifier(verifier);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => builder
            .with_client_auth_cert(certificates(identity.certificates)?, key(identity.key)?)
            .map_err(|error| AuthError::new(format!("the certificate and the key do not fit: {error}"))),
    }
}

/// A client's side of a blocking stream, after the handshake.
pub struct ClientStream<S: Read + Write>(StreamOwned<ClientConnection, S>);

impl<S: Read + Write> ClientStream<S> {
    /// Shakes hands: the other side proves `host`, or it is an error of the kind `InvalidData`.
    pub fn begin(config: Arc<ClientConfig>, host: &str, stream: S) -> io::Result<ClientStream<S>> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
        let name = ServerName::try_from(host.to_string()).map_err(|error| invalid(error.to_string()))?;
        let connection = ClientConnection::new(config, name).map_err(|error| invalid(error.to_string()))?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(ClientStream(stream))
    }

    /// What lies below.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.0.sock
    }
}

impl<S: Read + Write> Read for ClientStream<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl<S: Read + Write> Write for ClientStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A node's side of a blocking stream, after the handshake.
pub struct ServerStream<S: Read + Write>(StreamOwned<ServerConnection, S>);

impl<S: Read + Write> ServerStream<S> {
    /// Shakes hands: the other side shows what the configuration wants of it.
    pub fn begin(config: Arc<ServerConfig>, stream: S) -> io::Result<ServerStream<S>> {
        let invalid = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let mut stream = StreamOwned::new(ServerConnection::new(config).map_err(invalid)?, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(ServerStream(stream))
    }

    /// What lies below.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.0.sock
    }
}

impl<S: Read + Write> Read for ServerStream<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl<S: Read + Write> Write for ServerStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Where systems keep the authorities of the web.
const SYSTEM_AUTHORITIES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A client's side towards the web: it believes what the authorities in a PEM file have signed; with an empty path,
/// those of the system.
pub fn client_of_web(authorities: &Path) -> Result<ClientConfig, AuthError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| {
            AuthError::new(format!("cannot read the authorities: file={} reason={error}", path.display()))
        })
    };
    if !authorities.as_os_str().is_empty() {
        return client(&read(authorities)?, None);
    }
    let known = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists()).ok_or_else(|| {
        AuthError::new("this system has no file with the authorities of the web: set https.ca.location")
    })?;
    let mut roots = RootCertStore::empty();
    // A certificate that rustls does not take is nobody's mistake here, and signs nothing.
    let (added, _) = roots.add_parsable_certificates(certificates(&read(known)?)?);
    if added == 0 {
        return Err(AuthError::new(format!("there is no usable authority in {}", known.display())));
    }
    client_with(roots, None)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, AuthError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(AuthError::new("there is no `BEGIN CERTIFICATE` in it")),
        Err(error) => Err(AuthError::new(format!("it is no PEM: {error}"))),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, AuthError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| AuthError::new(format!("an authority's certificate is not usable: {error}")))?;
    }
    Ok(roots)
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, AuthError> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED PRIVATE KEY";
    if pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err(AuthError::new(
            "the private key is encrypted; write it without a password, readable by this user only \
             (openssl pkey -in KEY -out PLAIN)",
        ));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| AuthError::new("there is no `BEGIN PRIVATE KEY` in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_does_not_fit_is_told_by_name() {
        let ((certificate, key), (_, other)) = (made(), made());
        let side = |certificates: &str, key: &str, auth, ca: Option<&str>| {
            let identity = Identity { certificates: certificates.as_bytes(), key: key.as_bytes() };
            server(identity, auth, ca.map(str::as_bytes)).map(|_| ()).map_err(|error| error.to_string())
        };
        side(&certificate, &key, ClientAuth::None, None).unwrap();
        side(&certificate, &key, ClientAuth::Required, Some(&certificate)).unwrap();
        let told = |result: Result<(), String>, words: &str| {
            let error = result.unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        told(side(&certificate, &other, ClientAuth::None, None), "do not fit");
        told(side(&key, &key, ClientAuth::None, None), "BEGIN CERTIFICATE");
        told(side(&certificate, &certificate, ClientAuth::None, None), "BEGIN PRIVATE KEY");
        told(side(&certificate, &key, ClientAuth::Required, None), "ssl.ca.location");
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        told(side(&certificate, encrypted, ClientAuth::None, None), "encrypted");
        client(certificate.as_bytes(), None).unwrap();
        assert!(client(b"nothing", None).is_err());
    }
}
