//! What a client's messages do. The rule: a message is understood and allowed as a whole before anything changes.

use std::collections::HashSet;
use std::rc::Rc;

use analytics_shared::close::CloseCode;
use analytics_shared::fields;
use analytics_shared::message::{ClientMessage, ServerMessage, Subscribe};
use analytics_shared::version::MAX_SAFE;
use analytics_shared::{Code, Failure, Id, Scope, Topic};
use lambda_trigger::auth;

use super::Hub;
use super::clock::{self, NEVER, unix_millis};
use super::topics::{Member, Seat};

/// What a message costs of an allowance that earns a connection's messages per second with every tick.
const MESSAGE: u32 = clock::TICKS_PER_SECOND;

/// The allowance of a connection that has been silent: twice the messages of a second.
pub(super) fn full_allowance(messages_per_second: u32) -> u32 {
    messages_per_second.saturating_mul(2).saturating_mul(MESSAGE)
}

impl Hub {
    /// Takes one message off the connection's allowance; a connection that has none left is closed.
    pub(super) fn allow(&mut self, place: u32) -> bool {
        let now = self.clock.now();
        let full = full_allowance(self.settings.messages_per_second);
        let connection = &mut self.connections[place];
        let ticks = now.saturating_sub(connection.refilled);
        connection.refilled = now;
        let earned = ticks.saturating_mul(self.settings.messages_per_second);
        connection.allowance = connection.allowance.saturating_add(earned).min(full);
        let allowed = connection.allowance >= MESSAGE;
        if allowed {
            connection.allowance -= MESSAGE;
        } else {
            self.close(place, CloseCode::Policy, "too many messages");
        }
        allowed
    }

