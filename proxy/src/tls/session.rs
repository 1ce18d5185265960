//! One TLS connection without its socket: bytes of the wire to bytes of the protocol, and back. The rule: what was
//! encrypted goes out before anything that is encrypted later, and between two records a session owns no buffer.
//!
//! rustls's unbuffered connection leaves every buffer to its caller, so an idle session holds keys and state only, and
//! whoever serves many of them reads and encrypts in one buffer for all.

use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{Error, ServerConfig};

/// The most payload of one record (RFC 8446 §5.1).
pub(crate) const RECORD: usize = 16 * 1024;

/// What the largest record that rustls writes has besides its payload: header, nonce, type and tag.
const OVERHEAD: usize = 5 + 8 + 1 + 16;

/// Bytes that may wait for the rest of their record or handshake message. More is no client's need, and whoever is in
/// its handshake is a stranger.
const MAX_INCOMPLETE: usize = 32 * 1024;

/// The server's side of a connection.
pub(crate) struct Session {
    tls: UnbufferedServerConnection,
    /// What came of a record, or of a message of the handshake, that is not whole yet.
    incomplete: Vec<u8>,
    /// Encrypted bytes that the socket did not take yet.
    outgoing: Vec<u8>,
    sent: usize,
    ended: bool,
    said_goodbye: bool,
}

impl Session {
    /// A session that awaits the peer's first message.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Session, Error> {
        let tls = UnbufferedServerConnection::new(config)?;
        let (incomplete, outgoing) = (Vec::new(), Vec::new());
        Ok(Session { tls, incomplete, outgoing, sent: 0, ended: false, said_goodbye: false })
    }

    /// Whether the handshake is still under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether the peer has said that nothing more comes (`close_notify`).
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether it owns no buffer.
    #[cfg(test)]
    pub(crate) fn is_bare(&self) -> bool {
        self.incomplete.capacity() == 0 && self.outgoing.capacity() == 0
    }

    /// The names of what was agreed on: the cipher suite's and the version's.
    pub(crate) fn agreed(&self) -> Option<(String, String)> {
        let (suite, version) = (self.tls.negotiated_cipher_suite()?, self.tls.protocol_version()?);
        Some((format!("{:?}", suite.suite()), format!("{version:?}")))
    }

    /// Begins a read: `wire` holds what came before of an incomplete record, and what is read is to be appended.
    pub(crate) fn begin(&mut self, wire: &mut Vec<u8>) {
        wire.clear();
        wire.extend_from_slice(&self.incomplete);
        self.incomplete = Vec::new();
    }

    /// Ends a read: appends the payload of every whole record to `plain`, and what must be answered to what goes out.
    ///
    /// # Errors
    /// The peer broke the protocol; an alert that says so is in what goes out. What was appended came before that.
    pub(crate) fn take(&mut self, wire: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        let (mut at, mut failed) = (0, None);
        // After a failure only what waits is asked for, the alert: what failed must not be looked at again.
        while failed.is_none() || self.tls.wants_write() {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(&mut wire[at..]);
            let mut done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(_) => done = true,
                Err(error) if failed.is_none() => failed = Some(error),
                Err(_) => done = true,
            }
            at += discard;
            if done {
                break;
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if wire.len() - at > MAX_INCOMPLETE {
            return Err(Error::General("too much came of a message that is not whole".to_owned()));
        }
        self.incomplete = wire[at..].to_vec();
        Ok(())
    }

    /// Encrypts at most one [`RECORD`] of payload and appends it to `wire`, behind everything that waits in the session
    /// to be sent; so that must be sent first.
    pub(crate) fn encrypt(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        let length = plain.len().min(RECORD) + OVERHEAD;
        self.write(length, wire, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Says that nothing more will be sent (`close_notify`), once: the alert is behind everything that waits to be sent.
    pub(crate) fn say_goodbye(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.said_goodbye, true) {
            return Ok(());
        }
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let done = self.write(2 + OVERHEAD, &mut outgoing, |traffic, room| traffic.queue_close_notify(room));
        self.outgoing = outgoing;
        done
    }

    fn write(
        &mut self,
        length: usize,
        wire: &mut Vec<u8>,
        write: impl Fn(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        loop {
            // What is incomplete stays so: nothing was added to it.
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut self.incomplete);
            debug_assert_eq!(discard, 0);
            match state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return append(wire, length, |room| write(&mut traffic, room));
                }
                ConnectionState::EncodeTlsData(data) => encode(data, wire)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }

    /// Encrypted bytes that wait for the socket.
    pub(crate) fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// The socket took this many of them.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.outgoing.len() {
            self.outgoing = Vec::new();
            self.sent = 0;
        }
    }

    /// Keeps encrypted bytes that the socket did not take.
    pub(crate) fn keep(&mut self, wire: &[u8]) {
        self.outgoing.extend_from_slice(wire);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("handshaking", &self.is_handshaking()).field("ended", &self.ended).finish()
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, wire: &mut Vec<u8>) -> Result<(), Error> {
    let at = wire.len();
    let required = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(short)) => short.required_size,
        _ => return Ok(()),
    };
    wire.resize(at + required, 0);
    data.encode(&mut wire[at..]).map(drop).map_err(|error| Error::General(error.to_string()))
}

/// Appends what is written into room that is first taken to be `length` bytes long.
fn append(
    wire: &mut Vec<u8>,
    mut length: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    let at = wire.len();
    loop {
        wire.resize(at + length, 0);
        match write(&mut wire[at..]) {
            Ok(written) => {
                wire.truncate(at + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(short)) if short.required_size > length => {
                length = short.required_size;
            }
            Err(error) => {
                wire.truncate(at);
                return Err(Error::General(error.to_string()));
            }
        }
    }
}
