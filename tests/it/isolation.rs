//! Promise: whatever many tenants do at once, each sees its own counters and the public ones, all of them, and nothing
//! else. Held against a brute-force model that shares no code with the edge.

use std::collections::{BTreeMap, HashMap, VecDeque};

use analytics_tests::api::{Api, update};
use analytics_tests::edge::{Edge, PRODUCTION};
use analytics_tests::memory::Counter;
use analytics_tests::socket::{Dial, Socket};
use analytics_tests::token::Token;
use analytics_tests::wait;
use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use futures::future::try_join_all;
use serde_json::{Value, json};

const ORGANIZATIONS: [&str; 3] = ["acme", "globex", "initech"];
/// The same names in every organization: a client id alone must never be enough.
const CLIENTS: [&str; 3] = ["web", "app", "kiosk"];
const CONTENTS: [&str; 4] = ["home", "news", "shop", "help"];
const CONNECTIONS: usize = 24;
const POSTERS: usize = 4;
const ROUNDS: usize = 20;
const SOCKET_STEPS: usize = 30;
const UPDATES_PER_POSTER: usize = 12;

/// An organization and a client, either absent: a scope, claims, or what a message names.
type Owner = (Option<&'static str>, Option<&'static str>);

/// What a viewer with this scope sees, told from the text of the contract.
fn sees(scope: Owner, counter: &Counter) -> bool {
    let Some(organization) = counter.organization.as_deref() else { return true };
    if scope.0 != Some(organization) {
        return false;
    }
    match (scope.1, counter.client.as_deref()) {
        (Some(viewer), Some(owner)) => viewer == owner,
        _ => true,
    }
}

/// Every counter that can exist here.
fn universe() -> impl Iterator<Item = Counter> {
    let owners = ORGANIZATIONS.into_iter().flat_map(|organization| {
        let clients = CLIENTS.into_iter().map(move |client| (Some(organization), Some(client)));
        clients.chain([(Some(organization), None)])
    });
    owners
        .chain([(None, None)])
        .flat_map(|owner| CONTENTS.into_iter().map(move |content| Counter::new(owner.0, owner.1, content)))
}

/// What a bearer with these claims means by what it names; `None`: a client without an organization.
fn filled(claims: Owner, named: Owner) -> Option<Owner> {
    let organization = named.0.or(claims.0);
    let client = named.1.or(claims.1.filter(|_| organization == claims.0));
    (organization.is_some() || client.is_none()).then_some((organization, client))
}

/// Whether a scope shows nothing that the claims do not.
fn inside(claims: Owner, scope: Owner) -> bool {
    universe().filter(|counter| sees(scope, counter)).all(|counter| sees(claims, &counter))
}

fn any_owner(random: &mut Rng) -> Owner {
    let organization = random.choice(ORGANIZATIONS).filter(|_| random.u8(0..4) > 0);
    let client = random.choice(CLIENTS).filter(|_| random.bool());
    (organization, client)
}

fn any_claims(random: &mut Rng) -> Owner {
    let (organization, client) = any_owner(random);
    (organization, client.filter(|_| organization.is_some()))
}

fn any_ids(random: &mut Rng) -> Vec<&'static str> {
    let count = random.usize(0..=CONTENTS.len());
    random.choose_multiple(CONTENTS, count)
}

/// The subscription of a connection as the model has it.
#[derive(Debug, Clone, Default)]
struct Subscription {
    scope: Owner,
    ids: Vec<&'static str>,
}

impl Subscription {
    fn shows(&self, counter: &Counter) -> bool {
        self.ids.contains(&counter.content.as_str()) && sees(self.scope, counter)
    }
}

