//! A connection's record. The rule: an idle connection owns this record, its subscription and nothing else; what
//! exists only while something is under way is boxed and goes when it is done.

use std::rc::Rc;

use analytics_shared::{Authority, Scope};

use super::assembler::Assembler;
use super::slab::NONE;
use super::topics::{Seat, Told};
use super::transport::Transport;
use crate::admission::Permit;
use crate::events::ConnId;

/// [`Connection::behind`] of a connection that fan-out keeps up to date.
pub(super) const CURRENT: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) transport: Transport,
    pub(super) phase: Phase,
    /// The socket takes no more: `output` waits for it, input is not read, fan-out passes by.
    pub(super) blocked: bool,
    /// Stands in the queue of walkers.
    pub(super) queued: bool,
    /// Was pinged since it was last heard.
    pub(super) pinged: bool,
    /// Whether the socket is polled for input and for room.
    pub(super) polled: (bool, bool),

    /// What it may see and, until it subscribes, no scope.
    pub(super) authority: Rc<Authority>,
    pub(super) scope: Option<Rc<Scope>>,
    pub(super) subscription: Vec<Seat>,

    /// Every change up to this flush was told; [`CURRENT`] while fan-out tells each. See `walk`.
    pub(super) behind: u64,
    /// The walk under way: the flush that the part before the cursor is told up to, the place in the subscription,
    /// and the last counter told there.
    pub(super) pass: u64,
    pub(super) cursor: u32,
    pub(super) told: Told,
    /// What the flush under way has for it: a list in the flush's links.
    pub(super) dirty: u32,

    /// A message that is incomplete, or input that waits for output.
    pub(super) input: Option<Box<Assembler>>,
    /// The rest of what was begun, to be written before anything else.
    pub(super) output: Option<Box<Pending>>,

    /// In ticks: when it was opened, last heard, when its token ends, when its allowance was last refilled.
    pub(super) opened: u32,
    pub(super) heard: u32,
    pub(super) expires: u32,
    pub(super) refilled: u32,
    /// What it may still send, in units of `session`.
    pub(super) allowance: u32,
    pub(super) frames_out: u32,
    pub(super) tag: u64,
    /// Held, not looked at: it frees the place when the connection goes.
    pub(super) _permit: Permit,
}

/// Bytes that a socket did not take.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// A Close frame was queued; whatever comes is discarded until the peer ends or the time is up.
    Closing,
}

impl Connection {
    /// Fan-out passes it by: its walk will tell what changed.
    pub(super) fn is_behind(&self) -> bool {
        self.behind != CURRENT
    }

    /// Starts a walk from the beginning: of all (`behind` 0), or of what changed after a flush.
    pub(super) fn start_walk(&mut self, behind: u64) {
        self.behind = behind;
        self.pass = 0;
        self.cursor = 0;
        self.told = Told::NOTHING;
    }

    /// Counts frames that were sent, or begun and so certain to be finished.
    pub(super) fn count_frames(&mut self, frames: u32) {
        self.frames_out = self.frames_out.saturating_add(frames);
    }

    /// Takes frames back that were counted and not sent.
    pub(super) fn uncount_frames(&mut self, frames: u32) {
        self.frames_out = self.frames_out.saturating_sub(frames);
    }

    /// Forgets what the flush under way has for it.
    pub(super) fn forget_dirty(&mut self) {
        self.dirty = NONE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory per viewer is what the edge is chosen for: a field that grows a record is a decision.
    #[test]
    fn records_keep_their_size() {
        assert_eq!(size_of::<Option<Connection>>(), 176);
        assert_eq!(size_of::<Seat>(), 8);
    }
}
