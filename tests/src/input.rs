//! The real input files as increments. The rule: what a file says is what is counted; an increment is never 0 and
//! never beyond what one call may carry, and the increments of one counter keep the file's order.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::memory::Counter;

/// The largest increment of one call, either way.
const MAX_INCREMENT: i64 = 1_000_000_000;

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum File {
    /// Requests of a web server: each row one view of a path.
    Pageviews,
    /// Absolute counts of videos, day by day: each day's difference an increment.
    VideoCounts,
}

/// One increment to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Increment {
    /// Where it comes from.
    pub file: File,
    /// Whose count.
    pub counter: Counter,
    /// Which of the four.
    pub field: &'static str,
    /// Not 0; negative where a count went down.
    pub by: i64,
}

impl File {
    /// Both, in the order in which they are replayed.
    pub const ALL: [File; 2] = [File::Pageviews, File::VideoCounts];

    /// The name without its ending, as it stands in idempotency keys.
    pub fn name(self) -> &'static str {
        match self {
            File::Pageviews => "pageviews",
            File::VideoCounts => "video-counts",
        }
    }

    /// Where it is: in `$ANALYTICS_DATA`, or in `shared/data` beside the repository.
    pub fn path(self) -> PathBuf {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        env::var_os("ANALYTICS_DATA").map_or_else(beside, PathBuf::from).join(self.name()).with_extension("csv")
    }

    /// Its increments, in the file's order.
    pub fn increments(self) -> Result<Vec<Increment>> {
        let path = self.path();
        let reader = csv::Reader::from_path(&path).with_context(|| {
            format!(
                "open {}: the input lies in shared/data beside the repository; ANALYTICS_DATA names another directory",
                path.display()
            )
        })?;
        let increments = match self {
            File::Pageviews => pageviews(reader),
            File::VideoCounts => video_counts(reader),
        };
        increments.with_context(|| format!("read {}", path.display()))
    }
}

#[derive(Debug, Deserialize)]
struct Pageview {
    path: String,
}

#[derive(Debug, Deserialize)]
struct VideoDay {
    video: String,
    channel: String,
    views: i64,
    likes: i64,
    comments: i64,
}

fn pageviews(mut reader: csv::Reader<std::fs::File>) -> Result<Vec<Increment>> {
    reader
        .deserialize()
        .map(|row| {
            let Pageview { path } = row?;
            Ok(Increment { file: File::Pageviews, counter: Counter::public(&path), field: "views", by: 1 })
        })
        .collect()
}

fn video_counts(mut reader: csv::Reader<std::fs::File>) -> Result<Vec<Increment>> {
    let mut last: HashMap<Counter, [i64; 3]> = HashMap::new();
    let mut increments = Vec::new();
    for row in reader.deserialize() {
        let day: VideoDay = row?;
        let counter = Counter::new(Some(&day.channel), None, &day.video);
        // The first day counts in full.
        let before = last.insert(counter.clone(), [day.views, day.likes, day.comments]).unwrap_or_default();
        let fields = [("views", day.views), ("likes", day.likes), ("comments", day.comments)];
        for ((field, value), before) in fields.into_iter().zip(before) {
            increments.extend(parts(value - before).map(|by| Increment {
                file: File::VideoCounts,
                counter: counter.clone(),
                field,
                by,
            }));
        }
    }
    Ok(increments)
}

/// Splits a difference into increments that one call may carry; none for 0.
fn parts(difference: i64) -> impl Iterator<Item = i64> {
    let mut rest = difference;
    std::iter::from_fn(move || {
        let part = rest.clamp(-MAX_INCREMENT, MAX_INCREMENT);
        rest -= part;
        (part != 0).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_split_into_allowed_parts_that_sum_up_to_it() {
        for difference in [0, 1, -1, MAX_INCREMENT, MAX_INCREMENT + 1, -3 * MAX_INCREMENT - 7] {
            let parts: Vec<i64> = parts(difference).collect();
            assert_eq!(parts.iter().sum::<i64>(), difference);
            assert!(parts.iter().all(|part| *part != 0 && part.abs() <= MAX_INCREMENT), "{parts:?}");
        }
    }
}
