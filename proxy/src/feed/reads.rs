//! Which topics are to be read next. The rule: whoever begins to watch comes before what is read again, and what is read
//! again gets its share all the same.

use std::collections::{BTreeMap, HashMap};

use analytics_shared::Topic;

/// Of so many topics one is taken from those to be read again, if there are any.
const SHARE: u64 = 4;

/// Why a topic is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Somebody begins to watch it.
    Watch,
    /// Changes may have been lost, or the last read failed.
    Again,
}

/// Topics to be read, of one cause in the order in which they were asked for, each at most once and only while it is
/// watched: bounded by what is watched.
#[derive(Debug, Default)]
pub(super) struct Reads {
    order: BTreeMap<(Cause, u64), Topic>,
    queued: HashMap<Topic, (Cause, u64)>,
    next: u64,
    taken: u64,
    pub(super) closed: bool,
}

impl Reads {
    /// Asks for a topic.
    pub(super) fn add(&mut self, cause: Cause, topic: Topic) {
        if self.queued.get(&topic).is_some_and(|(queued, _)| *queued <= cause) {
            return;
        }
        self.cancel(&topic);
        self.queued.insert(topic.clone(), (cause, self.next));
        self.order.insert((cause, self.next), topic);
        self.next += 1;
    }

    /// Nobody watches the topic any more.
    pub(super) fn cancel(&mut self, topic: &Topic) {
        if let Some(place) = self.queued.remove(topic) {
            self.order.remove(&place);
        }
    }

    /// The next topic.
    pub(super) fn take(&mut self) -> Option<Topic> {
        self.taken += 1;
        let again = self.order.range((Cause::Again, 0)..).next().filter(|_| self.taken.is_multiple_of(SHARE));
        let place = *again.or_else(|| self.order.first_key_value())?.0;
        let topic = self.order.remove(&place)?;
        self.queued.remove(&topic);
        Some(topic)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use analytics_shared::{Id, Scope};

    fn topic(content: &str) -> Topic {
        Topic { content: Id::new(content).expect("a valid id"), scope: Scope::public() }
    }

    fn drain(reads: &mut Reads) -> Vec<String> {
        std::iter::from_fn(|| reads.take()).map(|topic| topic.content.as_str().to_owned()).collect()
    }

    #[test]
    fn whoever_begins_to_watch_comes_first_and_the_others_get_their_share() {
        let mut reads = Reads::default();
        for content in ["a1", "a2", "a3"] {
            reads.add(Cause::Again, topic(content));
        }
        for content in ["w1", "w2", "w3", "w4"] {
            reads.add(Cause::Watch, topic(content));
        }
        assert_eq!(reads.len(), 7);
        assert_eq!(drain(&mut reads), ["w1", "w2", "w3", "a1", "w4", "a2", "a3"]);
    }

    #[test]
    fn a_topic_waits_once_and_moves_up_when_somebody_begins_to_watch_it() {
        let mut reads = Reads::default();
        reads.add(Cause::Again, topic("a"));
        reads.add(Cause::Again, topic("b"));
        reads.add(Cause::Watch, topic("b"));
        reads.add(Cause::Again, topic("b"));
        assert_eq!(drain(&mut reads), ["b", "a"]);
        reads.add(Cause::Watch, topic("a"));
        reads.cancel(&topic("a"));
        assert_eq!(reads.len(), 0);
        assert_eq!(reads.take(), None);
    }
}
