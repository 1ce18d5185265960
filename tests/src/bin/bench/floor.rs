//! The floor: what the kernel alone costs. The rule: per update and subscriber one bare nonblocking `send(2)` of the
//! bytes that the edge would send, and nothing else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};

use crate::update::{Update, Writer};
use crate::wire;

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

    let writer = Writer::new()?;
    for value in 1.. {
        // The end of the control connection is the end of the measurement.
        if control.read(&mut [0])? == 0 {
            break;
        }
        let bytes = frames(&writer, coalesced, value)?;
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

/// One frame per topic, back to back.
fn frames(writer: &Writer, topics: usize, value: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for id in 0..u32::try_from(topics)? {
        let mut json = Vec::new();
        writer.append(&mut json, Update { id, value })?;
        wire::unmasked(&mut bytes, wire::TEXT, &json);
    }
    Ok(bytes)
}
