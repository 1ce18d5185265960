//! The floor: what the kernel alone costs. The rule: per update and subscriber one bare nonblocking `send(2)` of the
//! bytes that the edge would send, and nothing else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use analytics_shared::message::ServerMessage;
use analytics_shared::{Field, Id, version};
use anyhow::{Context, Result, ensure};

use crate::{content_id, wire};

/// The other role of this program: takes a control connection and then the subscribers, and sends one round of
/// frames for each byte that comes over the control connection.
///
/// What a subscriber sends stays unread; it is greeted as if the edge had accepted both upgrade and subscription, so
/// one load generator drives both.
pub(crate) fn serve(subscribers: usize, coalesced: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("listening ws={}", listener.local_addr()?);
    let (mut control, _) = listener.accept()?;
    let mut greeting = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
    wire::unmasked(&mut greeting, wire::TEXT, br#"{"type":"subscribed"}"#);
    let sockets: Vec<TcpStream> = (0..subscribers).map(|_| greeted(&listener, &greeting)).collect::<Result<_>>()?;

    let ids: Vec<Id> = (0..coalesced).map(|n| Id::new(&content_id(n))).collect::<Result<_, _>>()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let base = version::base_of_epoch(version::epoch_at(now.as_secs())).context("the clock is beyond any epoch")?;
    for value in 1.. {
        // The end of the control connection is the end of the measurement.
        if control.read(&mut [0])? == 0 {
            break;
        }
        let bytes = frames(&ids, value, base);
        for mut socket in &sockets {
            let sent = socket.write(&bytes).context("a subscriber's socket is full or gone")?;
            ensure!(sent == bytes.len(), "a subscriber's socket took only a part");
        }
    }
    Ok(())
}

fn greeted(listener: &TcpListener, greeting: &[u8]) -> Result<TcpStream> {
    let (mut socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.write_all(greeting)?;
    Ok(socket)
}

/// One frame per id, back to back.
fn frames(ids: &[Id], value: u64, base: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() * 1000);
    for content_id in ids {
        let mut json = Vec::new();
        let message = ServerMessage::AnalyticsUpdate {
            content_id,
            field: Field::Views,
            value,
            timestamp,
            organization_id: None,
            client_id: None,
            version: base + value,
        };
        message.write_to(&mut json);
        wire::unmasked(&mut bytes, wire::TEXT, &json);
    }
    bytes
}
