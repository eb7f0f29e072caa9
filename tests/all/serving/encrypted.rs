//! Encrypted connections, certificates of clients, and connections through a file.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use weir_server::{Address, KeyFile, Role, Server, Settings, TlsSettings};

use super::{Answer, CALL, Serving, ask, connect, post, read};
use crate::harness::{allows_after, host_of};

/// Somebody whose word counts for certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Authority {
    fn new() -> Authority {
        let (mut params, key) = (CertificateParams::new(Vec::new()).unwrap(), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    /// Certifies a name: an address (URI) where there is a scheme in it, else a host's.
    fn certify(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = name.try_into().unwrap();
        params.subject_alt_names =
            vec![if format!("{name:?}").contains("://") { SanType::URI(name) } else { SanType::DnsName(name) }];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: key.serialize_der() }
    }
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", BASE64_STANDARD.encode(der))
}

/// The files of a server's certificates, and the authority behind them.
pub(super) struct Place {
    folder: TempDir,
    authority: Authority,
}

impl Place {
    pub(super) fn new(host: &str) -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap(), authority: Authority::new() };
        place.certify(host);
        fs::write(place.path("ca.pem"), pem("CERTIFICATE", &place.authority.certificate)).unwrap();
        place
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives the server another certificate.
    fn certify(&self, name: &str) {
        let Identity { chain, key } = self.authority.certify(name);
        fs::write(self.path("server.key"), pem("PRIVATE KEY", &key)).unwrap();
        fs::write(self.path("server.pem"), pem("CERTIFICATE", &chain[0])).unwrap();
    }

    pub(super) fn settings(&self) -> Settings {
        let tls = TlsSettings {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: Some(self.path("ca.pem")),
        };
        Settings { tls: Some(tls), keys: Some(self.path("keys.toml")), ..Settings::default() }
    }

    pub(super) fn write_keys(&self, keys: &KeyFile) {
        fs::write(self.path("keys.toml"), keys.text()).unwrap();
        fs::set_permissions(self.path("keys.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Asks as whoever has this certificate, on a connection of its own; none where the server ends it.
    fn ask(&self, serving: &Serving, host: &str, identity: Option<&Identity>, request: &str) -> Option<Answer> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => {
                config.with_client_auth_cert(chain.clone(), PrivateKeyDer::try_from(key.clone()).unwrap()).unwrap()
            }
        };
        let connection = ClientConnection::new(Arc::new(config), host.to_owned().try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, connect(serving.address));
        stream.write_all(request.as_bytes()).ok()?;
        read(&mut stream)
    }
}

#[test]
fn a_certificate_is_as_good_as_a_key_and_names_the_tenant() {
    let place = Place::new("first.example");
    let now = jiff::Timestamp::now();
    let mut keys = KeyFile::default();
    keys.add_certificate("spiffe://example.org/claims", "claims", Role::Evaluator, now, None).unwrap();
    keys.add_certificate("ops.example", "ops", Role::Auditor, now, None).unwrap();
    let key = keys.add("letters", Role::Evaluator, now, None).unwrap();
    place.write_keys(&keys);
    let serving = Serving::start(host_of(allows_after("", ""), ""), place.settings());
    let ask = |identity: Option<&Identity>, headers: &str| {
        place.ask(&serving, "first.example", identity, &post("/v1/evaluate", headers, CALL))
    };
    let claims = place.authority.certify("spiffe://example.org/claims");
    let answer = ask(Some(&claims), "").unwrap();
    assert_eq!((answer.status, answer.json()["tenant"].as_str()), (200, Some("claims")), "{answer:?}");
    let with_key = format!("Authorization: Bearer {}\r\n", key.secret);
    assert_eq!(ask(None, &with_key).unwrap().json()["tenant"], "letters");
    assert_eq!(
        ask(Some(&claims), &with_key).unwrap().json()["tenant"],
        "letters",
        "a key says more than a certificate"
    );
    assert_eq!(ask(Some(&claims), "Authorization: Bearer wrong\r\n").unwrap().status, 401);
    assert_eq!(ask(None, "").unwrap().status, 401);
    assert_eq!(ask(Some(&place.authority.certify("nobody.example")), "").unwrap().status, 401);
    assert_eq!(ask(Some(&place.authority.certify("ops.example")), "").unwrap().status, 403);
    let stranger = Authority::new().certify("spiffe://example.org/claims");
    assert!(ask(Some(&stranger), "").is_none(), "another authority's word does not count");
    assert_eq!(ask(Some(&claims), "").unwrap().status, 200);
}

