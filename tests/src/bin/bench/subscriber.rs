//! One subscriber: how far it is, and what it has. The rule: it holds what it was told last of each topic, and nothing that
//! grows with what it is told.

use anyhow::{Context, Result, bail, ensure};

use crate::dialect::{Dialect, Heard};
use crate::link::Link;
use crate::update::Update;
use crate::wire;

/// A connection on its way to a subscription, or beyond.
pub(crate) struct Subscriber {
    pub(crate) link: Link,
    pub(crate) stage: Stage,
    /// The beginning of a frame whose end has not come.
    held: Vec<u8>,
    /// The beginning of a message whose end is in a later frame.
    cut: Vec<u8>,
    /// New values since the measurement began.
    pub(crate) updates: u64,
}

pub(crate) enum Stage {
    /// The upgrade is not answered; then this goes out, and so many confirmations are awaited.
    Upgrading {
        subscribe: Vec<u8>,
        confirmations: usize,
    },
    Subscribing {
        confirmations: usize,
    },
    Live,
    Gone,
}

/// A topic that a subscriber asked for, and what it was told last of it.
#[derive(Clone, Copy)]
pub(crate) struct Topic {
    pub(crate) id: u32,
    pub(crate) value: u64,
}

/// What received bytes were found to be.
pub(crate) struct Taken {
    pub(crate) updates: Vec<Update>,
    /// They were whole updates and nothing else.
    pub(crate) updates_only: bool,
    /// They completed the subscription.
    pub(crate) confirmed: bool,
    /// The server closes.
    pub(crate) closed: bool,
}

impl Subscriber {
    /// Asks to be upgraded.
    pub(crate) fn begin(mut link: Link, upgrade: &[u8], stage: Stage) -> Result<Subscriber> {
        link.send(upgrade).context("asking for an upgrade")?;
        Ok(Subscriber { link, stage, held: Vec::new(), cut: Vec::new(), updates: 0 })
    }

    /// Whether what comes next is the beginning of a frame, of a subscription that is confirmed.
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(self.stage, Stage::Live) && self.held.is_empty() && self.cut.is_empty()
    }

    /// Understands what was received, but for the beginning of a frame.
    pub(crate) fn take_in(&mut self, dialect: Dialect, bytes: &[u8]) -> Result<Taken> {
        let mut whole = self.is_between_frames();
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut rest = held.as_slice();
        let mut heard = Heard::default();
        let mut taken = Taken { updates: Vec::new(), updates_only: false, confirmed: false, closed: false };
        if let Stage::Upgrading { subscribe, confirmations } = &self.stage {
            let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
                self.held = held;
                return Ok(taken);
            };
            if !rest.starts_with(b"HTTP/1.1 101") {
                bail!("an upgrade was refused: {}", String::from_utf8_lossy(rest));
            }
            rest = &rest[end + 4..];
            self.link.send(subscribe).context("sending a subscription")?;
            self.stage = Stage::Subscribing { confirmations: *confirmations };
        }
        while let Some((opcode, payload, after)) = wire::split(rest) {
            rest = after;
            match opcode {
                wire::TEXT | wire::BINARY => self.hear(dialect, payload, &mut heard)?,
                // A pong that the socket does not take means a server that does not read: it will close.
                wire::PING => _ = self.link.send(&wire::masked(wire::PONG, payload)),
                wire::CLOSE => taken.closed = true,
                wire::PONG => {}
                _ => bail!("a frame with the opcode {opcode}"),
            }
            whole &= matches!(opcode, wire::TEXT | wire::BINARY);
        }
        for _ in 0..heard.asked {
            // The same as a pong.
            let _ = self.link.send(&dialect.answer());
        }
        if let Stage::Subscribing { confirmations } = &mut self.stage {
            *confirmations = confirmations.saturating_sub(heard.confirmed);
            taken.confirmed = *confirmations == 0;
        }
        if taken.confirmed {
            self.stage = Stage::Live;
        }
        self.held = rest.to_vec();
        taken.updates_only = whole && !heard.other && self.held.is_empty() && self.cut.is_empty();
        taken.updates = heard.updates;
        Ok(taken)
    }

    fn hear(&mut self, dialect: Dialect, payload: &[u8], heard: &mut Heard) -> Result<()> {
        if self.cut.is_empty() {
            let done = dialect.hear(payload, heard)?;
            self.cut = payload[done..].to_vec();
        } else {
            self.cut.extend_from_slice(payload);
            let done = dialect.hear(&self.cut, heard)?;
            self.cut.drain(..done);
        }
        Ok(())
    }

    /// Notes updates in its topics, which are in the order of their ids, and hands on those that are news: one that is told
    /// twice must not make up for one that is left out.
    pub(crate) fn note(
        &mut self,
        topics: &mut [Topic],
        updates: &[Update],
        mut news: impl FnMut(Update),
    ) -> Result<()> {
        let mut next = 0;
        for update in updates {
            // Several at once mostly come in that order too.
            let at = match topics.get(next) {
                Some(topic) if topic.id == update.id => next,
                _ => match topics.binary_search_by_key(&update.id, |topic| topic.id) {
                    Ok(at) => at,
                    Err(_) => bail!("a subscriber was told what it did not ask for: {update:?}"),
                },
            };
            let last = std::mem::replace(&mut topics[at].value, update.value);
            ensure!(update.value >= last, "a subscriber was told {update:?} after {last}");
            if update.value > last {
                self.updates += 1;
                news(*update);
            }
            next = at + 1;
        }
        Ok(())
    }
}
