//! The two built-in configurations. The rule: they differ in scale only; development's numbers are low enough that
//! a handful of clicks moves a score.

use std::collections::BTreeMap;

use super::{PerMetric, PerformanceConfig, Thresholds, TrendingCriteria};

impl PerformanceConfig {
    /// For trying things out by hand.
    pub fn development() -> PerformanceConfig {
        PerformanceConfig {
            thresholds: PerMetric {
                views: rising([10, 50, 200, 1_000]),
                likes: rising([3, 10, 40, 200]),
                shares: rising([2, 5, 20, 100]),
                comments: rising([2, 5, 20, 100]),
            },
            default_weights: default_weights(),
            weights: weights(),
            trending: TrendingCriteria {
                window_ms: 60_000,
                minimum_gain: PerMetric { views: 5, likes: 2, shares: 2, comments: 2 },
                minimum_growth: 0.1,
            },
        }
    }

    /// For pages that many people look at.
    pub fn production() -> PerformanceConfig {
        PerformanceConfig {
            thresholds: PerMetric {
                views: rising([1_000, 10_000, 100_000, 1_000_000]),
                likes: rising([50, 500, 5_000, 50_000]),
                shares: rising([10, 100, 1_000, 10_000]),
                comments: rising([10, 100, 1_000, 10_000]),
            },
            default_weights: default_weights(),
            weights: weights(),
            trending: TrendingCriteria {
                window_ms: 3_600_000,
                minimum_gain: PerMetric { views: 500, likes: 50, shares: 20, comments: 20 },
                minimum_growth: 0.1,
            },
        }
    }
}

fn rising([average, good, excellent, top]: [u64; 4]) -> Thresholds {
    Thresholds { average, good, excellent, top }
}

fn shares_of_ten([views, likes, shares, comments]: [f64; 4]) -> PerMetric<f64> {
    PerMetric { views, likes, shares, comments }
}

fn default_weights() -> PerMetric<f64> {
    shares_of_ten([4.0, 3.0, 2.0, 1.0])
}

fn weights() -> BTreeMap<String, PerMetric<f64>> {
    // What an audience does with a kind of content, in tenths: articles are passed on and discussed, videos are
    // watched, images are liked, products are looked at and reviewed, posts are answered.
    let types = [
        ("article", [4.0, 2.0, 2.0, 2.0]),
        ("image", [3.0, 5.0, 1.0, 1.0]),
        ("post", [2.0, 3.0, 2.0, 3.0]),
        ("product", [5.0, 2.0, 1.0, 2.0]),
        ("video", [5.0, 3.0, 1.0, 1.0]),
    ];
    types.into_iter().map(|(name, tenths)| (name.to_owned(), shares_of_ten(tenths))).collect()
}
