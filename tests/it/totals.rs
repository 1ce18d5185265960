//! What the input files add up to. The rule: summed without the code that posts them, so that a mistake there cannot
//! hide here: page views by counting lines, videos by their last day, whose counts are absolute.

use std::collections::BTreeMap;
use std::fs;

use analytics_tests::api::Api;
use analytics_tests::input::{File, Increment};
use analytics_tests::memory::{Counter, FIELDS};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;

/// The four counts of every counter, in the order of [`FIELDS`].
pub(crate) type Totals = BTreeMap<Counter, [u64; 4]>;

/// How many ids one read may name.
const IDS_PER_READ: usize = 100;

/// How many connections read at once.
const READERS: usize = 8;

/// What both files add up to.
pub(crate) fn of_both_files() -> Result<Totals> {
    let mut totals = Totals::new();
    for line in text(File::Pageviews)?.lines().skip(1) {
        let (_, path) = line.split_once(',').context("a page view has a path")?;
        totals.entry(Counter::public(path)).or_default()[0] += 1;
    }
    for line in text(File::VideoCounts)?.lines().skip(1) {
        let [_, video, channel, views, likes, comments] =
            line.split(',').collect::<Vec<_>>().try_into().map_err(|_| anyhow::anyhow!("six columns in {line}"))?;
        let counts = [views.parse()?, likes.parse()?, 0, comments.parse()?];
        totals.insert(Counter::new(Some(channel), None, video), counts);
    }
    Ok(totals)
}

/// What a part of them adds up to.
pub(crate) fn of(increments: &[Increment]) -> Result<Totals> {
    let mut totals = Totals::new();
    for Increment { counter, field, by, .. } in increments {
        let index = FIELDS.iter().position(|name| name == field).context("one of the four fields")?;
        let count = &mut totals.entry(counter.clone()).or_default()[index];
        *count = count.checked_add_signed(*by).context("no count goes below 0")?;
    }
    Ok(totals)
}

fn text(file: File) -> Result<String> {
    fs::read_to_string(file.path()).with_context(|| format!("read {}", file.path().display()))
}

/// What the store has of these counters, read over HTTP; a counter that was never counted is left out.
pub(crate) async fn in_the_store(authority: &str, counters: &Totals) -> Result<Totals> {
    let mut by_organization: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for counter in counters.keys() {
        by_organization.entry(counter.organization.as_deref()).or_default().push(&counter.content);
    }
    let reads: Vec<(Option<&str>, Vec<&str>)> = by_organization
        .iter()
        .flat_map(|(organization, ids)| ids.chunks(IDS_PER_READ).map(|ids| (*organization, ids.to_vec())))
        .collect();
    let share = reads.len().div_ceil(READERS);
    let readers = reads.chunks(share).map(|reads| async move {
        let mut api = Api::new(authority);
        let mut totals = Totals::new();
        for (organization, ids) in reads {
            for entry in api.content(ids, *organization, None).await? {
                let counts = counts(&entry)?;
                if counts != [0; 4] {
                    totals.insert(Counter::of_message(&entry), counts);
                }
            }
        }
        anyhow::Ok(totals)
    });
    Ok(try_join_all(readers).await?.into_iter().flatten().collect())
}

fn counts(entry: &Value) -> Result<[u64; 4]> {
    let mut counts = [0; 4];
    for (count, field) in counts.iter_mut().zip(FIELDS) {
        *count = entry[field].as_u64().with_context(|| format!("no {field} in {entry}"))?;
    }
    Ok(counts)
}

/// Fails unless both are the same, and names the first few counters that differ.
pub(crate) fn same(expected: &Totals, found: &Totals) -> Result<()> {
    let counters: std::collections::BTreeSet<&Counter> = expected.keys().chain(found.keys()).collect();
    let mut differences = counters.into_iter().filter(|counter| expected.get(counter) != found.get(counter));
    let first: Vec<String> = differences
        .by_ref()
        .take(5)
        .map(|counter| format!("{counter:?}: expected {:?}, found {:?}", expected.get(counter), found.get(counter)))
        .collect();
    ensure!(first.is_empty(), "{} counters differ: {first:#?}", first.len() + differences.count());
    Ok(())
}