/// The reply that a message must get.
#[derive(Debug)]
enum Expected {
    Subscribed { ids: Vec<&'static str>, then: Subscription, replaces: bool },
    Error(&'static str),
}

/// One connection and everything that it must have been told.
struct Viewer {
    socket: Socket,
    claims: Owner,
    /// After everything sent so far.
    current: Subscription,
    /// What the replies read so far put in force; an unsubscribe, which has no reply, counts from the next barrier.
    in_force: Subscription,
    expected: VecDeque<Expected>,
    /// Shown since the subscription was last replaced: a snapshot must not rely on what came before it.
    shown: HashMap<(Counter, String), u64>,
    pongs: usize,
}

impl Viewer {
    async fn open(edge: &Edge, claims: Owner) -> Result<Viewer> {
        let token = Token::of(claims.0, claims.1, false).mint()?;
        let dial = Dial { keep_updates: true, ..Dial::default() }.header("authorization", format!("Bearer {token}"));
        Ok(Viewer {
            socket: dial.open(edge).await?,
            claims,
            current: Subscription::default(),
            in_force: Subscription::default(),
            expected: VecDeque::new(),
            shown: HashMap::new(),
            pongs: 0,
        })
    }

    async fn step(&mut self, random: &mut Rng) -> Result<()> {
        let ids = any_ids(random);
        match random.u8(0..10) {
            0 => {
                self.current.ids.clear();
                self.socket.send(&json!({"type": "unsubscribe"})).await
            }
            1 | 2 => {
                self.current.ids.retain(|id| !ids.contains(id));
                self.socket.send(&json!({"type": "unsubscribe", "contentIds": ids})).await
            }
            3 | 4 if !self.current.ids.is_empty() => {
                let known = self.current.ids.clone();
                self.current.ids.extend(ids.iter().filter(|id| !known.contains(id)));
                self.expected.push_back(Expected::Subscribed {
                    ids: ids.clone(),
                    then: self.current.clone(),
                    replaces: false,
                });
                self.socket.send(&json!({"type": "subscribe", "contentIds": ids, "mode": "add"})).await
            }
            _ => {
                let named = any_owner(random);
                let expected = match filled(self.claims, named) {
                    None => Expected::Error("invalid_field"),
                    Some(scope) if !inside(self.claims, scope) => Expected::Error("forbidden"),
                    Some(scope) => {
                        self.current = Subscription { scope, ids: ids.clone() };
                        Expected::Subscribed { ids: ids.clone(), then: self.current.clone(), replaces: true }
                    }
                };
                self.expected.push_back(expected);
                let (organization, client) = named;
                let subscribe = json!({"type": "subscribe", "contentIds": ids,
                    "organizationId": organization, "clientId": client});
                self.socket.send(&subscribe).await
            }
        }
    }

    /// Reads everything that came and holds it against what may come.
    fn check(&mut self) -> Result<()> {
        for message in self.socket.take_messages() {
            match message["type"].as_str() {
                Some("analytics_update") => self.check_update(&message)?,
                Some("pong") => self.pongs += 1,
                _ => {
                    let expected = self.expected.pop_front();
                    let expected = expected.with_context(|| format!("nothing was asked, but {message} came"))?;
                    self.check_reply(expected, &message)?;
                }
            }
        }
        Ok(())
    }

    fn check_update(&mut self, message: &Value) -> Result<()> {
        let counter = Counter::of_message(message);
        ensure!(sees(self.claims, &counter), "{:?} was shown {message}, which its token does not cover", self.claims);
        ensure!(self.in_force.shows(&counter), "{message} came to {:?}", self.in_force);
        let field = message["field"].as_str().context("an update has a field")?.to_owned();
        self.shown.insert((counter, field), message["value"].as_u64().context("an update has a value")?);
        Ok(())
    }

    fn check_reply(&mut self, expected: Expected, message: &Value) -> Result<()> {
        match expected {
            Expected::Error(code) => ensure!(message["code"] == code, "expected {code}, got {message}"),
            Expected::Subscribed { ids, then, replaces } => {
                let (organization, client) = then.scope;
                let right = message["type"] == "subscribed"
                    && message["contentIds"] == json!(ids)
                    && message["organizationId"] == json!(organization)
                    && message["clientId"] == json!(client);
                ensure!(right, "expected {ids:?} in {:?}, got {message}", then.scope);
                if replaces {
                    self.shown.clear();
                }
                self.in_force = then;
            }
        }
        Ok(())
    }

    /// Waits until everything sent was answered, so that exactly the current subscription is in force.
    async fn barrier(&mut self) -> Result<()> {
        let pongs = self.pongs;
        self.socket.send(&json!({"type": "ping"})).await?;
        wait::until("every message to be answered", async || match self.check() {
            Ok(()) if self.pongs > pongs => Some(Ok(())),
            Ok(()) => None,
            Err(error) => Some(Err(error)),
        })
        .await??;
        ensure!(self.expected.is_empty(), "never answered: {:?}", self.expected);
        self.in_force = self.current.clone();
        let in_force = &self.in_force;
        self.shown.retain(|(counter, _), _| in_force.shows(counter));
        Ok(())
    }

    /// Waits until every visible counter is shown with its value.
    async fn converges(&mut self, model: &Model) -> Result<()> {
        wait::until("a viewer to converge", async || match self.check() {
            Ok(()) => self.missing(model).is_none().then_some(Ok(())),
            Err(error) => Some(Err(error)),
        })
        .await
        .with_context(|| format!("{:?} as {:?}: {:?}", self.current, self.claims, self.missing(model)))?
    }

    fn missing(&self, model: &Model) -> Option<String> {
        model.0.iter().filter(|(counter, _)| self.current.shows(counter)).find_map(|(counter, [views, likes])| {
            let shown = |field: &str| self.shown.get(&(counter.clone(), field.to_owned())).copied();
            let found = [shown("views"), shown("likes"), shown("shares"), shown("comments")];
            let expected = [*views, *likes, 0, 0].map(Some);
            (found != expected).then(|| format!("{counter:?}: expected {expected:?}, shown {found:?}"))
        })
    }
}

/// Views and likes of every counter that exists.
#[derive(Debug, Default)]
struct Model(BTreeMap<Counter, [u64; 2]>);

/// How a poster's token may write.
#[derive(Debug, Clone, Copy)]
enum Writes {
    Nothing,
    Covered,
    Any,
}

async fn post(authority: String, mut random: Rng) -> Result<Vec<(Counter, usize, u64)>> {
    let mut counted = Vec::new();
    for _ in 0..UPDATES_PER_POSTER {
        let claims = any_claims(&mut random);
        let writes = match random.u8(0..10) {
            0 => Writes::Nothing,
            1..=4 => Writes::Any,
            _ => Writes::Covered,
        };
        let scope = match writes {
            Writes::Nothing => json!(["analytics:read"]),
            Writes::Covered => json!("analytics:write analytics:read"),
            Writes::Any => json!(["analytics:write:any"]),
        };
        let token = Token::of(claims.0, claims.1, false).claim("scope", scope).mint()?;
        let named = any_owner(&mut random);
        let content = random.choice(CONTENTS).context("there are contents")?;
        let (field, by) = (random.usize(0..2), random.u64(1..=5));
        let target = filled(claims, named).map(|owner| Counter::new(owner.0, owner.1, content));
        let expected = match (&target, writes) {
            (None, _) => 400,
            (Some(_), Writes::Nothing) => 403,
            (Some(counter), Writes::Covered) if !sees(claims, counter) => 403,
            _ => 200,
        };
        let body = update(&Counter::new(named.0, named.1, content), ["views", "likes"][field], by as i64);
        let reply = Api::new(authority.clone()).with_token(token).trigger(&body, None).await?;
        let what = || format!("{body} as {claims:?}, {writes:?}: {} {}", reply.status, reply.text());
        // A bearer that may write nothing learns so whatever else is wrong.
        let refused = expected == 400 && matches!(writes, Writes::Nothing) && reply.status == 403;
        ensure!(reply.status == expected || refused, "expected {expected}, got {}", what());
        if let (200, Some(counter)) = (expected, target) {
            ensure!(Counter::of_message(&reply.json()?) == counter, "another counter was counted: {}", what());
            counted.push((counter, field, by));
        }
    }
    Ok(counted)
}

/// Reads with random claims and scope, and compares the answer with the model.
async fn poll(edge: &Edge, random: &mut Rng, model: &Model) -> Result<()> {
    let (claims, named) = (any_claims(random), any_owner(random));
    let ids = any_ids(random);
    if ids.is_empty() {
        return Ok(());
    }
    let token = Token::of(claims.0, claims.1, false).mint()?;
    let reply = edge.api()?.with_token(token).read(&ids, named.0, named.1).await?;
    let what = format!("{ids:?} in {named:?} as {claims:?}: {} {}", reply.status, reply.text());
    let scope = match filled(claims, named) {
        None => return ensure_status(reply.status.as_u16(), 400, &what),
        Some(scope) if !inside(claims, scope) => return ensure_status(reply.status.as_u16(), 403, &what),
        Some(scope) => scope,
    };
    ensure_status(reply.status.as_u16(), 200, &what)?;
    let visible = |counter: &Counter| ids.contains(&counter.content.as_str()) && sees(scope, counter);
    let mut expected: BTreeMap<Counter, [u64; 2]> = model
        .0
        .iter()
        .filter(|(counter, _)| visible(counter))
        .map(|(counter, counts)| (counter.clone(), *counts))
        .collect();
    let body = reply.json()?;
    for entry in body["content"].as_array().with_context(|| what.clone())? {
        let counts = [entry["views"].as_u64(), entry["likes"].as_u64()];
        match expected.remove(&Counter::of_message(entry)) {
            Some(known) => ensure!(counts == known.map(Some), "{entry} should be {known:?}: {what}"),
            None => {
                let id = entry["contentId"].as_str().unwrap_or_default();
                let counted = model.0.keys().any(|counter| counter.content == id && sees(scope, counter));
                ensure!(!counted && counts == [Some(0); 2], "{entry} does not belong there: {what}");
            }
        }
    }
    ensure!(expected.is_empty(), "missing {expected:?}: {what}");
    Ok(())
}

fn ensure_status(status: u16, expected: u16, what: &str) -> Result<()> {
    if status == expected { Ok(()) } else { bail!("expected {expected}: {what}") }
}

/// Promise: under random interleavings of many organizations, clients, subscriptions and updates, every connection and
/// every poll agrees with the model, and no connection ever receives a counter that it may not see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tenant_sees_anothers_counters_and_each_sees_all_its_own() -> Result<()> {
    let seed = std::env::var("ANALYTICS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (ANALYTICS_TEST_SEED={seed} repeats the choices)");
    let mut random = Rng::with_seed(seed);
    let unlimited = [("ANALYTICS_MESSAGES_PER_SECOND", "100000")];
    let edge = Edge::start(&[&PRODUCTION[..], &unlimited].concat()).await?;
    let mut viewers = Vec::new();
    for _ in 0..CONNECTIONS {
        viewers.push(Viewer::open(&edge, any_claims(&mut random)).await?);
    }
    let mut model = Model::default();
    for _ in 0..ROUNDS {
        let posters = (0..POSTERS).map(|_| tokio::spawn(post_from(&edge, random.fork())));
        let posters: Vec<_> = posters.collect();
        for _ in 0..SOCKET_STEPS {
            let viewer = random.usize(0..viewers.len());
            viewers[viewer].step(&mut random).await?;
            viewers[viewer].check()?;
        }
        for counted in try_join_all(posters).await? {
            for (counter, field, by) in counted? {
                model.0.entry(counter).or_default()[field] += by;
            }
        }
        for viewer in &mut viewers {
            viewer.barrier().await?;
            viewer.converges(&model).await?;
        }
        for _ in 0..4 {
            poll(&edge, &mut random, &model).await?;
        }
    }
    Ok(())
}

fn post_from(edge: &Edge, random: Rng) -> impl Future<Output = Result<Vec<(Counter, usize, u64)>>> + use<> {
    let authority = edge.authority();
    async move { post(authority?, random).await }
}
