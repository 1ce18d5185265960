//! What one connection's silence costs: it, nothing; the others, nothing; the hub, a bounded memory.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState, Field, Scope};

use super::super::run::READ_BYTES;
use super::super::stage::{Stage, id, text};
use super::viewer::Viewer;

/// The smallest buffer that the kernel gives a socket, so that silence is felt soon.
const NARROW: Option<usize> = Some(1);

/// The hub's ways to send: each frame by a call of its own, and by io_uring.
pub(super) const SENDING: [bool; 2] = [false, true];

const PING: &str = r#"{"type":"ping"}"#;

/// Contents whose counts move.
struct Platform {
    states: Vec<CounterState>,
}

impl Platform {
    fn new(contents: usize) -> Platform {
        let state = |content| CounterState {
            counter: Counter::new(id(&format!("content {content}")), Scope::public()),
            versioned: Versioned::default(),
        };
        Platform { states: (0..contents).map(state).collect() }
    }

    fn ids(&self) -> Vec<String> {
        self.states.iter().map(|state| state.counter.content().as_str().to_owned()).collect()
    }

    /// Adds one to a field of a content: its new state.
    fn count(&mut self, content: usize, field: Field) -> CounterState {
        let state = &mut self.states[content];
        let mut counts = state.versioned.counts;
        counts.add(field, 1).expect("a small count");
        state.versioned = Versioned { version: state.versioned.version + 1, committed_at: 1, counts };
        state.clone()
    }

    /// What a viewer must show in the end of these contents.
    fn values(&self, contents: impl Iterator<Item = usize>) -> HashMap<(String, String), u64> {
        let states = contents.map(|content| &self.states[content]).filter(|state| state.versioned.version > 0);
        let shown = states.flat_map(|state| {
            let content = state.counter.content().as_str();
            Field::ALL.map(|field| ((content.to_owned(), field.name().to_owned()), state.versioned.counts.get(field)))
        });
        shown.collect()
    }
}

/// What the hub keeps for a connection besides its record and its subscription, in bytes.
fn owed(stage: &Stage, place: u32) -> usize {
    let connection = &stage.hub.connections[place];
    let output = connection.output.as_ref().map_or(0, |pending| pending.bytes.capacity());
    output + connection.input.as_ref().map_or(0, |assembler| assembler.stash.capacity())
}

/// Lets a viewer read until nothing more comes.
fn catch_up(stage: &mut Stage, viewer: &mut Viewer) {
    stage.settle();
    while viewer.read_all() {
        stage.settle();
    }
}

/// Promise: while a million updates pass a client that never reads, the hub keeps for it the rest of one frame; the
/// others are told every round of them and never wait; and when it reads again it gets the newest value of each field,
/// once.
#[test]
fn a_client_that_never_reads_is_owed_one_frame_after_a_million_updates() {
    SENDING.into_iter().for_each(never_reads);
}

fn never_reads(io_uring: bool) {
    const UPDATES: usize = 1_000_000;
    const ROUND: usize = 1000;
    const CONTENTS: usize = 10;
    const FIELDS: usize = CONTENTS * Field::ALL.len();
    const NEIGHBOURS: usize = 3;
    let mut stage = Stage::set(io_uring);
    let mut platform = Platform::new(CONTENTS);
    let ids = platform.ids();
    let mut silent = Viewer::new(stage.subscribe(&ids, "", NARROW));
    let mut neighbours: Vec<Viewer> = (0..NEIGHBOURS).map(|_| Viewer::new(stage.subscribe(&ids, "", None))).collect();
    let mut most = 0;
    for _ in 0..UPDATES / ROUND {
        let states: Vec<CounterState> =
            (0..ROUND).map(|n| platform.count(n % CONTENTS, Field::ALL[n / CONTENTS % Field::ALL.len()])).collect();
        stage.announce(&states);
        stage.settle();
        for neighbour in &mut neighbours {
            neighbour.read_all();
            assert_eq!(*neighbour.values(), platform.values(0..CONTENTS), "a neighbour waits for its values");
        }
        most = most.max(owed(&stage, silent.place));
    }
    assert_eq!(
        stage.hub.settings.metrics.overflows.get(),
        0,
        "each round must fit the ring, or the rounds are not what was sent"
    );
    assert_eq!(stage.hub.settings.metrics.blocked.get(), 1, "only the silent one is ever behind, and once");
    let longest = neighbours[0].longest;
    assert!(most <= longest, "{most} bytes were kept where no frame is longer than {longest}");

    // What the kernel held, and the frame that was cut; then the walk.
    silent.read_all();
    let stale = silent.updates;
    catch_up(&mut stage, &mut silent);
    assert_eq!(*silent.values(), platform.values(0..CONTENTS));
    assert!(silent.updates - stale <= FIELDS + 1, "{} updates for {FIELDS} fields", silent.updates - stale);
    assert!(!stage.hub.connections[silent.place].is_behind(), "it keeps up again");
}

