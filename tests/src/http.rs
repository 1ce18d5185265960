//! One keep-alive HTTP/1.1 connection. The rule: it never repeats a request; whether that is safe, only the caller
//! knows.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::line::Line;
use crate::wait;

/// A connection to one authority, opened when it is needed.
#[derive(Debug)]
pub struct Http {
    authority: String,
    prefix: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, read to the end.
    pub body: Bytes,
}

impl Http {
    /// A connection to `host:port`.
    pub fn new(authority: impl Into<String>) -> Http {
        Http::below(authority, "")
    }

    /// The same, with every path below a prefix.
    pub fn below(authority: impl Into<String>, prefix: impl Into<String>) -> Http {
        Http { authority: authority.into(), prefix: prefix.into(), sender: None }
    }

    /// Sends one request and reads the whole answer. After an error the next call opens a new connection.
    pub async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Reply> {
        let exchange = self.exchange(&method, path, headers, body);
        let reply = wait::within("an answer to a request", exchange).await.and_then(|reply| reply);
        if reply.is_err() {
            self.sender = None;
        }
        reply.with_context(|| format!("{method} {path}"))
    }

    /// A GET without headers.
    pub async fn get(&mut self, path: &str) -> Result<Reply> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    async fn exchange(&mut self, method: &Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Reply> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.prefix));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header(header::HOST, &self.authority);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).context("build the request")?;
        let sender = self.ready().await?;
        let response = sender.send_request(request).await.context("send the request")?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.context("read the answer")?.to_bytes();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }

    async fn ready(&mut self) -> Result<&mut SendRequest<Full<Bytes>>> {
        // A server may have closed the connection after its last answer; the sender knows once it is asked.
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = Line::connect(&self.authority, None).await?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("start HTTP/1.1")?;
            // Ends when the sender is dropped; its errors reach the caller through the sender.
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut().context("no connection")
    }
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("the body is not JSON: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; `None` where it is absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The status as a number, and the `code` of an error body (empty where there is none).
    pub fn outcome(&self) -> (u16, String) {
        let code = self.json().ok().and_then(|body| body["code"].as_str().map(str::to_owned));
        (self.status.as_u16(), code.unwrap_or_default())
    }
}
