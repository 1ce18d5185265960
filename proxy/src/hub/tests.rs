//! A whole hub over a real store and real sockets, with a ring so small that it overflows; and, one file each, what a hub
//! on the test's own thread shows under pressure.

mod pressure;
mod reach;
mod viewer;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use analytics_shared::{Authority, Counter, Field, Id, Scope};
use lambda_trigger::CounterStore;
use lambda_trigger::auth::{Auth, Mode};
use lambda_trigger::store::Write as Update;

use super::*;
use crate::admission::Admission;
use crate::events::{ConnId, NoEvents};
use crate::store::{EmbeddedOptions, EmbeddedStore};

const CONTENTS: usize = 300;
const ROUNDS: u64 = 20;

/// Promise: a hub whose ring overflows, in the stream and in what is read, ends at the store's values all the same.
#[test]
fn a_ring_that_overflows_loses_nothing_for_good() {
    let home = tempfile::tempdir().expect("a directory");
    let store = Arc::new(EmbeddedStore::open(EmbeddedOptions::new(home.path())).expect("a store"));
    let metrics = Metrics::new();
    let (feed, mut ends) = Feed::new(1, 4, false, metrics.clone()).expect("a feed");
    let end = ends.remove(0);
    let mailbox = Mailbox::new(end.0.clone());
    let settings = Settings {
        base: store.base(),
        auth: Auth::new(Mode::Development, None),
        max_ids: CONTENTS,
        max_message_bytes: 65_536,
        messages_per_second: 1000,
        io_uring: true,
        heartbeat_interval: Duration::from_secs(100),
        heartbeat_timeout: Duration::from_secs(200),
        events: Arc::new(NoEvents),
        metrics: metrics.clone(),
    };
    let hub = spawn(0, Arc::new(settings), feed.clone(), end, mailbox.clone()).expect("a hub");
    let reader = std::thread::spawn({
        let (feed, store) = (feed.clone(), store.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        move || feed.read_on(&*store, &runtime)
    });
    store.announce_to(feed.clone());

    let (mut client, server) = UnixStream::pair().expect("sockets");
    server.set_nonblocking(true).expect("a nonblocking socket");
    let admission = Admission::new(1, None);
    mailbox.reserve().expect("a place").send(Arrival {
        id: ConnId::next(),
        socket: OwnedFd::from(server),
        session: None,
        answer: Vec::new(),
        early: subscribe(),
        authority: Authority::unrestricted(),
        expires_at: None,
        permit: admission.admit(None).expect("room"),
        peer: None,
        tag: 0,
    });

    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for _ in 0..ROUNDS {
        let update = |content| Update {
            counter: Counter::new(Id::new(&format!("c{content}")).expect("an id"), Scope::public()),
            field: Field::Views,
            increment: 1,
            key: None,
        };
        let outcomes = runtime.block_on(store.apply((0..CONTENTS).map(update).collect()));
        assert!(outcomes.iter().all(Result::is_ok));
    }
    assert!(metrics.overflows.get() > 0, "the ring did not overflow: this test shows nothing");

    client.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    let last = |content: usize| format!("\"contentId\":\"c{content}\",\"field\":\"views\",\"value\":{ROUNDS},");
    let (mut received, mut chunk) = (String::new(), [0; 65_536]);
    let until = Instant::now() + Duration::from_secs(30);
    while !(0..CONTENTS).all(|content| received.contains(&last(content))) {
        assert!(Instant::now() < until, "the client did not get every last value");
        if let Ok(length) = client.read(&mut chunk) {
            received.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    }

    mailbox.drain(Duration::ZERO);
    drop(client);
    hub.join().expect("the hub ends");
    feed.close_reads();
    reader.join().expect("the reader ends");
}

/// A masked frame (of a mask of zeros) that subscribes to every content.
fn subscribe() -> Vec<u8> {
    let ids: Vec<String> = (0..CONTENTS).map(|content| format!("\"c{content}\"")).collect();
    let message = format!("{{\"type\":\"subscribe\",\"contentIds\":[{}]}}", ids.join(","));
    let mut frame = vec![0x81, 0xfe];
    frame.write_all(&(message.len() as u16).to_be_bytes()).expect("memory");
    frame.extend([0; 4]);
    frame.extend(message.as_bytes());
    frame
}
