//! A chunked slab: stable `u32` places for many small records. The rule: growing never moves or copies a record,
//! so memory grows by a chunk at a time and there is no doubling.

use std::ops::{Index, IndexMut};

/// No place: the end of a list or an absent link.
pub(super) const NONE: u32 = u32::MAX;

/// Records per chunk; small enough that a nearly empty hub stays small.
const CHUNK: usize = 256;

/// Records at stable places; freed places are used again, last freed first.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
    /// Records that were looked at, one by one: what a test says that something costs.
    #[cfg(test)]
    touched: std::cell::Cell<usize>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab {
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
            #[cfg(test)]
            touched: std::cell::Cell::new(0),
        }
    }

    /// Records held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest place ever used.
    pub(super) fn places(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(place) = self.free.pop() {
            let (chunk, offset) = split(place);
            self.chunks[chunk][offset] = Some(value);
            return place;
        }
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        let offset = self.chunks[chunk].len();
        self.chunks[chunk].push(Some(value));
        (chunk * CHUNK + offset) as u32
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<T> {
        let (chunk, offset) = split(place);
        let value = self.chunks.get_mut(chunk)?.get_mut(offset)?.take()?;
        self.free.push(place);
        self.len -= 1;
        Some(value)
    }

    pub(super) fn get(&self, place: u32) -> Option<&T> {
        self.touch();
        let (chunk, offset) = split(place);
        self.chunks.get(chunk)?.get(offset)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.touch();
        let (chunk, offset) = split(place);
        self.chunks.get_mut(chunk)?.get_mut(offset)?.as_mut()
    }

    /// Every record with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let slots = self.chunks.iter().flatten().enumerate();
        slots.filter_map(|(place, slot)| slot.as_ref().map(|value| (place as u32, value))).inspect(|_| self.touch())
    }

    /// How many records were looked at since the last call, each as often as it was.
    #[cfg(test)]
    pub(super) fn take_touched(&self) -> usize {
        self.touched.take()
    }

    fn touch(&self) {
        #[cfg(test)]
        self.touched.set(self.touched.get() + 1);
    }
}

fn split(place: u32) -> (usize, usize) {
    (place as usize / CHUNK, place as usize % CHUNK)
}

/// For places that the hub itself linked: a dangling one is a bug, and half a hub is worse than a restart.
impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, place: u32) -> &T {
        let Some(value) = self.get(place) else { panic!("dangling place {place}") };
        value
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        let Some(value) = self.get_mut(place) else { panic!("dangling place {place}") };
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_stable_and_used_again() {
        let mut slab = Slab::new();
        let places: Vec<u32> = (0..1000).map(|n| slab.insert(n)).collect();
        assert_eq!(slab.places(), 1000);
        assert_eq!(slab.remove(places[10]), Some(10));
        assert_eq!(slab.remove(places[10]), None);
        assert_eq!(slab.insert(5000), places[10]);
        assert_eq!((slab[places[999]], slab.len()), (999, 1000));
        assert_eq!(slab.get(1000), None);
    }
}
