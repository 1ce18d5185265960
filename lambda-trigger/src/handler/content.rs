//! `GET content`. The rule: every counter that the caller's scope shows of each id, in the order asked for, and for
//! an id without any, one row of zeros.
//!
//! A row of zeros stands for a counter that the caller might have written: it carries the organization and the
//! client of the scope asked for, so that whoever keeps values by (organization, client, content) finds it under the
//! key it looks at. Its version is the store's base and its timestamp 0: it was never committed.

use std::collections::HashMap;

use analytics_shared::counts::Versioned;
use analytics_shared::fields::{self, UniqueIds};
use analytics_shared::performance::{self, PerformanceConfig, Rating, UnknownContentType};
use analytics_shared::{Authority, Code, Counter, CounterState, Counts, Failure, Field, Id, Scope, Topic, id};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::Handler;
use crate::auth::{self, query};
use crate::reply;
use crate::store::CounterStore;

/// The most different ids of one poll.
const MAX_IDS: usize = 100;

/// A poll whose query is in order.
pub(super) struct Poll {
    ids: Vec<Id>,
    scope: Scope,
    content_type: Option<String>,
}

impl Poll {
    pub(super) fn admit(authority: &Authority, query: &str, performance: &PerformanceConfig) -> Result<Poll, Failure> {
        let Asked { ids, organization, client, content_type } = Asked::parse(query)?;
        let scope = authority.scope(organization, client).map_err(auth::refused)?;
        // An unknown type is refused here, before anything is read for it.
        performance::score(&Counts::default(), content_type.as_deref(), performance).map_err(unknown_type)?;
        Ok(Poll { ids, scope, content_type })
    }

    fn topics(&self) -> Vec<Topic> {
        self.ids.iter().map(|id| Topic { content: id.clone(), scope: self.scope.clone() }).collect()
    }
}

/// A query as it was asked. Parameters that nobody knows are ignored, `token` among them.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    ids: Vec<Id>,
    organization: Option<Id>,
    client: Option<Id>,
    content_type: Option<String>,
}

impl Asked {
    fn parse(query: &str) -> Result<Asked, Failure> {
        let mut ids = UniqueIds::new("id", MAX_IDS);
        let (mut organization, mut client, mut content_type) = (None, None, None);
        for pair in query::pairs(query) {
            let Some(name) = pair.name() else { continue };
            let known = matches!(&*name, "id" | "ids" | "organizationId" | "clientId" | "type");
            if !known {
                continue;
            }
            let value = pair.value().ok_or_else(|| fields::invalid(&name, "percent-encoded UTF-8"))?;
            match &*name {
                "id" => ids.push(parse_id(&name, &value)?)?,
                "ids" => value.split(',').try_for_each(|value| ids.push(parse_id(&name, value)?))?,
                "organizationId" => once(&mut organization, &name, parse_id(&name, &value)?)?,
                "clientId" => once(&mut client, &name, parse_id(&name, &value)?)?,
                _ if value.is_empty() => return Err(fields::invalid(&name, "a content type")),
                _ => once(&mut content_type, &name, value.into_owned())?,
            }
        }
        let ids = ids.into_vec();
        if ids.is_empty() {
            return Err(fields::invalid("id", "given at least once (id=a&id=b, or ids=a,b)"));
        }
        Ok(Asked { ids, organization, client, content_type })
    }
}

fn parse_id(name: &str, value: &str) -> Result<Id, Failure> {
    Id::new(value).map_err(|_| fields::invalid(name, id::ALLOWED))
}

/// Takes a parameter that may be given once: of two, neither can be told to be the one that was meant.
fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), Failure> {
    if slot.replace(value).is_some() { Err(fields::invalid(name, "given once")) } else { Ok(()) }
}

fn unknown_type(unknown: UnknownContentType) -> Failure {
    Failure::new(Code::InvalidField, unknown.to_string())
}

/// The answer to `GET content`.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ContentAnswer"))]
pub(super) struct Body<'a> {
    #[cfg_attr(test, ts(type = "true"))]
    success: bool,
    /// The store's lowest possible version; what a client remembers below it is void.
    base: u64,
    /// In the order of the ids asked for; several counters of one id stand together.
    content: Vec<Row<'a>>,
}

/// One counter as it stands.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "CounterAnswer", optional_fields))]
pub(super) struct Row<'a> {
    #[cfg_attr(test, ts(as = "String"))]
    content_id: &'a Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<String>"))]
    organization_id: Option<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<String>"))]
    client_id: Option<&'a Id>,
    views: u64,
    likes: u64,
    shares: u64,
    comments: u64,
    /// The store's base for a content that was never counted.
    version: u64,
    /// When the version was committed, in milliseconds since the Unix epoch; 0 for a content that was never counted.
    timestamp: u64,
    /// From 0 to 100 with two decimals.
    score: f64,
    #[cfg_attr(test, ts(type = "Rating"))]
    rating: Rating,
}

impl<'a> Row<'a> {
    fn new(
        state: &'a CounterState,
        content_type: Option<&str>,
        performance: &PerformanceConfig,
    ) -> Result<Row<'a>, UnknownContentType> {
        let counts = &state.versioned.counts;
        let scored = performance::score(counts, content_type, performance)?;
        Ok(Row {
            content_id: state.counter.content(),
            organization_id: state.counter.organization(),
            client_id: state.counter.client(),
            views: counts.get(Field::Views),
            likes: counts.get(Field::Likes),
            shares: counts.get(Field::Shares),
            comments: counts.get(Field::Comments),
            version: state.versioned.version,
            timestamp: state.versioned.committed_at,
            score: scored.score,
            rating: scored.rating,
        })
    }
}

impl Handler {
    pub(super) async fn content(&self, poll: Poll) -> Response<Bytes> {
        let store = &*self.config.store;
        let states = match store.read(&poll.topics()).await {
            Ok(states) => in_order(&poll, states, store),
            Err(unreadable) => return reply::failure(&Failure::new(Code::Unavailable, unreadable.to_string())),
        };
        let content_type = poll.content_type.as_deref();
        let rows = states.iter().map(|state| Row::new(state, content_type, &self.config.performance));
        match rows.collect::<Result<_, _>>() {
            Ok(content) => reply::json(StatusCode::OK, &Body { success: true, base: store.base(), content }),
            Err(unknown) => reply::failure(&unknown_type(unknown)),
        }
    }
}

/// The states of each id in the order of the ids, within one id by owner (public first), zeros for an id without any.
fn in_order(poll: &Poll, states: Vec<CounterState>, store: &dyn CounterStore) -> Vec<CounterState> {
    let mut by_content: HashMap<Id, Vec<CounterState>> = HashMap::new();
    for state in states {
        // The store was asked for no other; asked once more, a fault of a store's cannot become a leak between tenants.
        if poll.scope.shows(&state.counter) {
            by_content.entry(state.counter.content().clone()).or_default().push(state);
        }
    }
    let mut ordered = Vec::with_capacity(poll.ids.len());
    for id in &poll.ids {
        let mut states = by_content.remove(id).unwrap_or_else(|| vec![zeros(poll, id, store.base())]);
        states.sort_unstable_by(|a, b| a.counter.cmp(&b.counter));
        ordered.append(&mut states);
    }
    ordered
}

fn zeros(poll: &Poll, id: &Id, base: u64) -> CounterState {
    let counter = Counter::new(id.clone(), poll.scope.clone());
    CounterState { counter, versioned: Versioned { version: base, ..Default::default() } }
}
