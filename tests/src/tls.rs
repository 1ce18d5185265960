//! A hop that ends TLS in front of a plain server. The rule: its certificate is for `localhost`, made anew each time, and
//! trusted by whoever is given it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The hop, on a free port; it ends when it is dropped.
#[derive(Debug)]
pub struct TlsHop {
    /// `https://localhost:port`.
    pub url: String,
    certificate: NamedTempFile,
    ended: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl TlsHop {
    /// Starts it in front of an address.
    pub async fn start(to: SocketAddr) -> Result<TlsHop> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).context("make a certificate")?;
        let mut certificate = NamedTempFile::new().context("create a file for the certificate")?;
        certificate.write_all(made.cert.pem().as_bytes()).context("write the certificate")?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the hop")?;
        let url = format!("https://localhost:{}", listener.local_addr().context("the hop's address")?.port());
        let ended = Arc::new(AtomicUsize::new(0));
        let of_accepting = ended.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (acceptor, ended) = (acceptor.clone(), of_accepting.clone());
                tokio::spawn(async move {
                    // A connection that fails ends itself only.
                    let _ = join(near, to, &acceptor).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Ok(TlsHop { url, certificate, ended, accepting })
    }

    /// How many connections have ended, on both sides.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// The file of the certificate, as PEM.
    pub fn certificate(&self) -> &Path {
        self.certificate.path()
    }
}

impl Drop for TlsHop {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn join(near: TcpStream, to: SocketAddr, acceptor: &TlsAcceptor) -> std::io::Result<()> {
    let mut near = acceptor.accept(near).await?;
    let mut far = TcpStream::connect(to).await?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
