//! A bounded queue in front of one thread. The rule: it never grows beyond its capacity by more than the one item
//! that crossed it, and what is in it when it closes is still served.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Items with a weight each, taken in order by a single consumer.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    open: bool,
    consumer_waits: bool,
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The consumer does not keep up.
    Full,
    /// Nothing is taken any more.
    Closed,
}

impl<T> Queue<T> {
    /// An empty queue that refuses once the weights in it reach `capacity`.
    pub(super) fn new(capacity: usize) -> Queue<T> {
        let state = State { items: VecDeque::new(), weight: 0, open: true, consumer_waits: false };
        Queue { state: Mutex::new(state), ready: Condvar::new(), capacity }
    }

    /// Appends an item.
    pub(super) fn push(&self, item: T, weight: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        if !state.open {
            return Err(Refused::Closed);
        }
        if state.weight >= self.capacity {
            return Err(Refused::Full);
        }
        state.weight += weight;
        state.items.push_back((item, weight));
        // A wake-up is a system call, so it is made only for a consumer that sleeps.
        if std::mem::take(&mut state.consumer_waits) {
            drop(state);
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for items and appends them to `batch`, in order, while their weights stay within `most` (one item is
    /// always taken, whatever it weighs). `false`: the queue is closed and empty.
    pub(super) fn take(&self, most: usize, batch: &mut Vec<T>) -> bool {
        let mut state = self.lock();
        while state.items.is_empty() {
            if !state.open {
                return false;
            }
            state.consumer_waits = true;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken = 0;
        while let Some((item, weight)) = state.items.pop_front_if(|(_, weight)| taken == 0 || taken + *weight <= most) {
            taken += weight;
            state.weight -= weight;
            batch.push(item);
        }
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
        self.0.lock().items.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_at_its_capacity_and_serves_in_order() {
        let queue = Queue::new(3);
        assert_eq!(queue.push('a', 2), Ok(()));
        assert_eq!(queue.push('b', 2), Ok(()), "below the capacity, so it may cross it");
        assert_eq!(queue.push('c', 1), Err(Refused::Full));
        let mut batch = Vec::new();
        assert!(queue.take(3, &mut batch));
        assert_eq!(batch, ['a'], "both together are too heavy");
        assert_eq!(queue.push('c', 1), Ok(()));
        batch.clear();
        assert!(queue.take(3, &mut batch));
        assert_eq!(batch, ['b', 'c']);
    }

    #[test]
    fn takes_an_item_that_is_heavier_than_a_batch_alone() {
        let queue = Queue::new(100);
        for weight in [50, 1] {
            assert_eq!(queue.push(weight, weight), Ok(()));
        }
        let mut batch = Vec::new();
        assert!(queue.take(10, &mut batch));
        assert_eq!(batch, [50]);
    }

    #[test]
    fn serves_what_it_holds_after_closing() {
        let queue = Queue::new(3);
        assert_eq!(queue.push('a', 1), Ok(()));
        queue.close();
        assert_eq!(queue.push('b', 1), Err(Refused::Closed));
        let mut batch = Vec::new();
        assert!(queue.take(3, &mut batch));
        assert!(!queue.take(3, &mut batch));
        assert_eq!(batch, ['a']);
    }

    #[test]
    fn a_consumer_that_ends_leaves_nothing_waiting() {
        let queue = Queue::new(3);
        let (answer, waiting) = std::sync::mpsc::channel::<()>();
        assert_eq!(queue.push(answer, 1), Ok(()));
        drop(queue.consumer());
        assert!(waiting.recv().is_err(), "the sender was dropped with its item");
    }
}
