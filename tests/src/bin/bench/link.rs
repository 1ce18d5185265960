//! A subscriber's socket, plain or with TLS 1.3. The rule: nonblocking, read once for each time that it is readable, and
//! without a buffer of its own but for what TLS needs.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// For whom certificates are.
const HOST: &str = "localhost";

/// One connection to a server.
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// TLS over a socket.
pub(crate) struct Tls {
    stream: TcpStream,
    session: ClientConnection,
}

impl Link {
    /// Connects, with TLS if it is given what to trust.
    pub(crate) fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Link> {
        // Over loopback the kernel answers at once: a blocking connect costs no waiting.
        let stream = TcpStream::connect(address).context("connecting a subscriber")?;
        stream.set_nonblocking(true)?;
        let Some(config) = tls else { return Ok(Link::Plain(stream)) };
        let session = ClientConnection::new(Arc::clone(config), ServerName::try_from(HOST)?)?;
        Ok(Link::Tls(Box::new(Tls { stream, session })))
    }

    /// For an epoll.
    pub(crate) fn stream(&self) -> &TcpStream {
        match self {
            Link::Plain(stream) => stream,
            Link::Tls(tls) => &tls.stream,
        }
    }

    /// Reads what one read of the socket brings, with TLS at most 64 KiB; 0 bytes are the end. Of TLS it may be nothing yet:
    /// [`ErrorKind::WouldBlock`].
    pub(crate) fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.read(chunk),
            Link::Tls(tls) => tls.read(chunk),
        }
    }

    /// Sends a small message. Before TLS is agreed on it waits in the session.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Link::Plain(stream) => stream.write_all(bytes),
            Link::Tls(tls) => {
                tls.session.writer().write_all(bytes)?;
                tls.flush()
            }
        }
    }
}

impl Tls {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        if self.session.read_tls(&mut self.stream)? == 0 {
            return Ok(0);
        }
        self.session.process_new_packets().map_err(io::Error::other)?;
        self.flush()?;
        self.session.reader().read(chunk)
    }

    /// What a subscriber sends always fits into an idle socket.
    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.stream)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// A certificate for a server, and clients that trust it alone.
pub(crate) struct Trust {
    /// PEM files, which last as long as their folder.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) clients: Arc<ClientConfig>,
}

impl Trust {
    /// Makes the certificate in a folder.
    pub(crate) fn make(folder: &Path) -> Result<Trust> {
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).context("making a certificate")?;
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        fs::write(&certificate, made.cert.pem()).context("writing the certificate")?;
        fs::write(&key, made.signing_key.serialize_pem()).context("writing the certificate's key")?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).context("trusting the certificate")?;
        let mut clients = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each subscriber stands for another browser: it has no session to resume.
        clients.resumption = Resumption::disabled();
        Ok(Trust { certificate, key, clients: Arc::new(clients) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    /// Greets whoever connects, and sends back the first line that it is sent.
    fn echo(listener: TcpListener, trust: &Trust) -> Result<thread::JoinHandle<Result<()>>> {
        let certificate = CertificateDer::from_pem_file(&trust.certificate)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(&trust.key)?)?;
        Ok(thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config))?, stream);
            stream.write_all(b"hello\n")?;
            let mut byte = [0];
            while byte != *b"\n" {
                stream.read_exact(&mut byte)?;
                stream.write_all(&byte)?;
            }
            Ok(())
        }))
    }

    #[test]
    fn what_is_sent_before_tls_is_agreed_on_arrives() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let trust = Trust::make(folder.path())?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = echo(listener, &trust)?;
        let mut link = Link::connect(address, Some(&trust.clients))?;
        link.send(b"at once\n")?;
        let mut received = Vec::new();
        let mut chunk = [0; 1024];
        while received.len() < b"hello\nat once\n".len() {
            poll(&mut [PollFd::new(link.stream(), PollFlags::IN)], None)?;
            match link.read(&mut chunk) {
                Ok(count) => received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        assert_eq!(received, b"hello\nat once\n");
        server.join().expect("the server does not panic")
    }
}
