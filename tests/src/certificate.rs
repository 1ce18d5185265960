//! A certificate for this machine's own names, made anew each time. The rule: whoever is given it trusts it and nothing
//! else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

/// The names and addresses that it is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate and its key, in files.
#[derive(Debug)]
pub struct Certificate {
    directory: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Makes one.
    pub fn new() -> Result<Certificate> {
        let directory = tempfile::tempdir().context("create a directory for the certificate")?;
        let der = write(directory.path())?;
        Ok(Certificate { directory, der })
    }

    /// Puts a new one into the same files.
    pub fn renew(&mut self) -> Result<()> {
        self.der = write(self.directory.path())?;
        Ok(())
    }

    /// Puts one into the same files whose time is over; [`Certificate::client`] does not trust it.
    pub fn replace_by_an_ended_one(&self) -> Result<()> {
        let mut parameters = CertificateParams::new(NAMES.map(str::to_owned).to_vec()).context("the names")?;
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let key = KeyPair::generate().context("make a key")?;
        let certificate = parameters.self_signed(&key).context("make a certificate")?;
        files(self.directory.path(), &key, &certificate.pem())
    }

    /// The file of the certificate, as PEM.
    pub fn chain(&self) -> PathBuf {
        self.directory.path().join("chain.pem")
    }

    /// The file of its key, as PEM (PKCS #8).
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// The variables that give it to an edge which takes a free port.
    pub fn env(&self) -> Result<[(&'static str, String); 3]> {
        let text = |path: PathBuf| path.into_os_string().into_string().ok().context("a path that is no text");
        Ok([
            ("ANALYTICS_TLS_CERT", text(self.chain())?),
            ("ANALYTICS_TLS_KEY", text(self.key())?),
            ("ANALYTICS_TLS_PORT", "0".to_owned()),
        ])
    }

    /// A client that trusts it alone and speaks these versions.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).context("trust the certificate")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let mut client = builder.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(client)
    }

    /// A server that has it.
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::from_pem_file(self.key()).context("read the key")?;
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        Ok(Arc::new(builder.with_single_cert(vec![self.der.clone()], key)?))
    }

    /// The same with every version.
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        self.client_of(rustls::DEFAULT_VERSIONS).map(Arc::new)
    }
}

fn write(directory: &Path) -> Result<CertificateDer<'static>> {
    let names = NAMES.map(str::to_owned).to_vec();
    let CertifiedKey::<KeyPair> { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).context("make a certificate")?;
    files(directory, &signing_key, &cert.pem())?;
    Ok(cert.der().clone())
}

fn files(directory: &Path, key: &KeyPair, certificate: &str) -> Result<()> {
    std::fs::write(directory.join("key.pem"), key.serialize_pem()).context("write the key")?;
    std::fs::write(directory.join("chain.pem"), certificate).context("write the certificate")
}
