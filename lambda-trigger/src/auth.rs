//! From a request's token to an authority. The rule: a token that is sent counts or refuses the call, it is never
//! passed over (except in development, where there is nothing to verify it with), and no text, log line or `Debug`
//! ever shows one.
//!
//! A token comes as `Authorization: Bearer <token>` (RFC 6750 §2.1), as `Sec-WebSocket-Protocol: bearer, <token>`
//! (the only header that a browser lets a page set on an upgrade), or as `?token=<token>`. Sent in several places,
//! it must be the same. An `Authorization` of another scheme is not ours: `Basic` before a staging site does not
//! count as a token, good or bad.

pub(crate) mod query;

use std::borrow::Cow;
use std::sync::Once;

use analytics_shared::performance::PerformanceConfig;
use analytics_shared::tenant::Refused;
use analytics_shared::token::{TokenError, Verifier};
use analytics_shared::{Authority, Code, Failure};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};

/// The subprotocol that announces a token, and that an upgrade is answered with ([`Grant::subprotocol`]).
pub const SUBPROTOCOL: &str = "bearer";

/// Whom the process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A person at their own machine: without a token, a call may do what it names.
    Development,
    /// Everybody: every call that touches counters needs a token.
    Production,
}

impl Mode {
    /// How scores and ratings are made where nothing else is said.
    pub fn performance(self) -> PerformanceConfig {
        match self {
            Mode::Development => PerformanceConfig::development(),
            Mode::Production => PerformanceConfig::production(),
        }
    }
}

/// Decides what a request may do.
#[derive(Debug, Clone)]
pub struct Auth {
    mode: Mode,
    verifier: Option<Verifier>,
}

/// What a request may do, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it may see and write.
    pub authority: Authority,
    /// When the token ends, in milliseconds since the Unix epoch; `None` without a token that counts.
    pub expires_at: Option<u64>,
    /// The request offered the subprotocol [`SUBPROTOCOL`]: the upgrade must be answered with it, or browsers close
    /// the connection.
    pub subprotocol: bool,
}

impl Auth {
    /// Decides by mode and, if there is one, by a verifier. In production without a verifier every call is refused.
    pub fn new(mode: Mode, verifier: Option<Verifier>) -> Auth {
        Auth { mode, verifier }
    }

    /// The grant of a request, or a [`Code::Unauthorized`].
    pub fn authorize(&self, headers: &HeaderMap, query: Option<&str>) -> Result<Grant, Failure> {
        let presented = Presented::of(headers, query);
        let subprotocol = presented.subprotocol;
        let grant = match &self.verifier {
            None => self.unverified(presented.any()),
            Some(verifier) => match (presented.token()?, self.mode) {
                (Some(token), _) => verified(verifier, &token),
                (None, Mode::Development) => Ok(Grant::unrestricted()),
                (None, Mode::Production) => Err(unauthorized(
                    "a token is required: as Authorization: Bearer <token>, \
                     as Sec-WebSocket-Protocol: bearer, <token>, or as ?token=<token>",
                )),
            },
        }?;
        Ok(Grant { subprotocol, ..grant })
    }

    /// The grant of a new token on a live connection, or a [`Code::Unauthorized`] that changes nothing.
    pub fn renew(&self, token: &str) -> Result<Grant, Failure> {
        match &self.verifier {
            None => self.unverified(true),
            Some(verifier) => verified(verifier, token),
        }
    }

    /// [`without_token`] for a path that is not ours, where `token` may mean something else: `None` also where no
    /// parameter of that name holds a token that our key has signed, whether it is still good or not.
    pub fn without_own_token(&self, path_and_query: &str) -> Option<String> {
        let (_, query) = path_and_query.split_once('?')?;
        let mut tokens = query::pairs(query).filter(|pair| pair.name().as_deref() == Some("token"));
        if tokens.any(|pair| pair.value().is_some_and(|token| self.has_signed(&token))) {
            return without_token(path_and_query);
        }
        None
    }

    /// Whether a header `Authorization` holds a token that our key has signed, whether it is still good or not.
    pub fn is_own_bearer(&self, authorization: &HeaderValue) -> bool {
        let token = bearer(authorization.as_bytes()).and_then(|token| str::from_utf8(token).ok());
        token.is_some_and(|token| self.has_signed(token))
    }

