//! HTTP/1.1 messages as DynamoDB's clients and server send them. The rule: a message counts only once it has arrived as
//! a whole, by its `Content-Length`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request or an answer.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// As it came, to its last byte.
    bytes: Vec<u8>,
    /// Where the body begins.
    body: usize,
}

/// What the hop asks the server on its own behalf.
const LIST_TABLES: &str = "POST / HTTP/1.1\r\nHost: hop\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\n\
    Content-Type: application/x-amz-json-1.0\r\nX-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
    Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=none\r\n\
    Content-Length: 2\r\n\r\n{}";

impl Message {
    /// An answer of the hop's own.
    pub(super) fn answer(status: u16, body: &[u8]) -> Message {
        let head = format!(
            "HTTP/1.1 {status} Injected\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Message { body: head.len(), bytes: [head.as_bytes(), body].concat() }
    }

    /// Reads one; `None` once the stream ends.
    pub(super) async fn read(from: &mut TcpStream) -> std::io::Result<Option<Message>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(message) = Message::whole(&mut bytes) {
                return Ok(Some(message));
            }
            if from.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Sends it on.
    pub(super) async fn write(&self, to: &mut TcpStream) -> std::io::Result<()> {
        to.write_all(&self.bytes).await
    }

    /// What it carries.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    /// The operation that a request names.
    pub(super) fn operation(&self) -> String {
        let target = header(&self.bytes[..self.body], "x-amz-target").unwrap_or_default();
        target.rsplit('.').next().unwrap_or_default().to_owned()
    }

    /// Whether an answer grants what was asked.
    pub(super) fn is_success(&self) -> bool {
        self.bytes.starts_with(b"HTTP/1.1 200 ")
    }

    /// The message if it is whole; pipelining, which no client of DynamoDB does, would be seen as a longer body.
    fn whole(bytes: &mut Vec<u8>) -> Option<Message> {
        let body = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let length = header(&bytes[..body], "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        (bytes.len() >= body + length).then(|| Message { bytes: std::mem::take(bytes), body })
    }
}

/// Returns once the server has carried out everything that it has answered.
///
/// DynamoDB Local answers a transaction a moment before it commits it to its file; killed in between it forgets what it
/// acknowledged. What it is asked next waits for the commit.
pub(super) async fn settle(server: &mut TcpStream) -> std::io::Result<()> {
    server.write_all(LIST_TABLES.as_bytes()).await?;
    match Message::read(server).await? {
        Some(answer) if answer.is_success() => Ok(()),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

fn header(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}
