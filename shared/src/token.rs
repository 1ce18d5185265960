//! Bearer tokens: verification and claims. The rule: a claim that this file knows is well formed or the whole
//! token is refused, and no error text holds any part of the token.
//!
//! A token is a JWT (RFC 7519) in JWS compact form. The algorithm and the key are those that the [`Verifier`] was
//! built with; a header that names another algorithm is refused, never followed. Claims, all others ignored:
//!
//! | claim | form | |
//! |---|---|---|
//! | `exp` | integer, seconds since the epoch | required; the token ends at that instant, with no leeway, since an open connection is closed at that instant too |
//! | `nbf` | integer, seconds since the epoch | refused before, give or take [`NOT_BEFORE_LEEWAY_MS`] |
//! | `iss` | string | required and compared if an issuer is expected |
//! | `aud` | string or array of strings | required and compared if an audience is expected; refused if none is (RFC 7519 §4.1.3) |
//! | `sub` | string | |
//! | `organizationId`, `clientId` | [`Id`]s | a client stands beside an organization |
//! | `scope` | string of words between spaces (RFC 6749 §3.3), or array of words | `analytics:write`, `analytics:write:any` |
//!
//! Strings, words and arrays are never empty. `null` is a wrong type here, not an absent claim: an issuer that
//! lost a tenant's id on the way must not hand out a token for public counters. Fractions of seconds are a wrong
//! type too.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::tenant::{Authority, Scope, Writes};
use crate::{Id, id, version::MAX_SAFE};

/// How far the issuer's clock may run ahead of ours, in milliseconds: a fresh token whose `nbf` is its time of issue
/// must not fail on that.
pub const NOT_BEFORE_LEEWAY_MS: u64 = 5_000;

/// The shortest HS256 secret, in bytes: as long as the hash's output (RFC 7518 §3.2).
pub const MIN_SECRET_BYTES: usize = 32;

const WRITE: &str = "analytics:write";
const WRITE_ANY: &str = "analytics:write:any";

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose token it is (`sub`).
    pub subject: Option<String>,
    /// The organization and client.
    pub scope: Scope,
    /// What the bearer may write.
    pub writes: Writes,
    /// When the token ends, in milliseconds since the Unix epoch; at most 2^53−1.
    pub expires_at: u64,
}

impl Claims {
    /// What the bearer may see and write.
    pub fn authority(&self) -> Authority {
        Authority::of_claims(self.scope.clone(), self.writes)
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url with a JSON object in the first two, or with extensions that must be understood.
    #[error("the token is not a JWT that can be read here")]
    Malformed,
    /// Signed by an algorithm other than the one configured, or not at all.
    #[error("the token is signed by another algorithm than the one expected")]
    Algorithm,
    /// The signature is not the key's.
    #[error("the token's signature does not verify")]
    Signature,
    /// The token was good and has ended.
    #[error("the token has expired")]
    Expired,
    /// `nbf` lies in the future.
    #[error("the token is not valid yet (nbf)")]
    NotYetValid,
    /// `iss` is not the expected issuer.
    #[error("the token comes from another issuer (iss) than the one expected")]
    Issuer,
    /// `aud` does not name the expected audience, or names one where none is expected.
    #[error("the token is for another audience (aud) than this service")]
    Audience,
    /// A claim is missing, of a wrong type, empty, or at odds with another.
    #[error("the token's claim {claim} must be {must_be}")]
    Claim {
        /// The claim's name.
        claim: &'static str,
        /// What is allowed, for a person.
        must_be: &'static str,
    },
}

/// The secret is shorter than [`MIN_SECRET_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret must have at least {MIN_SECRET_BYTES} bytes (RFC 7518 section 3.2)")]
pub struct WeakSecret;

/// Whom a token must come from and be for. `None` leaves the issuer open, and admits only tokens without audience.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations {
    /// The one allowed `iss`.
    pub issuer: Option<String>,
    /// The value that `aud` must be or hold.
    pub audience: Option<String>,
}

