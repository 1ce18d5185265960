//! A client over a socket pair that believes nothing. The rule: every frame is checked against the promises of one
//! connection, and the newest value of every field is kept.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use serde_json::Value;

#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) place: u32,
    pub(super) stream: UnixStream,
    inbox: Vec<u8>,
    /// The newest value by content and field, and the newest version by content.
    values: HashMap<(String, String), u64>,
    versions: HashMap<String, u64>,
    pub(super) updates: usize,
    pub(super) pongs: usize,
    /// The longest frame, in bytes.
    pub(super) longest: usize,
}

impl Viewer {
    pub(super) fn new((place, stream): (u32, UnixStream)) -> Viewer {
        Viewer {
            place,
            stream,
            inbox: Vec::new(),
            values: HashMap::new(),
            versions: HashMap::new(),
            updates: 0,
            pongs: 0,
            longest: 0,
        }
    }

    /// Reads up to so many bytes; `false` when there was nothing.
    pub(super) fn read(&mut self, most: usize) -> bool {
        let received = receive(&self.stream, most, &mut self.inbox);
        let mut at = 0;
        while let Some(end) = end_of_frame(&self.inbox[at..]) {
            self.longest = self.longest.max(end);
            let header = if self.inbox[at + 1] == 126 { 4 } else { 2 };
            let message: Value =
                serde_json::from_slice(&self.inbox[at + header..at + end]).expect("a frame holds JSON");
            self.take(&message);
            at += end;
        }
        self.inbox.drain(..at);
        received
    }

    /// Reads all that there is.
    pub(super) fn read_all(&mut self) -> bool {
        let mut any = false;
        while self.read(65_536) {
            any = true;
        }
        any
    }

    /// Every value last shown.
    pub(super) fn values(&self) -> &HashMap<(String, String), u64> {
        &self.values
    }

    fn take(&mut self, message: &Value) {
        match message["type"].as_str() {
            Some("analytics_update") => {}
            Some("pong") => {
                self.pongs += 1;
                return;
            }
            Some("connected" | "subscribed") => return,
            _ => panic!("nobody asked for {message}"),
        }
        let name = |key: &str| message[key].as_str().expect("a name").to_owned();
        let number = |key: &str| message[key].as_u64().expect("a number");
        self.updates += 1;
        let (content, version) = (name("contentId"), number("version"));
        let newest = self.versions.entry(content.clone()).or_default();
        assert!(version >= *newest, "{message} came after version {newest}");
        *newest = version;
        self.values.insert((content, name("field")), number("value"));
    }
}

/// Takes what has come; `false` when nothing had.
pub(super) fn receive(client: &UnixStream, most: usize, into: &mut Vec<u8>) -> bool {
    let had = into.len();
    into.resize(had + most, 0);
    let received = (&mut &*client).read(&mut into[had..]);
    let count = match received {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("a client cannot read: {error}"),
    };
    into.truncate(had + count);
    count > 0
}

/// Where the first frame ends, if all of it is here. A server's frames here are short and have no mask.
fn end_of_frame(bytes: &[u8]) -> Option<usize> {
    let end = match *bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        length => 2 + usize::from(length),
    };
    (bytes.len() >= end).then_some(end)
}