/// Promise: however a client reads, whatever was cut off and wherever, it ends at the newest values once nothing changes
/// any more, and it is never shown an older version after a newer one.
#[test]
fn a_client_that_reads_now_and_then_ends_at_the_newest_whatever_the_cut() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::seed(seed);
    SENDING.into_iter().for_each(reads_now_and_then);
}

fn reads_now_and_then(io_uring: bool) {
    const CONTENTS: usize = 12;
    let mut stage = Stage::set(io_uring);
    let mut platform = Platform::new(CONTENTS);
    let ids = platform.ids();
    // Keeps all of it watched, so that the hub knows what a newcomer must be told.
    let mut keeper = Viewer::new(stage.subscribe(&ids, "", None));
    let ping = text(PING);
    let mut fallen_behind = 0;
    for _ in 0..150 {
        let from = fastrand::usize(..CONTENTS);
        let blocked = stage.hub.settings.metrics.blocked.get();
        let room = Some(fastrand::usize(1..16_384));
        let mut viewer = Viewer::new(stage.subscribe(&ids[from..], "", room));
        let mut asked = 0;
        for _ in 0..fastrand::usize(..60) {
            if fastrand::bool() {
                viewer.read(fastrand::usize(1..4000));
            } else if fastrand::u8(..5) == 0 {
                viewer.stream.write_all(&ping).expect("a client's own socket has room");
                asked += 1;
            } else {
                let changes = 0..fastrand::usize(1..40);
                let change = |_| platform.count(fastrand::usize(..CONTENTS), Field::ALL[fastrand::usize(..4)]);
                let states: Vec<CounterState> = changes.map(change).collect();
                stage.announce(&states);
            }
            if fastrand::u8(..4) > 0 {
                stage.settle();
                keeper.read_all();
            }
        }
        catch_up(&mut stage, &mut viewer);
        assert_eq!(*viewer.values(), platform.values(from..CONTENTS));
        assert_eq!(viewer.pongs, asked);
        fallen_behind += usize::from(stage.hub.settings.metrics.blocked.get() > blocked);
        drop(viewer);
        stage.settle();
    }
    assert!(fallen_behind > 15, "only {fallen_behind} of the clients fell behind: this test shows little");
}

/// Promise: a client that goes on asking and takes no answer is not listened to, so its questions wait in its own socket
/// and nothing grows here; when it reads, each of them is answered.
#[test]
fn a_client_that_asks_and_never_reads_is_not_listened_to() {
    SENDING.into_iter().for_each(asks_and_never_reads);
}

fn asks_and_never_reads(io_uring: bool) {
    let mut stage = Stage::set(io_uring);
    let mut platform = Platform::new(1);
    let mut deaf = Viewer::new(stage.subscribe(&platform.ids(), "", NARROW));
    let ping = text(PING);
    let (mut asked, mut rest) = (0, Vec::new());
    for _ in 0..10_000 {
        let before = asked;
        // Until its own socket is full.
        loop {
            if rest.is_empty() {
                rest.clone_from(&ping);
                asked += 1;
            }
            match deaf.stream.write(&rest) {
                Ok(taken) => drop(rest.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a client cannot write: {error}"),
            }
        }
        // Changes do not make it heard either. That of likes is the first after the answer that found no room.
        let field = if before == 0 { Field::Likes } else { Field::Views };
        stage.announce(&[platform.count(0, field)]);
        stage.settle();
        let owed = owed(&stage, deaf.place);
        assert!(owed <= 2 * READ_BYTES, "{owed} bytes are kept after {asked} pings");
        if asked == before {
            break;
        }
    }
    assert_eq!(stage.hub.settings.metrics.blocked.get(), 1, "its socket is full");
    while !rest.is_empty() {
        catch_up(&mut stage, &mut deaf);
        match deaf.stream.write(&rest) {
            Ok(taken) => drop(rest.drain(..taken)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    catch_up(&mut stage, &mut deaf);
    assert_eq!(deaf.pongs, asked);
    assert_eq!(*deaf.values(), platform.values(0..1));
}
