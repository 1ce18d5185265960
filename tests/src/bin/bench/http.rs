//! One HTTP/1.1 keep-alive connection. The rule: answers come in the order of their requests, so they need no names, and
//! requests are few and small, so the socket takes them whole.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

/// A nonblocking connection that sends small requests.
pub(crate) struct Http {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// Bytes of the answer handed out last; dropped when the next is read.
    handed: usize,
}

/// An answer that is all here.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Http {
    pub(crate) fn connect(address: SocketAddr) -> Result<Http> {
        let stream = TcpStream::connect(address).context("connecting for HTTP")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Http { stream, inbox: Vec::new(), handed: 0 })
    }

    /// For an epoll.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a request, or a few at once. Those before were answered, so the socket takes them whole or is broken.
    pub(crate) fn send(&mut self, requests: &[u8]) -> Result<()> {
        self.stream.write_all(requests).context("sending a request")
    }

    /// The next answer that is here, after one read if there is none; `None` while it is incomplete.
    pub(crate) fn receive(&mut self) -> Result<Option<Answer<'_>>> {
        self.inbox.drain(..self.handed);
        self.handed = 0;
        let mut head = parse(&self.inbox)?;
        if head.is_none() {
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the server closed a keep-alive connection"),
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error).context("reading an answer"),
            }
            head = parse(&self.inbox)?;
        }
        let Some(head) = head else { return Ok(None) };
        self.handed = head.body_at + head.length;
        Ok(Some(Answer { status: head.status, body: &self.inbox[head.body_at..self.handed] }))
    }
}

struct Head {
    status: u16,
    body_at: usize,
    length: usize,
}

/// Finds the answer's parts; `None` while bytes are missing.
fn parse(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).context("the answer's head is not text")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer without status")?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .context("an answer without Content-Length")?;
    let body_at = end + 4;
    Ok((bytes.len() - body_at >= length).then_some(Head { status, body_at, length }))
}

/// A `POST` of JSON to the trigger, with an idempotency key or without.
pub(crate) fn post_update(host: SocketAddr, key: Option<&str>, body: &str) -> Vec<u8> {
    let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    post(host, "/api/analytics/trigger-update", &key, body)
}

/// A `POST` of JSON with further header lines.
pub(crate) fn post(host: SocketAddr, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A `GET` of the counters of some contents, whose ids need no escaping.
pub(crate) fn get_content(host: SocketAddr, ids: &[String]) -> Vec<u8> {
    let ids = ids.join("&id=");
    format!("GET /api/analytics/content?id={ids} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// Whether `/ready` is answered with 200.
pub(crate) fn is_ready(host: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(host).context("connecting for HTTP")?;
    write!(stream, "GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_when_its_last_byte_is_here() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let head = parse(bytes).expect("well formed").expect("complete");
        assert_eq!((head.status, &bytes[head.body_at..head.body_at + head.length]), (200, b"hello".as_slice()));
        assert!(parse(&bytes[..bytes.len() - 1]).expect("well formed").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "no length, no way to find the end");
    }

    #[test]
    fn answers_that_came_together_are_handed_out_one_by_one() -> Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let mut http = Http::connect(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        server.write_all(
            b"HTTP/1.1 201 Created\r\ncontent-length: 1\r\n\r\naHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        )?;
        drop(server);
        let mut answered = Vec::new();
        while answered.len() < 2 {
            if let Some(answer) = http.receive()? {
                answered.push((answer.status, answer.body.to_vec()));
            }
        }
        assert_eq!(answered, [(201, b"a".to_vec()), (202, Vec::new())]);
        Ok(())
    }
}
