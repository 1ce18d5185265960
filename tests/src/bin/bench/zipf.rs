//! Which ids are asked for. The rule: by Zipf's law, the nth most popular of them 1/n as often as the first, and the
//! same draw in every run and for everyone who is compared.

use std::collections::BTreeSet;

/// Draws ranks from 0, the most popular, to `of` − 1.
pub(crate) struct Zipf {
    /// What all ranks up to this one weigh together.
    cumulative: Vec<f64>,
    random: fastrand::Rng,
}

impl Zipf {
    /// `of` is at least 1. Each seed is a draw of its own.
    pub(crate) fn new(of: usize, seed: u64) -> Zipf {
        let weights = (1..=of).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        Zipf { cumulative: weights.collect(), random: fastrand::Rng::with_seed(seed) }
    }

    /// One rank.
    pub(crate) fn draw(&mut self) -> usize {
        let all = self.cumulative.last().copied().unwrap_or_default();
        let at = self.random.f64() * all;
        self.cumulative.partition_point(|sum| *sum <= at).min(self.cumulative.len() - 1)
    }

    /// As many different ranks, which there must be, in order.
    pub(crate) fn distinct(&mut self, count: usize) -> Vec<usize> {
        let mut drawn = BTreeSet::new();
        while drawn.len() < count.min(self.cumulative.len()) {
            drawn.insert(self.draw());
        }
        drawn.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_comes_as_often_as_its_number_says() {
        const DRAWS: usize = 200_000;
        let mut zipf = Zipf::new(100, 1);
        let mut seen = [0_usize; 100];
        (0..DRAWS).for_each(|_| seen[zipf.draw()] += 1);
        let all: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [0, 1, 9, 99] {
            let expected = DRAWS as f64 / (rank + 1) as f64 / all;
            let off = (seen[rank] as f64 - expected).abs() / expected;
            assert!(off < 0.1, "rank {rank}: {} of {expected:.0}", seen[rank]);
        }
    }

    #[test]
    fn a_seed_is_one_draw_and_ranks_are_not_repeated_in_it() {
        let of = |seed| Zipf::new(10_000, seed).distinct(20);
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        assert_eq!(of(3).len(), 20);
        assert_eq!(Zipf::new(3, 1).distinct(20), [0, 1, 2], "no more than there are");
    }
}
