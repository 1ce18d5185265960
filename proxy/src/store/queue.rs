//! A bounded queue in front of one thread. The rule: it never grows beyond its capacity by more than the one item
//! that crossed it; what is in it when it closes is still served; and whoever asks for much does not keep those waiting
//! who ask for little.
//!
//! There are two lanes, each in the order in which its items came: one for items of weight 1, the calls of pages and small
//! servers, and one for heavier items. The heavy lane may fill half of the queue, so that there is room for a light item
//! however many heavy ones come; and each lane gets half of what the consumer takes at once, or what the other leaves. A
//! light item is therefore taken with the next batch, or the one after a call that is heavier than half a batch, unless half
//! a batch of light ones is before it.
//!
//! Items of different lanes may overtake each other. Nobody is promised an order of calls that are under way at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Items with a weight each, taken by a single consumer.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    capacity: usize,
}

struct State<T> {
    light: Lane<T>,
    heavy: Lane<T>,
    /// The heavy lane is served first next time. It matters to an item that is heavier than half a batch: the first lane's
    /// first item is taken whatever it weighs.
    heavy_first: bool,
    open: bool,
    consumer_waits: bool,
}

struct Lane<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The consumer does not keep up.
    Full,
    /// Nothing is taken any more.
    Closed,
}

impl<T> Lane<T> {
    fn new() -> Lane<T> {
        Lane { items: VecDeque::new(), weight: 0 }
    }

    /// Moves items to `batch`, in order, while their weights stay within `most`, and answers their weight. With
    /// `one_at_least` the first is moved whatever it weighs.
    fn take(&mut self, most: usize, one_at_least: bool, batch: &mut Vec<T>) -> usize {
        let mut taken = 0;
        let fits = |taken: usize, weight: usize| taken + weight <= most || (one_at_least && taken == 0);
        while let Some((item, weight)) = self.items.pop_front_if(|(_, weight)| fits(taken, *weight)) {
            taken += weight;
            batch.push(item);
        }
        self.weight -= taken;
        taken
    }
}

impl<T> Queue<T> {
    /// An empty queue that refuses once the weights in it reach `capacity`, and items heavier than 1 once those of them
    /// that it holds reach half of it.
    pub(super) fn new(capacity: usize) -> Queue<T> {
        let (light, heavy) = (Lane::new(), Lane::new());
        let state = State { light, heavy, heavy_first: false, open: true, consumer_waits: false };
        Queue { state: Mutex::new(state), ready: Condvar::new(), capacity }
    }

