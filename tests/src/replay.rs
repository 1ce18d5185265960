//! Posts increments as a crowd of servers would. The rule: every increment has a key of its own, so that it may be
//! repeated until it is answered, in this run or in a later one with the same id.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::{self, Api};
use crate::http::Reply;
use crate::input::{File, Increment};

/// The first and the longest pause before a repeat; the real one is a random part of it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The most increments in one call (the contract's limit).
pub const MAX_BATCH: usize = 100;

/// How increments are posted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `http://host[:port]` of the edges. Posters are dealt out evenly, and each goes on at the next edge when its own
    /// does not take a call.
    pub urls: Vec<String>,
    /// How many connections post at once.
    pub posters: usize,
    /// Increments per call, 1–100.
    pub batch: usize,
    /// What the idempotency keys begin with. A run that was cut short is finished by another with the same id and
    /// batch and, where a call has several increments, the same posters: what was counted then does not count again.
    pub run_id: String,
    /// A token with `analytics:write:any`, if the edge asks for one.
    pub token: Option<String>,
    /// How long one call is repeated before the replay gives up.
    pub give_up_after: Duration,
}

/// How far a replay is: increments answered so far, for whoever watches.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

/// What became of a replay.
#[derive(Debug)]
pub struct Summary {
    /// Increments that were to be posted.
    pub rows: u64,
    /// Of these, counted in this run.
    pub posted: u64,
    /// Counted by an earlier attempt under the same key.
    pub replayed: u64,
    /// Refused for good.
    pub refused: u64,
    /// Why the first was refused.
    pub first_refusal: Option<String>,
    /// From the first call to the last answer.
    pub took: Duration,
    /// Microseconds from a call to its answer, repeats apart.
    pub latency: Histogram<u64>,
}

/// Increments that travel in one call, under one key.
#[derive(Debug)]
struct Call {
    key: String,
    increments: Vec<Increment>,
}