    /// Answers a text message.
    pub(super) fn take_message(&mut self, place: u32, text: &[u8]) {
        self.settings.metrics.messages_in.inc();
        let done = match ClientMessage::parse(text, self.settings.max_ids) {
            Ok(ClientMessage::Ping) => {
                self.reply(place, &ServerMessage::Pong { timestamp: unix_millis() });
                Ok(())
            }
            Ok(ClientMessage::Subscribe(subscribe)) => self.subscribe(place, subscribe),
            Ok(ClientMessage::Unsubscribe { content_ids: None }) => {
                self.unsubscribe_all(place);
                Ok(())
            }
            Ok(ClientMessage::Unsubscribe { content_ids: Some(ids) }) => {
                self.unsubscribe(place, &ids);
                Ok(())
            }
            Ok(ClientMessage::Authenticate { token }) => self.authenticate(place, &token.0),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = done {
            self.reply_error(place, &failure);
        }
    }

    pub(super) fn refuse_binary(&mut self, place: u32) {
        self.settings.metrics.messages_in.inc();
        let failure = Failure::new(Code::BinaryUnsupported, "messages must be text frames with one JSON object each");
        self.reply_error(place, &failure);
    }

    fn subscribe(&mut self, place: u32, subscribe: Subscribe) -> Result<(), Failure> {
        let Subscribe { content_ids, organization, client, add } = subscribe;
        let connection = &self.connections[place];
        let in_force = connection.scope.clone().filter(|_| add);
        let (scope, kept) = match in_force {
            Some(scope) => {
                same_scope("organizationId", organization.as_ref(), scope.organization())?;
                same_scope("clientId", client.as_ref(), scope.client())?;
                let kept: HashSet<Id> = self.subscribed_ids(place).collect();
                (scope, kept)
            }
            None => {
                let scope = connection.authority.scope(organization, client).map_err(auth::refused)?;
                (self.scopes.share(scope), HashSet::new())
            }
        };
        let new: Vec<&Id> = content_ids.iter().filter(|id| !kept.contains(*id)).collect();
        if kept.len() + new.len() > self.settings.max_ids {
            return Err(fields::too_many_ids("contentIds", self.settings.max_ids));
        }

        if !add {
            self.unsubscribe_all(place);
        }
        self.connections[place].scope = Some(scope.clone());
        let subscribed = ServerMessage::Subscribed {
            content_ids: &content_ids,
            organization_id: scope.organization(),
            client_id: scope.client(),
            timestamp: unix_millis(),
        };
        tracing::debug!(
            connection = %self.connections[place].id,
            ids = new.len(),
            kept = kept.len(),
            organization = scope.organization().map(tracing::field::display),
            client = scope.client().map(tracing::field::display),
            "subscribed"
        );
        self.join(place, &scope, &new);
        self.reply(place, &subscribed);
        self.queue_walk(place);
        Ok(())
    }

    /// Joins topics and prepares the walk that tells them.
    fn join(&mut self, place: u32, scope: &Rc<Scope>, ids: &[&Id]) {
        let (mut watched, mut buckets) = (Vec::new(), Vec::new());
        let from = self.connections[place].subscription.len();
        self.connections[place].subscription.reserve_exact(ids.len());
        for (index, id) in ids.iter().enumerate() {
            let topic = Topic { content: (*id).clone(), scope: (**scope).clone() };
            let joined = self.topics.join(&topic, Member { connection: place, position: (from + index) as u32 });
            self.connections[place].subscription.push(joined.seat);
            if joined.first {
                watched.push(topic);
                buckets.push(joined.seat.bucket);
            }
        }
        if !watched.is_empty() {
            let stamp = self.feed.watch(self.index, watched);
            buckets.into_iter().for_each(|bucket| self.topics.await_read(bucket, stamp));
        }
        let delivered = self.flush.delivered();
        let connection = &mut self.connections[place];
        if from == 0 {
            // A whole new subscription: what the flush under way has for the old one must not be told any more.
            connection.forget_dirty();
            connection.start_walk(0);
        } else if connection.is_behind() {
            connection.behind = 0;
        } else if !ids.is_empty() {
            // Up to the cursor everything is told; only what is new is walked.
            connection.start_walk(0);
            connection.pass = delivered;
            connection.cursor = from as u32;
        }
    }

    fn unsubscribe(&mut self, place: u32, ids: &[Id]) {
        let drop: HashSet<&Id> = ids.iter().collect();
        let mut departures = Vec::new();
        // From the end: leaving moves the last entry, which has been looked at, into the gap.
        for position in (0..self.connections[place].subscription.len()).rev() {
            let entry = self.connections[place].subscription[position];
            if !drop.contains(self.topics.content_of(entry.bucket)) {
                continue;
            }
            departures.extend(self.leave_bucket(entry));
            let subscription = &mut self.connections[place].subscription;
            subscription.swap_remove(position);
            if let Some(moved) = subscription.get(position) {
                self.topics.bucket_mut(moved.bucket).members[moved.slot as usize].position = position as u32;
            }
        }
        self.feed.unwatch(self.index, &departures);
        let connection = &mut self.connections[place];
        // What the flush under way has may be of a bucket that was left: let a walk tell what of it remains.
        let behind = match connection.behind {
            super::connection::CURRENT if connection.dirty == super::slab::NONE => return,
            super::connection::CURRENT => self.flush.delivered(),
            behind => behind,
        };
        connection.forget_dirty();
        connection.start_walk(behind);
        self.queue_walk(place);
    }

    /// Empties the subscription; its scope stays in force for what is added next.
    pub(super) fn unsubscribe_all(&mut self, place: u32) {
        let subscription = std::mem::take(&mut self.connections[place].subscription);
        let departures: Vec<_> = subscription.into_iter().filter_map(|entry| self.leave_bucket(entry)).collect();
        if !departures.is_empty() {
            self.feed.unwatch(self.index, &departures);
        }
        let connection = &mut self.connections[place];
        connection.forget_dirty();
        if connection.is_behind() {
            // An empty walk, so that a blocked connection stays marked as one that fan-out passes by.
            connection.start_walk(0);
        }
    }

    fn leave_bucket(&mut self, entry: Seat) -> Option<crate::feed::Departure> {
        let left = self.topics.leave(entry);
        if let Some(Member { connection, position }) = left.moved {
            // A connection stands in a bucket once, so the member that moved is another's.
            if let Some(moved) = self.connections[connection].subscription.get_mut(position as usize) {
                moved.slot = entry.slot;
            }
        }
        left.departure
    }

    fn authenticate(&mut self, place: u32, token: &str) -> Result<(), Failure> {
        let grant = self.settings.auth.renew(token)?;
        let authority = self.authorities.share(grant.authority);
        let connection = &mut self.connections[place];
        connection.expires = grant.expires_at.map_or(NEVER, |at| self.clock.tick_at(at));
        connection.authority = authority.clone();
        let uncovered = connection.scope.clone().filter(|scope| !authority.covers_scope(scope));
        let id = connection.id;
        self.deadlines[place as usize] = self.next_deadline(place);
        if uncovered.is_some() {
            self.unsubscribe_all(place);
            self.connections[place].scope = None;
        }
        tracing::debug!(connection = %id, "renewed its token");
        // Without a way to verify tokens (development) a connection never ends for one.
        let expires_at = grant.expires_at.unwrap_or(MAX_SAFE);
        self.reply(place, &ServerMessage::Authenticated { expires_at, timestamp: unix_millis() });
        let open = self.connections.get(place).is_some_and(|connection| connection.id == id);
        match uncovered {
            Some(_) if open => {
                Err(Failure::new(Code::Forbidden, "the new token does not cover the subscription, which was emptied"))
            }
            _ => Ok(()),
        }
    }

    fn subscribed_ids(&self, place: u32) -> impl Iterator<Item = Id> {
        self.connections[place].subscription.iter().map(|entry| self.topics.content_of(entry.bucket).clone())
    }
}

/// With `mode: "add"` a scope that is named must be the one in force.
fn same_scope(field: &str, named: Option<&Id>, in_force: Option<&Id>) -> Result<(), Failure> {
    if named.is_none() || named == in_force {
        return Ok(());
    }
    Err(fields::invalid(field, "the one in force, or absent, with mode \"add\""))
}
