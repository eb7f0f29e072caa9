//! Encryption: the certificate of a server, and whom a client's certificate names.
//!
//! A client's certificate counts where it comes from the authority that the settings name; the alternative names in it,
//! addresses such as `spiffe://example.org/claims` or names of hosts, are then looked up among the keys.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use webpki::EndEntityCert;

use crate::watched::Watched;

/// Files of a server's certificate, as PEM. Read again when they are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates of the authorities whose clients are known by the names in theirs. A client without a certificate needs
    /// a key.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// Certificates that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// What connections are encrypted with.
pub(crate) struct Tls {
    settings: TlsSettings,
    config: Watched<ServerConfig>,
}

impl Tls {
    pub(crate) fn open(settings: &TlsSettings) -> Result<Tls, TlsError> {
        let paths = [&settings.certificate, &settings.key].into_iter().chain(&settings.client_ca).cloned().collect();
        let config = Watched::open(paths, || config(settings))?;
        Ok(Tls { settings: settings.clone(), config })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.current())
    }

    /// Whether its files have changed into some that cannot be used.
    pub(crate) fn is_stale(&self) -> bool {
        self.config.is_stale()
    }

    pub(crate) fn refresh(&self) {
        self.config.refresh("certificates", || config(&self.settings));
    }
}

fn config(TlsSettings { certificate, key, client_ca }: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let failed = |path: &Path, why: &dyn fmt::Display| TlsError(format!("`{}`: {why}", path.display()));
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients: Arc<dyn ClientCertVerifier> = match client_ca {
        None => Arc::new(NoClientAuth),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| failed(path, &error))?;
            }
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            // Whoever has none may have a key.
            clients.allow_unauthenticated().build().map_err(|error| failed(path, &error))?
        }
    };
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| failed(certificate, &error))?.with_client_cert_verifier(clients);
    let mut config = config.with_single_cert(chain, private).map_err(|error| failed(certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error: &dyn fmt::Display| TlsError(format!("`{}`: {error}", path.display()));
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    if certificates.is_empty() {
        return Err(failed(&"there is no certificate in it: expected PEM"));
    }
    Ok(certificates)
}

/// The names in the certificate that a client has proved to be its own.
pub(crate) fn names(connection: &ServerConnection) -> Arc<[String]> {
    let names = |certificate: &CertificateDer<'_>| {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let names = certificate.valid_uri_names().chain(certificate.valid_dns_names());
        Some(names.map(str::to_owned).collect())
    };
    connection.peer_certificates().and_then(|chain| names(chain.first()?)).unwrap_or_default()
}
