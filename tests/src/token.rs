//! Tokens for tests. The rule: a token is right unless the test makes it wrong, one claim at a time.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

/// The secret that [`Token::mint`] signs with, for `ANALYTICS_JWT_SECRET`.
pub const SECRET: &str = "a secret of the tests: forty-eight bytes, or so..";

/// The claims of a token: by default `exp` in an hour, and nothing else.
#[derive(Debug, Clone)]
pub struct Token(Map<String, Value>);

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Default for Token {
    fn default() -> Token {
        Token(Map::new()).claim("exp", json!(now() + 3600))
    }
}

impl Token {
    /// A token that may watch, and write if `write`, within an organization and client.
    pub fn of(organization: Option<&str>, client: Option<&str>, write: bool) -> Token {
        let mut token = Token::default();
        if let Some(organization) = organization {
            token = token.claim("organizationId", json!(organization));
        }
        if let Some(client) = client {
            token = token.claim("clientId", json!(client));
        }
        if write { token.claim("scope", json!("analytics:write")) } else { token }
    }

    /// A token of the platform's own servers.
    pub fn platform() -> Token {
        Token::default().claim("scope", json!("analytics:write:any"))
    }

    /// Sets a claim; `null` removes it.
    pub fn claim(mut self, name: &str, value: Value) -> Token {
        if value.is_null() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// Signs with [`SECRET`] and HS256.
    pub fn mint(&self) -> Result<String> {
        self.mint_with(Algorithm::HS256, SECRET)
    }

    /// Signs with another secret or algorithm of the HMAC family.
    pub fn mint_with(&self, algorithm: Algorithm, secret: &str) -> Result<String> {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), &self.0, &key).context("sign a token")
    }
}
