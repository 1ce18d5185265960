//! TLS of the binary's own listener: its certificate and what is offered to clients. The rule: a certificate is taken up
//! only when it and its key are whole, belong together and are in force; until then the one before stays in use.

mod session;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::IntCounter;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

pub(crate) use self::session::{RECORD, Session};
use crate::edge::EdgeHandle;

/// Between two looks at the files of a certificate.
const LOOK: Duration = Duration::from_secs(5);

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain as PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key as PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
}

/// Why a certificate is not taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// It is the file of the chain; the text continues a sentence that names it.
    #[error("the certificate {0}")]
    Certificate(String),
    /// It is the file of the key; the text continues a sentence that names it and holds nothing of the key.
    #[error("the key {0}")]
    Key(String),
}

/// What the files held when they were read.
#[derive(PartialEq, Eq)]
struct Read {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate in use, and its files.
pub struct Certificate {
    files: CertificateFiles,
    used: Arc<Used>,
    seen: Read,
}

/// The certificate that handshakes are made with.
#[derive(Debug)]
struct Used(RwLock<Arc<CertifiedKey>>);

/// What a TLS listener needs: the terms of a handshake, and where one that fails is counted.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    pub(crate) failed: IntCounter,
}

impl CertificateFiles {
    /// Reads the files.
    ///
    /// A chain that clients refuse because of its dates is taken all the same, and said in the log: this machine's clock may
    /// be the one that is wrong.
    ///
    /// # Errors
    /// One cannot be read, holds nothing of its kind, or they do not belong together.
    pub fn load(self) -> Result<Certificate, InvalidCertificate> {
        let seen = self.read()?;
        let used = Arc::new(Used(RwLock::new(Arc::new(certified(&seen)?))));
        Ok(Certificate { files: self, used, seen })
    }

    fn read(&self) -> Result<Read, InvalidCertificate> {
        // Anything else, a pipe say, may keep a reader waiting for ever.
        let read = |path: &PathBuf| match std::fs::metadata(path) {
            Ok(about) if !about.is_file() => Err("cannot be read: it is not a file".to_owned()),
            _ => std::fs::read(path).map_err(|error| format!("cannot be read: {error}")),
        };
        Ok(Read {
            certificate: read(&self.certificate).map_err(InvalidCertificate::Certificate)?,
            key: read(&self.key).map_err(InvalidCertificate::Key)?,
        })
    }
}

impl Certificate {
    /// Looks at the files now and then, and takes up what is new; never ends.
    pub(crate) async fn renew(mut self) {
        let (mut complaint, mut dated) = (None, None);
        loop {
            let wrong = self.used.current().end_entity_cert().ok().and_then(out_of_date);
            if wrong != dated {
                if let Some(wrong) = &wrong {
                    let file = self.files.certificate.display();
                    tracing::warn!(%file, "the certificate in use {wrong}: clients refuse it");
                }
                dated = wrong;
            }
            tokio::time::sleep(LOOK).await;
            let files = self.files.clone();
            // Files may lie on a network: no connection waits for them.
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { return };
            match read.and_then(|read| self.take_up(read)) {
                Ok(()) => complaint = None,
                // A renewal that is half written is said once and looked at again.
                Err(invalid) if complaint.as_ref() != Some(&invalid) => {
                    let file = match &invalid {
                        InvalidCertificate::Certificate(_) => self.files.certificate.display(),
                        InvalidCertificate::Key(_) => self.files.key.display(),
                    };
                    let error = &invalid;
                    tracing::error!(%error, %file, "a new certificate is not taken up; the one before stays in use");
                    complaint = Some(invalid);
                }
                Err(_) => {}
            }
        }
    }

    fn take_up(&mut self, read: Read) -> Result<(), InvalidCertificate> {
        if read == self.seen {
            return Ok(());
        }
        let certified = Arc::new(certified(&read)?);
        if let Some(wrong) = certified.end_entity_cert().ok().and_then(out_of_date) {
            return Err(InvalidCertificate::Certificate(wrong));
        }
        *self.used.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        self.seen = read;
        tracing::info!("a new certificate is in use");
        Ok(())
    }
}

/// Nothing of a key.
impl Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Handshakes with this certificate, counted in an edge's metrics.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(certificate: &Certificate, edge: &EdgeHandle) -> Result<Acceptor, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate.used.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A crowd that comes back resumes from its tickets, which cost no memory here. No early data: a POST that came
        // in it could be played again.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Acceptor { config: Arc::new(config), failed: edge.metrics_of().tls_failed.clone() })
    }

    /// A session that awaits its client.
    pub(crate) fn session(&self) -> Result<Session, rustls::Error> {
        Session::new(self.config.clone())
    }
}

impl Used {
    fn current(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Used {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// Given by name: what other libraries of the process choose must not matter here.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certified(read: &Read) -> Result<CertifiedKey, InvalidCertificate> {
    let wrong = |text: String| Err(InvalidCertificate::Certificate(text));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read.certificate).collect();
    let chain = match chain {
        Ok(chain) if chain.is_empty() => return wrong("holds no certificate in PEM".to_owned()),
        Ok(chain) => chain,
        Err(error) => return wrong(format!("is not PEM: {}", of_pem(&error))),
    };
    // rustls reads the first one only; a client reads them all, and goes away where it cannot.
    if let Some(unreadable) = chain.iter().position(|part| !matches!(parse_x509_certificate(part), Ok(([], _)))) {
        return wrong(format!("is not one that can be read, in its part {}", unreadable + 1));
    }
    let key =
        PrivateKeyDer::from_pem_slice(&read.key).map_err(|error| InvalidCertificate::Key(of_key(&read.key, error)))?;
    match CertifiedKey::from_der(chain, key, &provider()) {
        Ok(certified) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(InvalidCertificate::Key("belongs to another certificate".to_owned()))
        }
        Err(rustls::Error::InvalidCertificate(error)) => wrong(format!("is not one that can be read: {error:?}")),
        Err(error) => Err(InvalidCertificate::Key(format!("is not one that can be used: {error}"))),
    }
}

/// What is wrong with a certificate's dates now, as the end of a sentence that names it.
fn out_of_date(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let (validity, now) = (certificate.validity(), ASN1Time::now());
    if now > validity.not_after {
        Some(format!("ended at {}", validity.not_after))
    } else if now < validity.not_before {
        Some(format!("begins only at {}", validity.not_before))
    } else {
        None
    }
}

fn of_key(held: &[u8], error: pem::Error) -> String {
    let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
    if encrypted.iter().any(|mark| held.windows(mark.len()).any(|window| window == *mark)) {
        return "is encrypted; it must be stored without a passphrase".to_owned();
    }
    match error {
        pem::Error::NoItemsFound => "holds no private key in PEM".to_owned(),
        error => format!("is not PEM: {}", of_pem(&error)),
    }
}

/// What is wrong with PEM, without a line of it: it may be part of a key.
fn of_pem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section begins wrongly",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read",
    }
}
