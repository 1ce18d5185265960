//! Which organizations' changes the stream carries. The rule: a topic is read when the stream already carries its
//! organization; what is committed after the read then comes by the stream. While the stream is cut it is read at once,
//! so that nobody waits for the end of that, and again as soon as it is carried.

use std::collections::{BTreeSet, HashSet};

use analytics_shared::{Id, Topic};

/// Whose changes a stream carries; those of public counters always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everybody's.
    Everything,
    /// Those of these organizations.
    Organizations(BTreeSet<Id>),
}

/// What is carried, and what waits for it.
#[derive(Debug)]
pub(super) struct Coverage {
    carried: Option<Reach>,
    /// Watched topics that are to be read once they are carried.
    waiting: HashSet<Topic>,
}

impl Reach {
    fn holds(&self, topic: &Topic) -> bool {
        match (self, topic.scope.organization()) {
            (Reach::Everything, _) | (_, None) => true,
            (Reach::Organizations(organizations), Some(organization)) => organizations.contains(organization),
        }
    }

    /// What both hold.
    fn and(&self, other: &Reach) -> Reach {
        match (self, other) {
            (Reach::Everything, reach) | (reach, Reach::Everything) => reach.clone(),
            (Reach::Organizations(one), Reach::Organizations(other)) => {
                Reach::Organizations(one.intersection(other).cloned().collect())
            }
        }
    }
}

impl Coverage {
    /// Nothing needs to be waited for.
    pub(super) fn everything() -> Coverage {
        Coverage { carried: Some(Reach::Everything), waiting: HashSet::new() }
    }

    /// There is no stream yet.
    pub(super) fn nothing() -> Coverage {
        Coverage { carried: None, waiting: HashSet::new() }
    }

    /// Whether anything is carried.
    pub(super) fn is_something(&self) -> bool {
        self.carried.is_some()
    }

    /// Whether something waits.
    pub(super) fn is_short(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many topics wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The topics that are carried, and those that wait from now on.
    pub(super) fn hold_back(&mut self, topics: Vec<Topic>) -> (Vec<Topic>, Vec<Topic>) {
        let may = |topic: &Topic| self.carried.as_ref().is_some_and(|reach| reach.holds(topic));
        let (covered, others): (Vec<Topic>, Vec<Topic>) = topics.into_iter().partition(may);
        self.waiting.extend(others.iter().cloned());
        (covered, others)
    }

    /// The topics that wait.
    pub(super) fn held_back(&self) -> Vec<Topic> {
        self.waiting.iter().cloned().collect()
    }

    /// Nobody watches the topic any more.
    pub(super) fn forget(&mut self, topic: &Topic) {
        self.waiting.remove(topic);
    }

    /// From here on only what lies within this reach counts as carried.
    pub(super) fn narrow(&mut self, to: &Reach) {
        self.carried = self.carried.take().map(|carried| carried.and(to));
    }

    /// This is carried now; answers the topics that waited for it.
    pub(super) fn cover(&mut self, reach: Reach) -> Vec<Topic> {
        let released = self.waiting.extract_if(|topic| reach.holds(topic)).collect();
        self.carried = Some(reach);
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::id;
    use analytics_shared::Scope;

    fn topic(organization: &str) -> Topic {
        let organization = (!organization.is_empty()).then(|| id(organization));
        Topic { content: id("x"), scope: Scope::new(organization, None).expect("a valid scope") }
    }

    fn reach(organizations: &[&str]) -> Reach {
        Reach::Organizations(organizations.iter().map(|name| id(name)).collect())
    }

    #[test]
    fn a_topic_waits_until_its_organization_is_carried() {
        let mut coverage = Coverage::nothing();
        let all = vec![topic(""), topic("a"), topic("b")];
        assert_eq!(coverage.hold_back(all.clone()), (vec![], all.clone()));
        let mut released = coverage.cover(reach(&["a"]));
        released.sort();
        assert_eq!(released, [topic(""), topic("a")]);
        assert_eq!(coverage.hold_back(all.clone()), (vec![topic(""), topic("a")], vec![topic("b")]));
        assert_eq!(coverage.held_back(), [topic("b")]);
        coverage.forget(&topic("b"));
        assert_eq!(coverage.cover(Reach::Everything), []);
        assert_eq!(coverage.hold_back(all.clone()), (all, vec![]));
    }

    #[test]
    fn what_a_coming_stream_will_not_carry_does_not_count_any_more() {
        let mut coverage = Coverage::everything();
        coverage.narrow(&reach(&["a", "b"]));
        coverage.narrow(&reach(&["b", "c"]));
        let topics = vec![topic("a"), topic("b"), topic("c"), topic("")];
        assert_eq!(coverage.hold_back(topics), (vec![topic("b"), topic("")], vec![topic("a"), topic("c")]));
        assert_eq!(coverage.cover(reach(&["b", "c"])), [topic("c")]);
    }
}
