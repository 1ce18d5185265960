//! What the process under test writes to stderr. The rule: kept in order and bounded; lines beyond the bound are
//! counted, so that a search knows whether it saw everything.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most lines kept; the oldest go first.
const MAX_LINES: usize = 500_000;

/// The captured lines of one process, over all its restarts.
#[derive(Debug, Default)]
pub struct Log(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    dropped: u64,
}

/// Where a process listens, as it logged it once it was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// The WebSocket's and the API's address.
    pub ws: SocketAddr,
    /// The second address of the same service, if it was asked for.
    pub api: Option<SocketAddr>,
    /// The address of the same service by TLS, if there is one.
    pub tls: Option<SocketAddr>,
    /// The metrics' address.
    pub admin: SocketAddr,
}

impl Log {
    /// Reads lines to the end and hands each to `each` after it was kept.
    pub fn capture(&self, source: impl Read, mut each: impl FnMut(&str)) {
        let mut source = BufReader::new(source);
        let mut bytes = Vec::new();
        while source.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let line = without_colours(String::from_utf8_lossy(&bytes).trim_end());
            each(&line);
            let mut lines = self.lines();
            if lines.kept.len() == MAX_LINES {
                lines.kept.pop_front();
                lines.dropped += 1;
            }
            lines.kept.push_back(line);
            drop(lines);
            bytes.clear();
        }
    }

    /// Whether any line holds the text.
    pub fn contains(&self, text: &str) -> bool {
        self.lines().kept.iter().any(|line| line.contains(text))
    }

    /// The lines that hold the text.
    pub fn matching(&self, text: &str) -> Vec<String> {
        self.lines().kept.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// The last `count` lines.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines.kept.iter().skip(lines.kept.len().saturating_sub(count)).cloned().collect()
    }

    /// How many lines are kept.
    pub fn len(&self) -> usize {
        self.lines().kept.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many lines were dropped at the bound.
    pub fn dropped(&self) -> u64 {
        self.lines().dropped
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening {
    /// The addresses of a `listening` line, human-readable (`ws=…`) or JSON (`"ws":"…"`).
    pub fn parse(line: &str) -> Option<Listening> {
        if !line.contains("listening") {
            return None;
        }
        let (ws, admin) = (address(line, "ws")?, address(line, "admin")?);
        Some(Listening { ws, api: address(line, "api"), tls: address(line, "tls"), admin })
    }
}

fn address(line: &str, name: &str) -> Option<SocketAddr> {
    [format!("{name}="), format!("\"{name}\":")].iter().find_map(|label| {
        line.match_indices(label.as_str()).find_map(|(at, _)| {
            let longer_name = line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
            let value = line[at + label.len()..].trim_start_matches(['"', ' ']);
            let end = value.find(|after: char| after.is_whitespace() || matches!(after, '"' | ',' | '}'));
            let value = &value[..end.unwrap_or(value.len())];
            if longer_name { None } else { value.parse().ok() }
        })
    })
}

/// Drops the terminal's colour sequences (ECMA-48 SGR, `ESC [ … m`).
fn without_colours(line: &str) -> String {
    let mut rest = line;
    let mut plain = String::with_capacity(line.len());
    while let Some((before, sequence)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = sequence.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_listening_line_are_read() {
        let human = "2026-11-24T10:00:00Z  INFO proxy: listening ws=127.0.0.1:41234 admin=127.0.0.1:41235";
        let json =
            r#"{"level":"INFO","fields":{"message":"listening","ws":"127.0.0.1:41234","admin":"127.0.0.1:41235"}}"#;
        let coloured = "\u{1b}[2mx\u{1b}[0m listening \u{1b}[3mws\u{1b}[0m\u{1b}[2m=\u{1b}[0m127.0.0.1:41234 admin=127.0.0.1:41235";
        for line in [human, json, &without_colours(coloured)] {
            let listening = Listening::parse(line).expect("the line is one");
            assert_eq!((listening.ws.port(), listening.api, listening.admin.port()), (41234, None, 41235));
        }
        assert_eq!(Listening::parse("listening soon"), None);
    }
}