    fn has_signed(&self, token: &str) -> bool {
        use TokenError::{Algorithm, Malformed, Signature};
        let Some(verifier) = &self.verifier else { return false };
        !matches!(verifier.verify(token), Err(Algorithm | Malformed | Signature))
    }

    fn unverified(&self, token_sent: bool) -> Result<Grant, Failure> {
        if self.mode == Mode::Production {
            return Err(unauthorized("tokens cannot be verified here: no key is configured"));
        }
        if token_sent {
            hint_ignored();
        }
        Ok(Grant::unrestricted())
    }
}

impl Grant {
    fn unrestricted() -> Grant {
        Grant { authority: Authority::unrestricted(), expires_at: None, subprotocol: false }
    }
}

/// The failure of a scope or counter that an authority refuses.
pub fn refused(refused: Refused) -> Failure {
    let code = match refused {
        Refused::Invalid(_) => Code::InvalidField,
        Refused::Forbidden | Refused::ReadOnly => Code::Forbidden,
    };
    Failure::new(code, refused.to_string())
}

/// A path with its query (or a path alone) without any `token` parameter, however its name is encoded, everything
/// else byte for byte the same; `None` where there is nothing to remove.
pub fn without_token(path_and_query: &str) -> Option<String> {
    let (path, query) = path_and_query.split_once('?')?;
    let is_token = |segment: &&str| query::Pair::of(segment).name().as_deref() == Some("token");
    if !query.split('&').any(|segment| is_token(&segment)) {
        return None;
    }
    let kept: Vec<&str> = query.split('&').filter(|segment| !is_token(segment)).collect();
    Some(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
}

/// The token that a request sends, from whichever place, for whoever passes the request on; `None` also where two differ
/// or one is unreadable.
pub fn token<'r>(headers: &'r HeaderMap, query: Option<&'r str>) -> Option<Cow<'r, str>> {
    Presented::of(headers, query).token().ok().flatten()
}

/// What a request sends by way of tokens.
#[derive(Default)]
struct Presented<'r> {
    token: Option<Cow<'r, str>>,
    fault: Option<&'static str>,
    subprotocol: bool,
}

impl<'r> Presented<'r> {
    fn of(headers: &'r HeaderMap, query: Option<&'r str>) -> Presented<'r> {
        let mut presented = Presented::default();
        for value in headers.get_all(AUTHORIZATION) {
            if let Some(token) = bearer(value.as_bytes()) {
                presented.add(str::from_utf8(token).ok().map(Cow::Borrowed));
            }
        }
        // Repeated headers are one list (RFC 9110 §5.3); the name `bearer` is compared as it is (RFC 6455 §4.1).
        let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let mut protocols = protocols.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        while let Some(protocol) = protocols.next() {
            if protocol.trim_ascii() == SUBPROTOCOL.as_bytes() {
                let token = protocols.next().unwrap_or_default().trim_ascii();
                presented.add(str::from_utf8(token).ok().map(Cow::Borrowed));
                presented.subprotocol = true;
            }
        }
        for pair in query::pairs(query.unwrap_or_default()) {
            if pair.name().as_deref() == Some("token") {
                presented.add(pair.value());
            }
        }
        presented
    }

    /// Takes one more token; `None` is one that cannot be read.
    fn add(&mut self, token: Option<Cow<'r, str>>) {
        match (token.filter(|token| !token.is_empty()), &self.token) {
            (None, _) => self.fault = Some("the token is empty or unreadable"),
            (Some(token), Some(first)) if token != *first => self.fault = Some("two tokens were sent, and they differ"),
            (token, _) => self.token = token,
        }
    }

    fn any(&self) -> bool {
        self.token.is_some() || self.fault.is_some()
    }

    fn token(self) -> Result<Option<Cow<'r, str>>, Failure> {
        // A caller that meant to send a token and failed must not be served as one without: it would see other
        // counters than it thinks, and nobody would look for the reason.
        self.fault.map_or(Ok(self.token), |fault| Err(unauthorized(fault)))
    }
}

/// What follows the scheme of a `Bearer` credential (the scheme in any case, RFC 9110 §11.1); `None` for others.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at(value.iter().position(|byte| *byte == b' ').unwrap_or(value.len()));
    scheme.eq_ignore_ascii_case(b"bearer").then(|| rest.trim_ascii())
}

