//! WebSocket close codes. The rule: a code says whether a client comes back, and how.
//!
//! Codes below 4000 are those of RFC 6455 §7.4.1 and of the IANA registry.

/// A close code that the edge sends or understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The peer is done.
    Normal = 1000,
    /// The peer goes away (a page is left).
    Leaving = 1001,
    /// A frame broke the protocol.
    Protocol = 1002,
    /// A text was not UTF-8.
    InvalidPayload = 1007,
    /// A limit on rate, or a heartbeat that was missed.
    Policy = 1008,
    /// A message larger than allowed.
    TooBig = 1009,
    /// The edge restarts; the reason carries `retry-after=<ms>`.
    Restart = 1012,
    /// The edge has no room.
    Overloaded = 1013,
    /// The token has ended; come back with a fresh one.
    TokenExpired = 4401,
}

/// What a client does after a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename_all = "kebab-case"))]
pub enum Reconnect {
    /// Not by itself: it asked for the end, or would only repeat its mistake.
    No,
    /// With backoff and jitter.
    Backoff,
    /// After the delay that the reason suggests, widely spread.
    Later,
    /// At once, with a fresh token.
    FreshToken,
}

impl CloseCode {
    /// Every code, for documentation and tests.
    pub const ALL: [CloseCode; 9] = [
        CloseCode::Normal,
        CloseCode::Leaving,
        CloseCode::Protocol,
        CloseCode::InvalidPayload,
        CloseCode::Policy,
        CloseCode::TooBig,
        CloseCode::Restart,
        CloseCode::Overloaded,
        CloseCode::TokenExpired,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether and how a client comes back after this code.
    pub fn reconnect(self) -> Reconnect {
        match self {
            CloseCode::Normal | CloseCode::Protocol | CloseCode::InvalidPayload | CloseCode::TooBig => Reconnect::No,
            CloseCode::Leaving | CloseCode::Policy => Reconnect::Backoff,
            CloseCode::Restart | CloseCode::Overloaded => Reconnect::Later,
            CloseCode::TokenExpired => Reconnect::FreshToken,
        }
    }
}

/// Whether a close code may stand in a frame that a peer sends (RFC 6455 §7.4): 1004–1006 and 1015 are reserved,
/// numbers below 1000, from 1016 to 2999 and above 4999 unassigned.
pub fn may_be_received(number: u16) -> bool {
    matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
