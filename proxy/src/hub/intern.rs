//! Equal values kept once. The rule: connections of one tenant share one authority and one scope.

use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

#[derive(Debug)]
pub(super) struct Interner<T> {
    known: HashMap<T, Rc<T>>,
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub(super) fn new() -> Interner<T> {
        Interner { known: HashMap::new() }
    }

    /// The one value that equals this one.
    pub(super) fn share(&mut self, value: T) -> Rc<T> {
        self.known.entry(value).or_insert_with_key(|value| Rc::new(value.clone())).clone()
    }

    /// Forgets the values that nobody holds any more.
    pub(super) fn prune(&mut self) {
        self.known.retain(|_, shared| Rc::strong_count(shared) > 1);
    }
}
