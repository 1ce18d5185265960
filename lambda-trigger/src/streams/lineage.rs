//! Which shards may be read now. The rule: a shard is read after its parent was read to its end, or is no longer
//! listed, which means that its records are gone (24 h).

use std::collections::HashMap;

use super::{Place, Shard, ShardKey, Start};

/// Every shard that is listed or still being read.
pub(super) struct Lineage {
    shards: HashMap<ShardKey, Node>,
    /// Kept from an earlier life, for shards not listed yet.
    places: HashMap<ShardKey, Place>,
    start: Start,
    observed: bool,
}

#[derive(Debug)]
struct Node {
    parent: Option<ShardKey>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// To be read from here, once its parent is done.
    Waiting(Place),
    Reading,
    Finished,
}

impl Lineage {
    /// Goes on from places; `start` says where a shard begins that has none.
    pub(super) fn new(places: HashMap<ShardKey, Place>, start: Start) -> Lineage {
        Lineage { shards: HashMap::new(), places, start, observed: false }
    }

    /// Takes note of the complete list of shards. The first one is what [`Start::Newest`] means by "now".
    pub(super) fn observe(&mut self, listed: &[Shard]) {
        let only_news = !self.observed && self.start == Start::Newest;
        self.observed = true;
        let known: HashMap<&ShardKey, &Shard> = listed.iter().map(|shard| (&shard.key, shard)).collect();
        for shard in listed {
            if self.shards.contains_key(&shard.key) {
                continue;
            }
            let state = match self.places.remove(&shard.key) {
                Some(Place::Finished) => State::Finished,
                Some(place) => State::Waiting(place),
                // It began while the list was made: all of it is news.
                None if only_news && follows_an_open_one(shard, &known) => State::Waiting(Place::Oldest),
                None if only_news && shard.open => State::Waiting(Place::Newest),
                None if only_news => State::Finished,
                None => State::Waiting(Place::Oldest),
            };
            self.shards.insert(shard.key.clone(), Node { parent: shard.parent.clone(), state });
        }
        self.shards.retain(|key, node| node.state == State::Reading || known.contains_key(key));
    }

    /// The shards to begin now and where; they count as being read from here on.
    pub(super) fn ready(&mut self) -> Vec<(ShardKey, Place)> {
        let done = |parent: &Option<ShardKey>| {
            let parent = parent.as_ref().and_then(|parent| self.shards.get(parent));
            parent.is_none_or(|parent| parent.state == State::Finished)
        };
        let ready = self.shards.iter().filter_map(|(key, node)| match &node.state {
            State::Waiting(place) if done(&node.parent) => Some((key.clone(), place.clone())),
            _ => None,
        });
        let ready: Vec<_> = ready.collect();
        for (key, _) in &ready {
            if let Some(node) = self.shards.get_mut(key) {
                node.state = State::Reading;
            }
        }
        ready
    }

    /// A shard was read to its end, or has nothing that could be read.
    pub(super) fn finish(&mut self, key: &ShardKey) {
        if let Some(node) = self.shards.get_mut(key) {
            node.state = State::Finished;
        }
    }

    /// Whether the shard is being read.
    pub(super) fn is_read(&self, key: &ShardKey) -> bool {
        self.shards.get(key).is_some_and(|node| node.state == State::Reading)
    }
}