fn verified(verifier: &Verifier, token: &str) -> Result<Grant, Failure> {
    let claims = verifier.verify(token).map_err(|error| unauthorized(error.to_string()))?;
    Ok(Grant { authority: claims.authority(), expires_at: Some(claims.expires_at), subprotocol: false })
}

fn unauthorized(text: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(Code::Unauthorized, text)
}

#[cold]
fn hint_ignored() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::info!(
            "a token was sent and ignored: no key to verify tokens is configured, so in development every call may \
             do what it names (set ANALYTICS_JWT_SECRET to have tokens count)"
        );
    });
}

#[cfg(test)]
mod tests {
    use analytics_shared::token::Expectations;
    use http::HeaderName;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"a secret of the tests, 32 bytes or more";
    const EXPIRES_AT: u64 = 4_102_444_800;

    fn token(claims: Value) -> String {
        jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("claims are JSON")
    }

    fn token_of(organization: &str) -> String {
        token(json!({"exp": EXPIRES_AT, "organizationId": organization}))
    }

    fn auth(mode: Mode) -> Auth {
        Auth::new(mode, Some(Verifier::hs256(SECRET, Expectations::default()).expect("the secret is long enough")))
    }

    fn request(headers: &[(HeaderName, String)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().expect("a test's header is valid"));
        }
        map
    }

    /// The organization that a grant shows by default; `None` for public only.
    fn organization(grant: &Grant) -> Option<String> {
        let scope = grant.authority.scope(None, None).expect("the default scope is covered");
        scope.organization().map(ToString::to_string)
    }

    #[test]
    fn a_token_counts_from_each_of_the_three_places() {
        let (a, b) = (token_of("a"), token_of("b"));
        let bearer = |scheme: &str, token: &str| (AUTHORIZATION, format!("{scheme} {token}"));
        let protocol = |value: String| (SEC_WEBSOCKET_PROTOCOL, value);
        /// Headers, query, and what comes of them: the subprotocol flag, or `None` for a refusal.
        type Case = (Vec<(HeaderName, String)>, String, Option<bool>);
        let cases: Vec<Case> = vec![
            (vec![bearer("Bearer", &a)], "".into(), Some(false)),
            (vec![bearer("bEARER", &a)], "".into(), Some(false)),
            (vec![bearer("Bearer  ", &a)], "".into(), Some(false)),
            (vec![protocol(format!("bearer, {a}"))], "".into(), Some(true)),
            (vec![protocol(format!("chat,bearer,{a},other"))], "".into(), Some(true)),
            (vec![protocol("bearer".into()), protocol(a.clone())], "".into(), Some(true)),
            (vec![], format!("token={a}"), Some(false)),
            (vec![], format!("x=1&%74oken={}", a.replace('.', "%2e")), Some(false)),
            // The same one in several places.
            (vec![bearer("Bearer", &a), protocol(format!("bearer, {a}"))], format!("token={a}"), Some(true)),
            (vec![bearer("Bearer", &a), bearer("Bearer", &a)], format!("token={a}&token={a}"), Some(false)),
            // Another scheme beside it is somebody else's.
            (vec![(AUTHORIZATION, "Basic dTpw".into()), bearer("Bearer", &a)], "".into(), Some(false)),
            // Two that differ.
            (vec![bearer("Bearer", &a)], format!("token={b}"), None),
            (vec![bearer("Bearer", &a), bearer("Bearer", &b)], "".into(), None),
            (vec![protocol(format!("bearer, {a}, bearer, {b}"))], "".into(), None),
            (vec![], format!("token={a}&token={b}"), None),
            // Sent, but empty, unreadable or wrong.
            (vec![(AUTHORIZATION, "Bearer".into())], "".into(), None),
            (vec![(AUTHORIZATION, "Bearer ".into())], format!("token={a}"), None),
            (vec![(AUTHORIZATION, "Bearer caf\u{e9}".into())], "".into(), None),
            (vec![protocol("bearer".into())], "".into(), None),
            (vec![], "token".into(), None),
            (vec![], "token=%F".into(), None),
            (vec![], format!("token={a}x"), None),
            (vec![], format!("token={a}&token="), None),
        ];
        for (headers, query, expected) in cases {
            for mode in [Mode::Development, Mode::Production] {
                let outcome = auth(mode).authorize(&request(&headers), Some(&query));
                match (outcome, expected) {
                    (Ok(grant), Some(subprotocol)) => {
                        assert_eq!(organization(&grant).as_deref(), Some("a"));
                        assert_eq!(grant.expires_at, Some(EXPIRES_AT * 1_000));
                        assert_eq!(grant.subprotocol, subprotocol);
                        assert!(!format!("{grant:?}").contains(&a));
                    }
                    (Err(failure), None) => {
                        assert_eq!(failure.code, Code::Unauthorized);
                        let shown = format!("{failure:?}");
                        assert!(!shown.contains(&a) && !shown.contains(&b) && !shown.contains("eyJ"), "{shown}");
                    }
                    (outcome, _) => panic!("{headers:?} {query}: {outcome:?}"),
                }
            }
        }
    }

    #[test]
    fn without_a_token_development_is_open_and_production_says_where_one_belongs() {
        let none_of_ours = request(&[(AUTHORIZATION, "Basic dTpw".into()), (SEC_WEBSOCKET_PROTOCOL, "chat".into())]);
        for headers in [HeaderMap::new(), none_of_ours] {
            for query in [None, Some(""), Some("Token=x&tokens=y&x=token")] {
                let grant = auth(Mode::Development).authorize(&headers, query).expect("development is open");
                assert_eq!(grant, Grant::unrestricted());
                let failure = auth(Mode::Production).authorize(&headers, query).expect_err("production is not");
                assert_eq!(failure.code, Code::Unauthorized);
                for place in ["Authorization: Bearer", "Sec-WebSocket-Protocol: bearer", "?token="] {
                    assert!(failure.text.contains(place), "{failure}");
                }
            }
        }
    }

    #[test]
    fn without_a_verifier_development_ignores_tokens_and_production_refuses_all() {
        let headers = request(&[(SEC_WEBSOCKET_PROTOCOL, "bearer, whatever".into())]);
        let open = Auth::new(Mode::Development, None);
        // The subprotocol is answered all the same: a browser closes an upgrade that passes its offer over.
        let expected = Grant { subprotocol: true, ..Grant::unrestricted() };
        assert_eq!(open.authorize(&headers, Some("token=other")), Ok(expected));
        assert_eq!(open.authorize(&HeaderMap::new(), None), Ok(Grant::unrestricted()));
        assert_eq!(open.renew("whatever"), Ok(Grant::unrestricted()));

        let closed = Auth::new(Mode::Production, None);
        for outcome in [closed.authorize(&headers, None), closed.authorize(&HeaderMap::new(), None), closed.renew("x")]
        {
            assert_eq!(outcome.expect_err("nothing can be verified").code, Code::Unauthorized);
        }
    }

    #[test]
    fn a_token_is_renewed_by_a_good_one_only() {
        for mode in [Mode::Development, Mode::Production] {
            let grant = auth(mode).renew(&token_of("b")).expect("the token is good");
            assert_eq!((organization(&grant).as_deref(), grant.expires_at), (Some("b"), Some(EXPIRES_AT * 1_000)));
            for bad in ["", "x", &token(json!({"exp": 1})), &token(json!({}))] {
                let failure = auth(mode).renew(bad).expect_err("the token is bad");
                assert_eq!(failure.code, Code::Unauthorized);
                assert!(!failure.text.contains("eyJ"), "{failure}");
            }
        }
    }

    #[test]
    fn tokens_are_cut_out_of_paths_and_the_rest_stays() {
        for (path, without) in [
            ("/analytics", None),
            ("/analytics?", None),
            ("/analytics?a=1&b=%zz&&tokens=1&Token=2&x=token", None),
            ("/token=1", None),
            ("/analytics?token=secret", Some("/analytics")),
            ("/analytics?token", Some("/analytics")),
            ("/analytics?token=", Some("/analytics")),
            ("/analytics?%74oken=secret", Some("/analytics")),
            ("/analytics?%74%6F%6b%65n=secret", Some("/analytics")),
            ("/analytics?token=%zz", Some("/analytics")),
            ("/analytics?token=a=b?c", Some("/analytics")),
            ("/analytics?token=a&token=b", Some("/analytics")),
            ("/analytics?a=1&token=secret&b=2", Some("/analytics?a=1&b=2")),
            ("/analytics?token=secret&a=%2B+%zz", Some("/analytics?a=%2B+%zz")),
            ("/analytics?a&&token=secret&", Some("/analytics?a&&")),
        ] {
            assert_eq!(without_token(path).as_deref(), without, "{path}");
        }
    }
}
