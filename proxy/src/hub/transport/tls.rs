//! TLS of one connection in a hub. The rule: at most one record is encrypted beyond what the socket takes, so a peer that
//! does not read costs that record and no more.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::{Received, receive, send};
use crate::hub::output::Taken;
use crate::hub::run::READ_BYTES;
use crate::tls::{RECORD, Session};

/// The buffer in which a hub reads and encrypts, one connection after the other.
#[derive(Debug, Clone, Default)]
pub(in crate::hub) struct Wire(Rc<RefCell<Vec<u8>>>);

#[derive(Debug)]
pub(in crate::hub) struct Tls {
    socket: OwnedFd,
    session: Session,
    wire: Wire,
}

impl Tls {
    pub(super) fn new(socket: OwnedFd, session: Session, wire: Wire) -> Tls {
        Tls { socket, session, wire }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Taken {
        match self.flush() {
            Taken::All => {}
            Taken::Part(_) => return Taken::Part(0),
            Taken::Gone => return Taken::Gone,
        }
        let mut wire = self.wire.0.borrow_mut();
        let mut taken = 0;
        for record in bytes.chunks(RECORD) {
            wire.clear();
            if let Err(error) = self.session.encrypt(record, &mut wire) {
                tracing::debug!(%error, "a record cannot be encrypted");
                return Taken::Gone;
            }
            taken += record.len();
            match send(self.socket.as_fd(), &wire) {
                Taken::All => {}
                Taken::Part(sent) => {
                    self.session.keep(&wire[sent..]);
                    return Taken::Part(taken);
                }
                Taken::Gone => return Taken::Gone,
            }
        }
        Taken::All
    }

    pub(super) fn holds_output(&self) -> bool {
        !self.session.outgoing().is_empty()
    }

    pub(super) fn flush(&mut self) -> Taken {
        if !self.holds_output() {
            return Taken::All;
        }
        let taken = send(self.socket.as_fd(), self.session.outgoing());
        match taken {
            Taken::All => self.session.took(self.session.outgoing().len()),
            Taken::Part(sent) => self.session.took(sent),
            Taken::Gone => {}
        }
        taken
    }

    pub(super) fn receive(&mut self, input: &mut Vec<u8>) -> Received {
        let shared = self.wire.clone();
        let mut wire = shared.0.borrow_mut();
        self.session.begin(&mut wire);
        wire.reserve(READ_BYTES);
        let received = receive(self.socket.as_fd(), &mut wire);
        let taken = self.session.take(&mut wire, input);
        // An alert, or an answer of the protocol's own. What the socket does not take goes before the next record.
        let sent = self.flush();
        match taken {
            Err(error) => {
                tracing::debug!(%error, "a TLS connection is broken");
                Received::Gone
            }
            Ok(()) if sent == Taken::Gone => Received::Gone,
            Ok(()) if self.session.has_ended() => Received::Ended,
            Ok(()) => received,
        }
    }

    /// Sends `close_notify`, once, behind everything else.
    pub(super) fn say_goodbye(&mut self) -> Taken {
        match self.session.say_goodbye() {
            Ok(()) => self.flush(),
            Err(error) => {
                tracing::debug!(%error, "a TLS connection is broken");
                Taken::Gone
            }
        }
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

    use super::*;

    /// A transport after its handshake, over a socket that holds little, and its peer.
    fn open() -> (Tls, ClientConnection, UnixStream) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate with its key");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("trust");
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
        let mut session = Session::new(Arc::new(server)).expect("a session");
        while client.is_handshaking() || session.is_handshaking() {
            let (mut wire, mut came) = (Vec::new(), Vec::new());
            session.begin(&mut wire);
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory");
            }
            session.take(&mut wire, &mut came).expect("a handshake");
            let answer = session.outgoing().to_vec();
            session.took(answer.len());
            let mut answer = answer.as_slice();
            while !answer.is_empty() {
                client.read_tls(&mut answer).expect("memory");
                client.process_new_packets().expect("a handshake");
            }
        }
        let (near, far) = UnixStream::pair().expect("sockets");
        near.set_nonblocking(true).expect("a nonblocking socket");
        far.set_nonblocking(true).expect("a nonblocking socket");
        socket2::SockRef::from(&near).set_send_buffer_size(8 * 1024).expect("a small buffer");
        (Tls::new(near.into(), session, Wire::default()), client, far)
    }

    /// Reads what one read gives, at most, and decrypts it.
    fn read(client: &mut ClientConnection, far: &mut UnixStream, plain: &mut Vec<u8>) -> bool {
        let mut wire = [0; 4096];
        let Ok(count) = far.read(&mut wire) else { return false };
        let mut wire = &wire[..count];
        while !wire.is_empty() {
            client.read_tls(&mut wire).expect("memory");
            let io = client.process_new_packets().expect("every record in order");
            let at = plain.len();
            plain.resize(at + io.plaintext_bytes_to_read(), 0);
            client.reader().read_exact(&mut plain[at..]).expect("what was decrypted");
        }
        true
    }

    #[test]
    fn a_full_socket_costs_one_record_and_the_order_stays() {
        let (mut tls, mut client, mut far) = open();
        let said: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut at, mut heard) = (0, Vec::new());
        while heard.len() < said.len() {
            // Insists although the socket is full: a transport is bounded whoever calls it.
            for _ in 0..3 {
                let part = &said[at..(at + 40_000).min(said.len())];
                at += match tls.send(part) {
                    Taken::All => part.len(),
                    Taken::Part(taken) => taken,
                    Taken::Gone => panic!("the peer is there"),
                };
                assert!(tls.session.outgoing().len() <= RECORD + 64, "{}", tls.session.outgoing().len());
            }
            // The peer makes room, of which the next call is the first to know.
            assert!(read(&mut client, &mut far, &mut heard) || at == said.len());
            if at == said.len() {
                assert_ne!(tls.flush(), Taken::Gone);
            }
            assert_eq!(heard, said[..heard.len()]);
        }
        assert!(!tls.holds_output());
    }

    #[test]
    fn a_message_that_comes_byte_by_byte_leaves_no_buffer() {
        let (mut tls, mut client, mut far) = open();
        client.writer().write_all(b"one message").expect("memory");
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("memory");
        let mut input = Vec::new();
        for byte in wire {
            assert_eq!(input, b"");
            far.write_all(&[byte]).expect("room");
            assert_eq!(tls.receive(&mut input), Received::Open);
        }
        assert_eq!(input, b"one message");
        assert!(tls.session.is_bare());
    }
}