impl Progress {
    /// Increments answered so far.
    pub fn answered(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Posts increments and waits for every answer. Fails when the edge cannot be reached for too long.
pub async fn run(plan: Plan, increments: Vec<Increment>, progress: Arc<Progress>) -> Result<Summary> {
    ensure!((1..=MAX_BATCH).contains(&plan.batch), "a batch has 1 to {MAX_BATCH} increments");
    ensure!(plan.posters > 0, "at least one poster is needed");
    ensure!(!plan.urls.is_empty(), "at least one edge is needed");
    let authorities = plan.urls.iter().map(|url| authority(url)).collect::<Result<Vec<String>>>()?;
    let started = Instant::now();
    let mut summary = Summary::of(increments.len() as u64)?;
    let plan = Arc::new(plan);
    let mut posters = JoinSet::new();
    for (number, calls) in calls(&plan, increments).into_iter().enumerate() {
        let mut edges: VecDeque<Api> = authorities.iter().map(|authority| api(authority, &plan)).collect();
        edges.rotate_left(number % authorities.len());
        posters.spawn(post_all(edges, plan.clone(), calls, progress.clone()));
    }
    // Dropping the set, as an error here does, ends the other posters.
    while let Some(part) = posters.join_next().await {
        summary.add(part.context("a poster panicked")??)?;
    }
    summary.took = started.elapsed();
    Ok(summary)
}

fn api(authority: &str, plan: &Plan) -> Api {
    let api = Api::new(authority);
    match &plan.token {
        Some(token) => api.with_token(token),
        None => api,
    }
}

/// `host:port` of a plain HTTP URL without a path.
fn authority(url: &str) -> Result<String> {
    let uri: http::Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
    ensure!(uri.scheme_str() == Some("http"), "{url}: the replay speaks plain http:// only");
    ensure!(uri.path() == "/" && uri.query().is_none(), "{url}: name scheme, host and port only");
    let authority = uri.authority().with_context(|| format!("{url} names no host"))?;
    Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

/// The calls of each poster, file by file. The increments of one video stay in order on one connection, for a later
/// one may take back what an earlier one brought; views of pages only add up, so they are dealt out evenly.
fn calls(plan: &Plan, increments: Vec<Increment>) -> Vec<Vec<Call>> {
    let mut calls: Vec<Vec<Call>> = (0..plan.posters).map(|_| Vec::new()).collect();
    for file in File::ALL {
        let mut lanes: Vec<Vec<(usize, &Increment)>> = vec![Vec::new(); plan.posters];
        for (row, increment) in increments.iter().filter(|increment| increment.file == file).enumerate() {
            let lane = match file {
                File::Pageviews => row,
                File::VideoCounts => hash(&increment.counter),
            };
            lanes[lane % plan.posters].push((row, increment));
        }
        for (calls, lane) in calls.iter_mut().zip(lanes) {
            calls.extend(lane.chunks(plan.batch).map(|chunk| Call::new(plan, file, chunk)));
        }
    }
    calls
}

fn hash(counter: &crate::memory::Counter) -> usize {
    let mut hasher = DefaultHasher::new();
    counter.hash(&mut hasher);
    hasher.finish() as usize
}

impl Call {
    fn new(plan: &Plan, file: File, rows: &[(usize, &Increment)]) -> Call {
        let first = rows.first().map_or(0, |(row, _)| *row);
        // A row's number counts within its file, so its key is the same whichever files are replayed. Which rows share
        // a call depends on posters and batch, so these belong to the key of a batch.
        let group = if plan.batch == 1 { String::new() } else { format!("{}x{}:", plan.posters, plan.batch) };
        let key = format!("{}:{}:{group}{first}", plan.run_id, file.name());
        Call { key, increments: rows.iter().map(|(_, increment)| (*increment).clone()).collect() }
    }

    fn body(&self, batch: usize) -> Value {
        let mut updates =
            self.increments.iter().map(|increment| api::update(&increment.counter, increment.field, increment.by));
        if batch == 1 { updates.next().unwrap_or_default() } else { json!({"updates": updates.collect::<Vec<_>>()}) }
    }
}

async fn post_all(
    mut edges: VecDeque<Api>,
    plan: Arc<Plan>,
    calls: Vec<Call>,
    progress: Arc<Progress>,
) -> Result<Summary> {
    let mut summary = Summary::of(0)?;
    for call in calls {
        let reply = post(&mut edges, &plan, &call, &mut summary.latency).await?;
        summary.count(&call, &reply)?;
        progress.0.fetch_add(call.increments.len() as u64, Ordering::Relaxed);
    }
    Ok(summary)
}

/// Repeats one call until it has an answer that a repeat would not change; the first edge is the one to ask.
async fn post(edges: &mut VecDeque<Api>, plan: &Plan, call: &Call, latency: &mut Histogram<u64>) -> Result<Reply> {
    let body = call.body(plan.batch);
    let first_try = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let sent = Instant::now();
        let api = edges.front_mut().context("there is an edge")?;
        let failure = match api.trigger(&body, Some(&call.key)).await {
            Ok(reply) if !worth_repeating(&reply) => {
                latency.saturating_record(sent.elapsed().as_micros() as u64);
                return Ok(reply);
            }
            Ok(reply) => format!("{}: {}", reply.status, reply.text()),
            Err(error) => format!("{error:#}"),
        };
        if first_try.elapsed() >= plan.give_up_after {
            bail!("gave up after {:?}; finish later with the run id {}: {failure}", plan.give_up_after, plan.run_id);
        }
        edges.rotate_left(1);
        tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether a repeat may fare better: the edge could not take it now, or not all of a batch.
fn worth_repeating(reply: &Reply) -> bool {
    let passing = |code: &Value| matches!(code.as_str(), Some("unavailable" | "outcome_unknown" | "rate_limited"));
    match reply.status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY => true,
        StatusCode::OK => reply.json().is_ok_and(|body| {
            body["results"].as_array().is_some_and(|results| results.iter().any(|result| passing(&result["code"])))
        }),
        _ => false,
    }
}

impl Summary {
    fn of(rows: u64) -> Result<Summary> {
        // Up to a minute, the deadline of one call, with three digits.
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3).context("create the latency histogram")?;
        Ok(Summary { rows, posted: 0, replayed: 0, refused: 0, first_refusal: None, took: Duration::ZERO, latency })
    }

    /// Sorts a call's increments by what became of them.
    fn count(&mut self, call: &Call, reply: &Reply) -> Result<()> {
        let body = reply.json()?;
        match body["results"].as_array() {
            Some(results) => {
                ensure!(results.len() == call.increments.len(), "a batch has {} results", results.len());
                for result in results {
                    self.count_one(result["success"] == true, result["replayed"] == true, result);
                }
            }
            None => {
                let replayed = reply.header("idempotency-replayed") == Some("true");
                for _ in &call.increments {
                    self.count_one(reply.status == StatusCode::OK, replayed, &body);
                }
            }
        }
        Ok(())
    }

    fn count_one(&mut self, success: bool, replayed: bool, body: &Value) {
        match (success, replayed) {
            (true, false) => self.posted += 1,
            (true, true) => self.replayed += 1,
            (false, _) => {
                self.refused += 1;
                self.first_refusal.get_or_insert_with(|| body.to_string());
            }
        }
    }

    fn add(&mut self, part: Summary) -> Result<()> {
        self.posted += part.posted;
        self.replayed += part.replayed;
        self.refused += part.refused;
        self.first_refusal = self.first_refusal.take().or(part.first_refusal);
        self.latency.add(&part.latency).context("add up latencies")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let answered = self.posted + self.replayed + self.refused;
        let milliseconds = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        writeln!(f, "rows      {:>10}", self.rows)?;
        writeln!(f, "posted    {:>10}", self.posted)?;
        writeln!(f, "replayed  {:>10}", self.replayed)?;
        writeln!(f, "refused   {:>10}", self.refused)?;
        writeln!(f, "seconds   {seconds:>10.2}")?;
        writeln!(f, "rate      {:>10.0} rows/s", answered as f64 / seconds.max(f64::EPSILON))?;
        writeln!(f, "call p50  {:>10.2} ms", milliseconds(0.50))?;
        write!(f, "call p99  {:>10.2} ms", milliseconds(0.99))?;
        if let Some(refusal) = &self.first_refusal {
            write!(f, "\nfirst refusal: {refusal}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_counter_stays_on_one_poster_in_order_and_keys_are_unique() {
        let increments: Vec<Increment> = (0..1000)
            .map(|row| Increment {
                file: if row % 2 == 0 { File::Pageviews } else { File::VideoCounts },
                counter: crate::memory::Counter::public(&format!("content {}", row % 20)),
                field: "likes",
                by: row + 1,
            })
            .collect();
        for batch in [1, 7] {
            let plan = Plan {
                urls: Vec::new(),
                posters: 8,
                batch,
                run_id: "run".to_owned(),
                token: None,
                give_up_after: Duration::ZERO,
            };
            let lanes = calls(&plan, increments.clone());
            let mut keys: Vec<&str> = lanes.iter().flatten().map(|call| call.key.as_str()).collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), count);
            let mut home = std::collections::HashMap::new();
            for (lane, calls) in lanes.iter().enumerate() {
                let videos = calls.iter().flat_map(|call| &call.increments).filter(|i| i.file == File::VideoCounts);
                let mut last = 0;
                for increment in videos {
                    assert_eq!(*home.entry(&increment.counter).or_insert(lane), lane);
                    assert!(increment.by > last);
                    last = increment.by;
                }
            }
        }
    }

    #[test]
    fn only_a_plain_http_origin_is_taken_as_a_url() {
        assert_eq!(authority("http://127.0.0.1:3001").ok().as_deref(), Some("127.0.0.1:3001"));
        assert_eq!(authority("http://edge/").ok().as_deref(), Some("edge:80"));
        for bad in ["https://edge", "edge:3001", "http://edge/path", "ws://edge"] {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }
}
