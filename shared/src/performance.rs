//! How well a content does: score, rating, trending. The rule: pure arithmetic on what the served configuration
//! holds, in a stated order, so that another language gets the same bits.
//!
//! Every number below is an IEEE 754 double (a JavaScript number); counts and thresholds are integers up to 2^53−1
//! and so exact. Only `+ - * /`, `min`, `max`, `floor` and comparisons are used, each rounded to nearest as the
//! standard has it, evaluated left to right except for parentheses.
//!
//! **Points** of one count `v` under the thresholds `average < good < excellent < top` of its metric. With
//! `t = [0, average, good, excellent, top]`:
//! ```text
//! v >= top:  points = 100
//! else:      k = the index with t[k] <= v < t[k + 1]
//!            points = 25 * (k + (v - t[k]) / (t[k + 1] - t[k]))
//! ```
//! **Score** under the weights `w` of the content's type, or the default weights if no type is given. Both sums
//! run in the order views, likes, shares, comments and start from 0:
//! ```text
//! sum   = 0 + w.views * points(views) + … + w.comments * points(comments)
//! total = 0 + w.views + … + w.comments
//! score = floor(min(sum / total, 100) * 100 + 0.5) / 100        (two decimals, halves up)
//! ```
//! **Rating**, of the rounded score: `excellent` from 75, `good` from 50, `average` from 25, else `poor`. So a
//! content whose four counts all stand at one threshold is rated by that threshold's name.
//!
//! **Trending**: for each metric, with `gain = after - before` over `elapsedMs`:
//! ```text
//! recent = gain * windowMs / max(elapsedMs, windowMs)
//! trending if, for any metric, recent >= minimumGain and recent >= minimumGrowth * before
//! ```
//! A change observed over longer than the window counts with its share of one window. One observed over less
//! counts as it is: a burst of a second is not extrapolated to an hour.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Counts, Field};

mod defaults;
mod overrides;

pub use overrides::InvalidConfig;

/// One value for each of the four metrics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PerMetric<T> {
    /// For views.
    pub views: T,
    /// For likes.
    pub likes: T,
    /// For shares.
    pub shares: T,
    /// For comments.
    pub comments: T,
}

/// The counts from which on a metric is average, good, excellent, and gains nothing more. Rising, from 1 to 2^53−1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Thresholds {
    /// Worth 25 points.
    pub average: u64,
    /// Worth 50 points.
    pub good: u64,
    /// Worth 75 points.
    pub excellent: u64,
    /// Worth 100 points, as is everything above.
    pub top: u64,
}

/// When a content is trending.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TrendingCriteria {
    /// The time over which gains are judged, in milliseconds; from 1.
    pub window_ms: u64,
    /// The gain within a window that a metric needs at least; from 1.
    pub minimum_gain: PerMetric<u64>,
    /// The gain within a window that a metric needs at least, as a fraction of what it had before; from 0.
    pub minimum_growth: f64,
}

/// Thresholds, weights and trending criteria. One that exists is valid. Serializes as served to browsers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PerformanceConfig {
    thresholds: PerMetric<Thresholds>,
    default_weights: PerMetric<f64>,
    weights: BTreeMap<String, PerMetric<f64>>,
    trending: TrendingCriteria,
}

/// A score and its rating.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Score {
    /// From 0 to 100 with two decimals.
    pub score: f64,
    /// What the score amounts to.
    pub rating: Rating,
}

/// A score in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Rating {
    /// Below 25.
    Poor,
    /// From 25.
    Average,
    /// From 50.
    Good,
    /// From 75.
    Excellent,
}

/// The configuration has no weights for a content type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("type must be one of {}", known.join(", "))]
pub struct UnknownContentType {
    /// The types that it has, in alphabetical order.
    pub known: Vec<String>,
}

/// A content's counts at two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentChange {
    /// The earlier counts.
    pub before: Counts,
    /// The later counts; lower ones are no gain.
    pub after: Counts,
    /// The time between, in milliseconds.
    pub elapsed_ms: u64,
}

impl<T> PerMetric<T> {
    /// The value for a metric.
    pub fn get(&self, field: Field) -> &T {
        match field {
            Field::Views => &self.views,
            Field::Likes => &self.likes,
            Field::Shares => &self.shares,
            Field::Comments => &self.comments,
        }
    }

    fn get_mut(&mut self, field: Field) -> &mut T {
        match field {
            Field::Views => &mut self.views,
            Field::Likes => &mut self.likes,
            Field::Shares => &mut self.shares,
            Field::Comments => &mut self.comments,
        }
    }
}

impl PerformanceConfig {
    /// The content types that have weights of their own, in alphabetical order.
    pub fn content_types(&self) -> impl Iterator<Item = &str> {
        self.weights.keys().map(String::as_str)
    }

    fn weights_of(&self, content_type: Option<&str>) -> Result<&PerMetric<f64>, UnknownContentType> {
        let Some(name) = content_type else { return Ok(&self.default_weights) };
        let unknown = || UnknownContentType { known: self.content_types().map(str::to_owned).collect() };
        self.weights.get(name).ok_or_else(unknown)
    }
}

impl Rating {
    /// The rating of a score.
    pub fn of(score: f64) -> Rating {
        match score {
            score if score >= 75.0 => Rating::Excellent,
            score if score >= 50.0 => Rating::Good,
            score if score >= 25.0 => Rating::Average,
            _ => Rating::Poor,
        }
    }
}

/// How well a content of this type does; by the default weights if no type is given.
pub fn score(
    counts: &Counts,
    content_type: Option<&str>,
    config: &PerformanceConfig,
) -> Result<Score, UnknownContentType> {
    let weights = config.weights_of(content_type)?;
    let (mut sum, mut total) = (0.0, 0.0);
    for field in Field::ALL {
        let weight = *weights.get(field);
        sum += weight * points(counts.get(field), config.thresholds.get(field));
        total += weight;
    }
    let score = ((sum / total).min(100.0) * 100.0 + 0.5).floor() / 100.0;
    Ok(Score { score, rating: Rating::of(score) })
}

/// Whether a content gains fast enough to be called trending.
pub fn trending(change: &RecentChange, config: &PerformanceConfig) -> bool {
    let TrendingCriteria { window_ms, minimum_gain, minimum_growth } = &config.trending;
    let window = *window_ms as f64;
    let elapsed = (change.elapsed_ms as f64).max(window);
    Field::ALL.into_iter().any(|field| {
        let before = change.before.get(field) as f64;
        let recent = (change.after.get(field) as f64 - before) * window / elapsed;
        recent >= *minimum_gain.get(field) as f64 && recent >= minimum_growth * before
    })
}

fn points(value: u64, thresholds: &Thresholds) -> f64 {
    let steps = [0, thresholds.average, thresholds.good, thresholds.excellent, thresholds.top];
    // The thresholds rise, so the steps that are reached come first, and 0 is always reached.
    let reached = steps.iter().filter(|step| **step <= value).count();
    let Some(next) = steps.get(reached) else { return 100.0 };
    let last = steps[reached - 1];
    25.0 * ((reached - 1) as f64 + (value - last) as f64 / (next - last) as f64)
}
