//! What is measured, how often, and how it is tabulated. The rule: the rounds of things that are compared alternate,
//! so a change of the machine's mood meets all of them, and ratios are taken within a round.

mod connections;
mod fanout;
mod ingest;
mod many;
mod slow;
mod unrelated;

use std::time::Duration;

use anyhow::Result;

use crate::contender::{Contender, Edge, Manner};
use crate::peers::Peer;
use crate::progress::Progress;
use crate::report::Table;

/// What all rows share.
pub(crate) struct Bench<'a> {
    /// The proxy, in one process with its store.
    pub(crate) edge: Edge<'a>,
    /// How often each row is measured.
    pub(crate) rounds: usize,
    /// How long a sustained measurement lasts.
    pub(crate) during: Duration,
    /// How long idling is watched: in a full run the default heartbeat interval, so each connection is asked once.
    pub(crate) idle_for: Duration,
    pub(crate) size: Size,
    pub(crate) progress: Progress,
}

/// How many of everything.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Subscribers of one id, the most at last.
    pub(crate) subscribers: [usize; 3],
    /// Idle connections: from so many to so many is the slope of memory, and the latter come at once and idle.
    pub(crate) connections: (usize, usize),
    /// Each with 20 of 10 000 ids.
    pub(crate) crowd: usize,
    /// Connections of others, each with as many ids.
    pub(crate) others: usize,
    /// Neighbours of the clients that do not read, and those.
    pub(crate) neighbours: (usize, usize),
}

/// A complete run's.
pub(crate) const COMPLETE: Size = Size {
    subscribers: [100, 1_000, 5_000],
    connections: (3_000, 15_000),
    crowd: 5_000,
    others: 1_000,
    neighbours: (1_000, 50),
};

/// Enough to see that everything works.
pub(crate) const QUICK: Size =
    Size { subscribers: [10, 100, 1_000], connections: (600, 3_000), crowd: 1_000, others: 200, neighbours: (200, 10) };

impl Size {
    /// The most connections at once, with some to spare for who publishes.
    pub(crate) fn descriptors(&self) -> usize {
        self.connections.1.max(10 * self.others + unrelated::OWN) + 100
    }
}

/// The rounds of one row, or why there are none.
pub(crate) type Rounds<T> = Result<Vec<T>, Gap>;

/// Why a row has no figures.
#[derive(Clone)]
pub(crate) enum Gap {
    /// A round failed: no median over the rest would be true.
    Failed(String),
    /// It cannot be measured here.
    LeftOut(String),
}

impl Gap {
    /// A row that says so.
    pub(crate) fn tell(&self, table: &mut Table, name: &str) {
        match self {
            Gap::Failed(reason) => table.failed(name, reason),
            Gap::LeftOut(reason) => table.left_out(name, reason),
        }
    }
}

impl<'a> Bench<'a> {
    /// The edge, plain and with TLS, and the peers.
    pub(crate) fn servers(&self) -> Vec<Contender<'a>> {
        let by_tls = Edge { manner: Manner::Tls, ..self.edge };
        [self.edge, by_tls].map(Contender::Edge).into_iter().chain(Peer::ALL.map(Contender::Peer)).collect()
    }

    /// Everyone who sends frames, the floor first, and the edge in every manner.
    pub(crate) fn everyone(&self) -> Vec<Contender<'a>> {
        let calls = Contender::Edge(Edge { manner: Manner::Calls, ..self.edge });
        [Contender::Floor, calls].into_iter().chain(self.servers()).collect()
    }

    /// Measures each of some contenders, in turns, so many rounds.
    pub(crate) fn contest<T>(
        &self,
        what: &str,
        rounds: usize,
        contenders: &[Contender<'a>],
        measure: impl Fn(Contender<'a>) -> Result<T>,
    ) -> Vec<Rounds<T>> {
        self.in_turns(what, rounds, contenders, |contender| contender.missing(), measure)
    }

    /// Measures each of some variants, in turns.
    pub(crate) fn variants<V: Copy, T>(
        &self,
        what: &str,
        variants: &[V],
        measure: impl Fn(V) -> Result<T>,
    ) -> Vec<Rounds<T>> {
        self.in_turns(what, self.rounds, variants, |_| None, measure)
    }

    fn in_turns<I: Copy, T>(
        &self,
        what: &str,
        rounds: usize,
        items: &[I],
        missing: impl Fn(I) -> Option<String>,
        measure: impl Fn(I) -> Result<T>,
    ) -> Vec<Rounds<T>> {
        let begin = |item: &I| missing(*item).map_or_else(|| Ok(Vec::new()), |reason| Err(Gap::LeftOut(reason)));
        let mut outcomes: Vec<Rounds<T>> = items.iter().map(begin).collect();
        for round in 0..rounds {
            for (index, (item, outcome)) in items.iter().zip(&mut outcomes).enumerate() {
                let told = format!("{what}: round {} of {rounds}, {} of {}", round + 1, index + 1, items.len());
                self.progress.step(&told, round * items.len() + index, rounds * items.len());
                // What has failed stays failed.
                let Ok(measured) = outcome else { continue };
                match measure(*item) {
                    Ok(one) => measured.push(one),
                    Err(error) => *outcome = Err(Gap::Failed(told_of(&error))),
                }
            }
        }
        outcomes
    }

    /// One thing alone, every round.
    pub(crate) fn each_round<T>(&self, what: &str, measure: impl Fn() -> Result<T>) -> Result<Vec<T>, String> {
        let mut rounds = self.variants(what, &[()], |()| measure());
        match rounds.pop() {
            Some(Ok(rounds)) => Ok(rounds),
            Some(Err(Gap::Failed(reason) | Gap::LeftOut(reason))) => Err(reason),
            None => Err("nothing was measured".to_owned()),
        }
    }
}

/// An error in one line for the table; all of it, the server's log included, for whoever watches.
pub(crate) fn told_of(error: &anyhow::Error) -> String {
    eprintln!("failed: {error:#}");
    format!("{error:#}")
}

/// The figure of each round.
pub(crate) fn figures<'r, T>(rounds: &'r [T], figure: impl Fn(&T) -> f64 + 'r) -> Vec<f64> {
    rounds.iter().map(figure).collect()
}

/// Round by round, one divided by the other.
pub(crate) fn ratios(own: &[f64], base: &[f64]) -> Vec<f64> {
    own.iter().zip(base).map(|(own, base)| own / base).collect()
}
