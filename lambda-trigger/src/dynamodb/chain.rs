//! The order within a list of writes. The rule: two writes that meet, in their counter or in their idempotency key, are
//! applied one after the other in their order; all others may be applied at once.

use std::collections::HashSet;

use analytics_shared::{Counter, Id};

use crate::store::{Write, WriteKey};

/// Writes to be applied one after the other, each with its place in the list.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) writes: Vec<(usize, Write)>,
    counters: HashSet<Counter>,
    keys: HashSet<(Option<Id>, WriteKey)>,
}

impl Chain {
    fn meets(&self, write: &Write) -> bool {
        self.counters.contains(&write.counter) || key(write).is_some_and(|key| self.keys.contains(&key))
    }

    fn push(&mut self, place: usize, write: Write) {
        self.counters.insert(write.counter.clone());
        self.keys.extend(key(&write));
        self.writes.push((place, write));
    }

    fn take_in(&mut self, other: Chain) {
        self.counters.extend(other.counters);
        self.keys.extend(other.keys);
        self.writes.extend(other.writes);
        self.writes.sort_by_key(|(place, _)| *place);
    }
}

/// The chains of a list of writes.
pub(super) fn chains(writes: Vec<Write>) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for (place, write) in writes.into_iter().enumerate() {
        // A write that meets several chains makes one of them.
        let mut chain = Chain::default();
        for met in chains.extract_if(.., |chain| chain.meets(&write)) {
            chain.take_in(met);
        }
        chain.push(place, write);
        chains.push(chain);
    }
    chains
}

fn key(write: &Write) -> Option<(Option<Id>, WriteKey)> {
    write.key.clone().map(|key| (write.counter.organization().cloned(), key))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use analytics_shared::{Field, Scope};

    use super::*;

    fn write(content: &str, key: Option<&str>) -> Write {
        let counter = Counter::new(Id::new(content).expect("a valid id"), Scope::public());
        let key = key.map(|key| WriteKey { key: Arc::from(key), member: None });
        Write { counter, field: Field::Views, increment: 1, key }
    }

    fn places(writes: Vec<Write>) -> Vec<Vec<usize>> {
        let places = |chain: Chain| chain.writes.into_iter().map(|(place, _)| place).collect();
        let mut places: Vec<Vec<usize>> = chains(writes).into_iter().map(places).collect();
        places.sort();
        places
    }

    #[test]
    fn writes_that_meet_keep_their_order_and_others_are_apart() {
        let none: Vec<Vec<usize>> = Vec::new();
        assert_eq!(places(Vec::new()), none);
        let list = vec![write("a", None), write("b", None), write("a", None), write("c", None), write("b", None)];
        assert_eq!(places(list), [vec![0, 2], vec![1, 4], vec![3]]);
    }

    #[test]
    fn a_shared_key_joins_chains_of_different_counters() {
        let list = vec![
            write("a", Some("k")),
            write("b", Some("l")),
            write("c", None),
            write("b", Some("k")),
            write("d", Some("m")),
            write("a", None),
        ];
        assert_eq!(places(list), [vec![0, 1, 3, 5], vec![2], vec![4]]);
    }
}