/// Verifies tokens. Its `Debug` shows no key.
#[derive(Clone)]
pub struct Verifier {
    key: DecodingKey,
    algorithm: Algorithm,
    expected: Expectations,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithm", &self.algorithm)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Verifies HMAC-SHA-256 under a secret shared with the issuer, of at least [`MIN_SECRET_BYTES`].
    pub fn hs256(secret: &[u8], expected: Expectations) -> Result<Verifier, WeakSecret> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(WeakSecret);
        }
        Ok(Verifier { key: DecodingKey::from_secret(secret), algorithm: Algorithm::HS256, expected })
    }

    /// Verifies a token by the system's clock.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        // A clock before 1970 is a broken clock. Nothing can be said about any token's end then, so all have ended.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| TokenError::Expired)?;
        self.verify_at(token, u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    /// Verifies a token as of a time given in milliseconds since the Unix epoch.
    ///
    /// [`TokenError::Expired`] and [`TokenError::NotYetValid`] come last: nothing but the time is wrong then.
    pub fn verify_at(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        let signed = self.signed_claims(token)?;
        let claims = Known::of(&signed)?;
        self.check_origin(&claims)?;
        if claims.not_before.is_some_and(|not_before| not_before > now_ms.saturating_add(NOT_BEFORE_LEEWAY_MS)) {
            return Err(TokenError::NotYetValid);
        }
        if claims.expires_at <= now_ms {
            return Err(TokenError::Expired);
        }
        let Known { subject, scope, writes, expires_at, .. } = claims;
        Ok(Claims { subject: subject.map(str::to_owned), scope, writes, expires_at })
    }

    /// The claims of a token whose signature verifies.
    ///
    /// Of the library's parts, not by its one call that does everything: that one rounds fractions, takes a wrong
    /// type for an absent claim and cannot name it. Claims are judged in this file, from one reading of them.
    fn signed_claims(&self, token: &str) -> Result<Map<String, Value>, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.alg != self.algorithm {
            return Err(TokenError::Algorithm);
        }
        // RFC 7515 §4.1.11: extensions named as critical must be understood, and none is.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, self.algorithm) {
            Ok(true) => {}
            Ok(false) => return Err(TokenError::Signature),
            Err(_) => return Err(TokenError::Malformed),
        }
        // "Insecure" by itself; the signature over these very bytes has just been verified.
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenError::Malformed)
    }

    fn check_origin(&self, claims: &Known<'_>) -> Result<(), TokenError> {
        match (&self.expected.issuer, claims.issuer) {
            (Some(_), None) => return Err(absent("iss")),
            (Some(expected), Some(issuer)) if expected != issuer => return Err(TokenError::Issuer),
            _ => {}
        }
        match (&self.expected.audience, &claims.audience) {
            (Some(_), None) => Err(absent("aud")),
            (Some(expected), Some(audience)) if !audience.contains(&expected.as_str()) => Err(TokenError::Audience),
            (None, Some(_)) => Err(TokenError::Audience),
            _ => Ok(()),
        }
    }
}

/// The claims that this file knows, each well formed.
struct Known<'a> {
    expires_at: u64,
    not_before: Option<u64>,
    issuer: Option<&'a str>,
    audience: Option<Vec<&'a str>>,
    subject: Option<&'a str>,
    scope: Scope,
    writes: Writes,
}

impl<'a> Known<'a> {
    fn of(claims: &'a Map<String, Value>) -> Result<Known<'a>, TokenError> {
        let client = tenant_id(claims, "clientId")?;
        Ok(Known {
            expires_at: instant(claims, "exp")?.ok_or_else(|| absent("exp"))?,
            not_before: instant(claims, "nbf")?,
            issuer: text(claims, "iss")?,
            audience: texts(claims, "aud", |one| vec![one])?,
            subject: text(claims, "sub")?,
            scope: Scope::new(tenant_id(claims, "organizationId")?, client)
                .map_err(|_| wrong("clientId", "accompanied by an organizationId"))?,
            writes: writes(texts(claims, "scope", words)?),
        })
    }
}

fn wrong(claim: &'static str, must_be: &'static str) -> TokenError {
    TokenError::Claim { claim, must_be }
}

fn absent(claim: &'static str) -> TokenError {
    wrong(claim, "present")
}

/// Seconds as milliseconds.
fn instant(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let milliseconds = value.as_u64().and_then(|seconds| seconds.checked_mul(1_000)).filter(|ms| *ms <= MAX_SAFE);
    milliseconds.map(Some).ok_or_else(|| wrong(claim, "an integer number of seconds from 0 to 9007199254740"))
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &'static str) -> Result<Option<&'a str>, TokenError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    non_empty(value).map(Some).ok_or_else(|| wrong(claim, "a string that is not empty"))
}

fn tenant_id(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<Id>, TokenError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    value.as_str().and_then(|text| Id::new(text).ok()).map(Some).ok_or_else(|| wrong(claim, id::ALLOWED))
}

/// A claim that is one string, taken apart by `split`, or an array of strings.
fn texts<'a>(
    claims: &'a Map<String, Value>,
    claim: &'static str,
    split: fn(&'a str) -> Vec<&'a str>,
) -> Result<Option<Vec<&'a str>>, TokenError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let texts = match value {
        Value::Array(values) => values.iter().map(non_empty).collect(),
        single => non_empty(single).map(split),
    };
    let texts: Option<Vec<&str>> = texts.filter(|texts: &Vec<&str>| !texts.is_empty());
    texts.map(Some).ok_or_else(|| wrong(claim, "a string or an array of strings, none of them empty"))
}

fn non_empty(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').filter(|word| !word.is_empty()).collect()
}

fn writes(scope: Option<Vec<&str>>) -> Writes {
    let scope = scope.unwrap_or_default();
    if scope.contains(&WRITE_ANY) {
        Writes::Any
    } else if scope.contains(&WRITE) {
        Writes::Covered
    } else {
        Writes::Nothing
    }
}

#[cfg(test)]
mod tests;
