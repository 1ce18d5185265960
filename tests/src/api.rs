//! The HTTP calls of the contract. The rule: a method is one call, and gives back what was answered, not what was
//! hoped for.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{Http, Reply};
use crate::memory::Counter;
use crate::wait;

/// Where increments are posted.
pub const TRIGGER: &str = "/api/analytics/trigger-update";
/// Where counts are read.
pub const CONTENT: &str = "/api/analytics/content";

/// The calls over one connection, with or without a token.
#[derive(Debug)]
pub struct Api {
    /// The connection, for calls that no method here makes.
    pub http: Http,
    token: Option<String>,
}

/// The body of a single update.
pub fn update(counter: &Counter, field: &str, increment: i64) -> Value {
    let mut body = json!({"contentId": counter.content, "field": field, "increment": increment});
    if let Some(organization) = &counter.organization {
        body["organizationId"] = json!(organization);
    }
    if let Some(client) = &counter.client {
        body["clientId"] = json!(client);
    }
    body
}

/// Percent-encodes a text for use in a query (RFC 3986 §2.1).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

impl Api {
    /// Calls without a token.
    pub fn new(authority: impl Into<String>) -> Api {
        Api::below(authority, "")
    }

    /// The same, with every path below a prefix.
    pub fn below(authority: impl Into<String>, prefix: impl Into<String>) -> Api {
        Api { http: Http::below(authority, prefix), token: None }
    }

    /// The same with a token in `Authorization`.
    pub fn with_token(mut self, token: impl AsRef<str>) -> Api {
        self.token = Some(format!("Bearer {}", token.as_ref()));
        self
    }

    /// Posts a body, with an idempotency key if one is given.
    pub async fn trigger(&mut self, body: &Value, key: Option<&str>) -> Result<Reply> {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(self.token.as_deref().map(|token| ("authorization", token)));
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.http.send(Method::POST, TRIGGER, &headers, Bytes::from(body.to_string())).await
    }

    /// Counts one increment without a key, and gives the counter's new value and version; anything but success fails.
    pub async fn count(&mut self, counter: &Counter, field: &str, increment: i64) -> Result<(u64, u64)> {
        let reply = self.trigger(&update(counter, field, increment), None).await?;
        ensure!(reply.status == StatusCode::OK, "{}: {}", reply.status, reply.text());
        let body = reply.json()?;
        let number = |name: &str| body[name].as_u64().with_context(|| format!("no {name} in {body}"));
        Ok((number("value")?, number("version")?))
    }

    /// Counts one increment under a key, which is repeated until it is acknowledged, and gives the counter's value then:
    /// for tests that are about something else than a store which is slow on a busy machine.
    pub async fn count_surely(&mut self, counter: &Counter, field: &str, increment: i64, key: &str) -> Result<u64> {
        let body = update(counter, field, increment);
        let reply = wait::until("an update to be acknowledged", async || {
            self.trigger(&body, Some(key)).await.ok().filter(|reply| reply.status == StatusCode::OK)
        });
        let body = reply.await?.json()?;
        body["value"].as_u64().with_context(|| format!("no value in {body}"))
    }

    /// Reads contents through a scope: the answer as it is.
    pub async fn read(&mut self, ids: &[&str], organization: Option<&str>, client: Option<&str>) -> Result<Reply> {
        let scope = [("organizationId", organization), ("clientId", client)];
        let scope = scope.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let query = ids.iter().map(|id| ("id", *id)).chain(scope);
        let query: Vec<String> = query.map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let headers: Vec<(&str, &str)> = self.token.iter().map(|token| ("authorization", token.as_str())).collect();
        self.http.send(Method::GET, &format!("{CONTENT}?{}", query.join("&")), &headers, Bytes::new()).await
    }

    /// Reads contents through a scope: the `content` list; anything but success fails.
    pub async fn content(
        &mut self,
        ids: &[&str],
        organization: Option<&str>,
        client: Option<&str>,
    ) -> Result<Vec<Value>> {
        let reply = self.read(ids, organization, client).await?;
        ensure!(reply.status == StatusCode::OK, "{}: {}", reply.status, reply.text());
        let body = reply.json()?;
        body["content"].as_array().cloned().with_context(|| format!("no content in {body}"))
    }

    /// One value of one counter as the store has it.
    pub async fn value(&mut self, counter: &Counter, field: &str) -> Result<u64> {
        let (organization, client) = (counter.organization.as_deref(), counter.client.as_deref());
        let list = self.content(&[&counter.content], organization, client).await?;
        let entry = list.iter().find(|entry| Counter::of_message(entry) == *counter);
        Ok(entry.and_then(|entry| entry[field].as_u64()).unwrap_or(0))
    }

    /// The `connectedClients` of the status.
    pub async fn connected_clients(&mut self) -> Result<u64> {
        let body = self.http.get(TRIGGER).await?.json()?;
        body["status"]["connectedClients"].as_u64().with_context(|| format!("no connectedClients in {body}"))
    }
}