    /// Appends an item to its lane. A weight is 1 at least.
    pub(super) fn push(&self, item: T, weight: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        if !state.open {
            return Err(Refused::Closed);
        }
        let full = state.light.weight + state.heavy.weight >= self.capacity;
        let heavy = weight > 1;
        if full || (heavy && state.heavy.weight >= self.capacity.div_ceil(2)) {
            return Err(Refused::Full);
        }
        let lane = if heavy { &mut state.heavy } else { &mut state.light };
        lane.weight += weight;
        lane.items.push_back((item, weight));
        // A wake-up is a system call, so it is made only for a consumer that sleeps.
        if std::mem::take(&mut state.consumer_waits) {
            drop(state);
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for items and appends them to `batch` while their weights stay within `most` (one item is always taken,
    /// whatever it weighs): those of either lane in their order. `false`: the queue is closed and empty.
    pub(super) fn take(&self, most: usize, batch: &mut Vec<T>) -> bool {
        let mut state = self.lock();
        while state.light.items.is_empty() && state.heavy.items.is_empty() {
            if !state.open {
                return false;
            }
            state.consumer_waits = true;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let State { light, heavy, heavy_first, .. } = &mut *state;
        let (first, second) =
            if std::mem::replace(heavy_first, !*heavy_first) { (heavy, light) } else { (light, heavy) };
        let mut taken = first.take(most / 2, true, batch);
        taken += second.take(most.saturating_sub(taken), taken == 0, batch);
        first.take(most.saturating_sub(taken), false, batch);
        true
    }

    /// Takes no more items; those already in are still handed out.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.ready.notify_all();
    }

    /// Guards the consumer's thread: however it ends, nobody waits for an answer that cannot come.
    pub(super) fn consumer(&self) -> Consumer<'_, T> {
        Consumer(self)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes and empties the queue when dropped.
pub(super) struct Consumer<'a, T>(&'a Queue<T>);

impl<T> Drop for Consumer<'_, T> {
    fn drop(&mut self) {
        self.0.close();
        let mut state = self.0.lock();
        state.light.items.clear();
        state.heavy.items.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take<T>(queue: &Queue<T>, most: usize) -> Vec<T> {
        let mut batch = Vec::new();
        assert!(queue.take(most, &mut batch));
        batch
    }

    #[test]
    fn refuses_at_its_capacity_and_serves_in_order() {
        let queue = Queue::new(6);
        assert_eq!(queue.push('a', 2), Ok(()));
        assert_eq!(queue.push('b', 2), Ok(()), "below half the capacity, so it may cross it");
        assert_eq!(queue.push('c', 2), Err(Refused::Full), "the other half is not for its kind");
        assert_eq!(queue.push('d', 1), Ok(()));
        assert_eq!(queue.push('e', 1), Ok(()));
        assert_eq!(queue.push('f', 1), Err(Refused::Full));
        assert_eq!(take(&queue, 3), ['d', 'a'], "both heavy ones together are too heavy");
        assert_eq!(queue.push('g', 2), Ok(()));
        assert_eq!(take(&queue, 6), ['b', 'e', 'g'], "half a batch, all of the other lane, and the rest");
    }

    #[test]
    fn the_heavy_take_no_room_from_the_light_and_the_light_no_turn_from_the_heavy() {
        let queue = Queue::new(1000);
        while queue.push("heavy", 10).is_ok() {}
        for _ in 0..500 {
            assert_eq!(queue.push("light", 1), Ok(()));
        }
        assert_eq!(queue.push("light", 1), Err(Refused::Full));
        for left in (0..10).rev() {
            let batch = take(&queue, 100);
            let light = batch.iter().filter(|kind| **kind == "light").count();
            assert_eq!((light, batch.len() - light), (50, 5), "{left} batches before the end");
        }
    }

    #[test]
    fn what_one_lane_leaves_is_the_others() {
        for weight in [1, 2] {
            let queue = Queue::new(400);
            for _ in 0..100 {
                assert_eq!(queue.push((), weight), Ok(()));
            }
            for _ in 0..2 {
                assert_eq!(take(&queue, 50 * weight).len(), 50, "weight {weight}");
            }
        }
    }

    #[test]
    fn takes_an_item_that_is_heavier_than_a_batch_in_its_turn() {
        let queue = Queue::new(400);
        for weight in [50, 1, 1, 1, 1, 1, 1] {
            assert_eq!(queue.push(weight, weight), Ok(()));
        }
        assert_eq!(take(&queue, 4), [1, 1, 1, 1], "it does not fit");
        assert_eq!(take(&queue, 4), [50], "its lane is the first");
        assert_eq!(take(&queue, 4), [1, 1]);
        assert_eq!(queue.push(50, 50), Ok(()));
        for _ in 0..2 {
            assert_eq!(queue.push(1, 1), Ok(()));
        }
        assert_eq!(take(&queue, 4), [50]);
    }

    #[test]
    fn serves_what_it_holds_after_closing() {
        let queue = Queue::new(6);
        assert_eq!(queue.push('a', 1), Ok(()));
        assert_eq!(queue.push('b', 2), Ok(()));
        queue.close();
        assert_eq!(queue.push('c', 1), Err(Refused::Closed));
        assert_eq!(take(&queue, 1), ['a']);
        assert_eq!(take(&queue, 1), ['b']);
        assert!(!queue.take(1, &mut Vec::new()));
    }

    #[test]
    fn a_consumer_that_ends_leaves_nothing_waiting() {
        for weight in [1, 2] {
            let queue = Queue::new(3);
            let (answer, waiting) = std::sync::mpsc::channel::<()>();
            assert_eq!(queue.push(answer, weight), Ok(()));
            drop(queue.consumer());
            assert!(waiting.recv().is_err(), "the sender was dropped with its item");
        }
    }
}