/// Whether an ancestor of the shard is listed as open. A parent ends before its child begins, but a list has several
/// pages, and a shard may end between two of them.
fn follows_an_open_one(shard: &Shard, listed: &HashMap<&ShardKey, &Shard>) -> bool {
    let parent = |shard: &&Shard| shard.parent.as_ref().and_then(|parent| listed.get(parent)).copied();
    // No longer than the list, should it ever hold a circle.
    std::iter::successors(parent(&shard), parent).take(listed.len()).any(|ancestor| ancestor.open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ShardKey {
        ShardKey { stream: "s".into(), shard: name.into() }
    }

    fn shard(name: &str, parent: &str, open: bool) -> Shard {
        Shard { key: key(name), parent: (!parent.is_empty()).then(|| key(parent)), open }
    }

    fn ready(lineage: &mut Lineage) -> Vec<(String, Place)> {
        let mut ready: Vec<_> = lineage.ready().into_iter().map(|(key, place)| (key.shard, place)).collect();
        ready.sort_by(|one, other| one.0.cmp(&other.0));
        ready
    }

    fn oldest(name: &str) -> (String, Place) {
        (name.to_owned(), Place::Oldest)
    }

    #[test]
    fn parents_are_read_before_their_children_whatever_the_order_of_the_list() {
        let mut lineage = Lineage::new(HashMap::new(), Start::Oldest);
        let tree = [shard("c", "b", true), shard("d", "b", true), shard("b", "a", false), shard("a", "gone", false)];
        lineage.observe(&tree);
        assert_eq!(ready(&mut lineage), [oldest("a")]);
        assert_eq!(ready(&mut lineage), []);
        lineage.observe(&tree);
        assert_eq!(ready(&mut lineage), [], "a shard is begun once");
        lineage.finish(&key("a"));
        assert_eq!(ready(&mut lineage), [oldest("b")]);
        lineage.finish(&key("b"));
        assert_eq!(ready(&mut lineage), [oldest("c"), oldest("d")]);
    }

    #[test]
    fn a_shard_that_is_read_blocks_its_children_even_when_it_is_no_longer_listed() {
        let mut lineage = Lineage::new(HashMap::new(), Start::Oldest);
        lineage.observe(&[shard("a", "", false)]);
        assert_eq!(ready(&mut lineage), [oldest("a")]);
        lineage.observe(&[shard("b", "a", true)]);
        assert_eq!(ready(&mut lineage), []);
        lineage.finish(&key("a"));
        assert_eq!(ready(&mut lineage), [oldest("b")]);
    }

    #[test]
    fn places_are_gone_on_from_and_finished_shards_left_alone() {
        let after = Place::After("7".into());
        let places = HashMap::from([(key("a"), Place::Finished), (key("b"), after.clone())]);
        let mut lineage = Lineage::new(places, Start::Oldest);
        lineage.observe(&[shard("a", "", false), shard("b", "a", true), shard("c", "a", true)]);
        assert_eq!(ready(&mut lineage), [("b".to_owned(), after), oldest("c")]);
    }

    #[test]
    fn whoever_wants_only_news_reads_open_shards_from_their_end_and_later_ones_whole() {
        let mut lineage = Lineage::new(HashMap::new(), Start::Newest);
        let mut tree = vec![shard("a", "", false), shard("b", "a", true)];
        lineage.observe(&tree);
        assert_eq!(ready(&mut lineage), [("b".to_owned(), Place::Newest)]);
        tree.push(shard("c", "b", false));
        tree.push(shard("d", "c", true));
        lineage.observe(&tree);
        lineage.finish(&key("b"));
        assert_eq!(ready(&mut lineage), [oldest("c")]);
        lineage.finish(&key("c"));
        assert_eq!(ready(&mut lineage), [oldest("d")]);
    }

    #[test]
    fn a_shard_that_began_while_the_first_list_was_made_is_read_whole() {
        let mut lineage = Lineage::new(HashMap::new(), Start::Newest);
        // Two generations began between the page with `a` and the last one.
        lineage.observe(&[shard("a", "", true), shard("b", "a", false), shard("c", "b", true), shard("x", "", false)]);
        assert_eq!(ready(&mut lineage), [("a".to_owned(), Place::Newest)]);
        lineage.finish(&key("a"));
        assert_eq!(ready(&mut lineage), [oldest("b")]);
        lineage.finish(&key("b"));
        assert_eq!(ready(&mut lineage), [oldest("c")]);
    }
}