#[test]
fn what_is_not_encrypted_or_never_said_harms_nobody() {
    let place = Place::new("first.example");
    place.write_keys(&KeyFile::default());
    let settings = Settings { header_timeout: Duration::from_millis(300), ..place.settings() };
    let serving = Serving::start(host_of(allows_after("", ""), ""), settings);
    let mut plain = connect(serving.address);
    plain.write_all(post("/v1/evaluate", "", CALL).as_bytes()).unwrap();
    assert!(read(&mut plain).is_none(), "it is no answer of HTTP");
    let mut silent: Vec<TcpStream> = (0..50).map(|_| connect(serving.address)).collect();
    assert_eq!(place.ask(&serving, "first.example", None, &post("/v1/evaluate", "", CALL)).unwrap().status, 401);
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "whoever does not begin is let go");
    }
}

#[test]
fn a_certificate_that_is_replaced_is_used() {
    let place = Place::new("first.example");
    place.write_keys(&KeyFile::default());
    let serving = Serving::start(host_of(allows_after("", ""), ""), place.settings());
    let reaches = |host: &str| place.ask(&serving, host, None, &post("/v1/evaluate", "", CALL)).is_some();
    assert!(reaches("first.example") && !reaches("second.example"));
    let until = Instant::now() + Duration::from_secs(60);
    let is_stale = |is: u8| {
        let told = format!("\nweir_http_certificates_stale {is}\n");
        ask(serving.admin, &super::get("/metrics")).body.contains(&told)
    };
    assert!(is_stale(0));
    fs::write(place.path("server.pem"), "no certificate").unwrap();
    while !is_stale(1) {
        assert!(Instant::now() < until, "nobody tells that the certificate cannot be used");
    }
    assert!(reaches("first.example"), "the one before stays");
    place.certify("second.example");
    while !reaches("second.example") {
        assert!(Instant::now() < until, "the new certificate is never used");
    }
    assert!(!reaches("first.example") && is_stale(0));
}

#[test]
fn certificates_that_cannot_be_used_are_told() {
    let place = Place::new("first.example");
    place.write_keys(&KeyFile::default());
    let refused = |settings: Settings| {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listen: Address = "127.0.0.1:0".parse().unwrap();
        let settings = Settings { listen, admin: None, ..settings };
        executor.block_on(async { Server::bind(settings).err().expect("they cannot be used").to_string() })
    };
    for (file, text) in
        [("ca.pem", "nothing"), ("server.pem", "nothing"), ("server.key", "nothing"), ("server.key", "")]
    {
        let place = Place::new("first.example");
        place.write_keys(&KeyFile::default());
        fs::write(place.path(file), text).unwrap();
        let told = refused(place.settings());
        assert!(told.contains("cannot encrypt") && told.contains(file), "{told}");
    }
    let other = Place::new("first.example");
    fs::copy(other.path("server.key"), place.path("server.key")).unwrap();
    assert!(refused(place.settings()).contains("server.pem"), "the key of another certificate");
}

#[test]
fn a_file_is_an_address_and_a_successor_takes_it_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.sock");
    let asked = |path: &Path| {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(post("/v1/evaluate", "", CALL).as_bytes()).unwrap();
        read(&mut stream).expect("the server answers").status
    };
    let start = || {
        let settings = Settings { listen: Address::Unix(path.clone()), ..Settings::default() };
        Serving::at(
            Arc::new(host_of(allows_after("", ""), "")),
            Settings { admin: "127.0.0.1:0".parse().ok(), ..settings },
        )
    };
    // Left behind by a server that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut first = start();
    assert_eq!(asked(&path), 200);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let second = start();
    first.join();
    assert_eq!(asked(&path), 200, "the first one leaves the second one's file alone");
    assert_eq!(ask(second.admin, &super::get("/livez")).status, 200);
    drop(second);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    fs::write(&path, "somebody's").unwrap();
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = Settings { listen: Address::Unix(path.clone()), ..Settings::default() };
    let told = executor.block_on(async { Server::bind(settings).err().expect("it is no socket").to_string() });
    assert!(told.contains("no socket") && fs::read_to_string(&path).unwrap() == "somebody's", "{told}");
}
