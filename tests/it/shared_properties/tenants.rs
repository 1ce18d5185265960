//! Who sees and writes what. The rule: every decision is held against a model that is written from the prose of
//! the protocol (§2) and shares no code with it, over all cases of a small universe.

use std::collections::BTreeSet;

use analytics_shared::tenant::{Refused, Writes};
use analytics_shared::{Authority, Counter, Id, Scope};
use proptest::prelude::*;
use proptest::sample::select;

fn id(text: &str) -> Id {
    Id::new(text).expect("the test uses valid ids")
}

/// `(organization, client)` as the prose has them: plain texts, nothing enforced.
type Pair = (Option<&'static str>, Option<&'static str>);

/// Organizations and clients share a name, so that a mix-up of the two would show.
const ORGANIZATIONS: [&str; 3] = ["a", "b", "x"];
const CLIENTS: [&str; 3] = ["x", "y", "a"];

/// Every pair that may be named, those included that no counter and no token may have.
fn every_pair() -> Vec<Pair> {
    let with_none = |names: [&'static str; 3]| names.into_iter().map(Some).chain([None]).collect::<Vec<_>>();
    let clients = with_none(CLIENTS);
    with_none(ORGANIZATIONS).into_iter().flat_map(|o| clients.iter().map(move |c| (o, *c))).collect()
}

/// The owners of counters, the scopes of views and of claims: no client without an organization.
fn valid_pairs() -> Vec<Pair> {
    every_pair().into_iter().filter(|(organization, client)| organization.is_some() || client.is_none()).collect()
}

/// §2: "A scope shows the public counters of an id, and of its organization: every client's when it names no
/// client; that client's and the client-less one when it does." Said as the list of owners that it shows.
fn model_shown((organization, client): Pair) -> BTreeSet<Pair> {
    let mut shown = BTreeSet::from([(None, None)]);
    if organization.is_some() {
        shown.insert((organization, None));
        match client {
            None => shown.extend(CLIENTS.map(|any| (organization, Some(any)))),
            named => {
                shown.insert((organization, named));
            }
        }
    }
    shown
}

/// §2: "a counter without organization is public; else the organizations must be equal, and the authority's client
/// absent, or the counter's client absent, or both equal."
fn model_covers(authority: Pair, counter: Pair) -> bool {
    let public = counter.0.is_none();
    let same_organization = authority.0 == counter.0;
    let same_client = authority.1.is_none() || counter.1.is_none() || authority.1 == counter.1;
    public || (same_organization && same_client)
}

/// §2: what a call leaves out is filled from the claims, a client only beside the claims' own organization; a client
/// that then has no organization beside it is invalid. `None` for claims: development without a token.
fn model_filled(claims: Option<Pair>, named: Pair) -> Result<Pair, &'static str> {
    let (own_organization, own_client) = claims.unwrap_or((None, None));
    let organization = if named.0.is_some() { named.0 } else { own_organization };
    let own_client = if organization == own_organization { own_client } else { None };
    let client = if named.1.is_some() { named.1 } else { own_client };
    if organization.is_none() && client.is_some() { Err("invalid") } else { Ok((organization, client)) }
}

fn scope((organization, client): Pair) -> Scope {
    Scope::new(organization.map(id), client.map(id)).expect("the pair is valid")
}

fn counter(owner: Pair) -> Counter {
    Counter::new(id("content"), scope(owner))
}

/// Every claim and, as `None`, development without a token.
fn every_claim() -> Vec<Option<Pair>> {
    valid_pairs().into_iter().map(Some).chain([None]).collect()
}

fn authority(claims: Option<Pair>, writes: Writes) -> Authority {
    claims.map_or_else(Authority::unrestricted, |claims| Authority::of_claims(scope(claims), writes))
}

fn named_refusal<T>(outcome: Result<T, Refused>) -> Result<T, &'static str> {
    outcome.map_err(|refused| match refused {
        Refused::Invalid(_) => "invalid",
        Refused::Forbidden => "forbidden",
        Refused::ReadOnly => "read only",
    })
}

#[test]
fn covers_is_the_model_and_a_counter_outside_is_never_covered() {
    for claims in every_claim() {
        for owner in valid_pairs() {
            let covered = authority(claims, Writes::Nothing).covers(&counter(owner));
            let model = claims.is_none_or(|claims| model_covers(claims, owner));
            assert_eq!(covered, model, "{claims:?} {owner:?}");
            // The two sentences of the prose, on authorities and on scopes, are one rule.
            if let Some(claims) = claims {
                assert_eq!(model, model_shown(claims).contains(&owner), "{claims:?} {owner:?}");
            }
        }
    }
}

#[test]
fn a_scope_shows_the_model() {
    for viewer in valid_pairs() {
        let shown: BTreeSet<Pair> =
            valid_pairs().into_iter().filter(|owner| scope(viewer).shows(&counter(*owner))).collect();
        assert_eq!(shown, model_shown(viewer), "{viewer:?}");
    }
}

#[test]
fn a_scope_is_covered_exactly_if_every_counter_that_it_shows_is() {
    for claims in every_claim() {
        for named in valid_pairs() {
            let every = model_shown(named).into_iter().all(|owner| claims.is_none_or(|own| model_covers(own, owner)));
            assert_eq!(authority(claims, Writes::Nothing).covers_scope(&scope(named)), every, "{claims:?} {named:?}");
        }
    }
}

#[test]
fn what_is_named_becomes_the_scope_that_the_model_says() {
    for claims in every_claim() {
        for named in every_pair() {
            let model = model_filled(claims, named).and_then(|filled| {
                let inside = |owner| claims.is_none_or(|own| model_covers(own, owner));
                if model_shown(filled).into_iter().all(inside) { Ok(filled) } else { Err("forbidden") }
            });
            let actual = authority(claims, Writes::Nothing).scope(named.0.map(id), named.1.map(id));
            assert_eq!(named_refusal(actual), model.map(scope), "{claims:?} {named:?}");
        }
    }
}

#[test]
fn what_is_written_is_the_counter_that_the_model_says() {
    for claims in every_claim() {
        for writes in [Writes::Nothing, Writes::Covered, Writes::Any] {
            for named in every_pair() {
                let model = model_filled(claims, named).and_then(|owner| match (claims, writes) {
                    (None, _) | (Some(_), Writes::Any) => Ok(owner),
                    (Some(_), Writes::Nothing) => Err("read only"),
                    (Some(own), Writes::Covered) if model_covers(own, owner) => Ok(owner),
                    (Some(_), Writes::Covered) => Err("forbidden"),
                });
                // §2: "Only a token without organizationId writes public counters."
                if let (Ok((None, _)), Some(own)) = (model, claims) {
                    assert_eq!(own.0, None);
                }
                let actual = authority(claims, writes).writable(id("content"), named.0.map(id), named.1.map(id));
                assert_eq!(named_refusal(actual), model.map(counter), "{claims:?} {writes:?} {named:?}");
            }
        }
    }
}

/// Valid pairs of ids that a careless comparison would take for one another.
fn confusable() -> impl Strategy<Value = Pair> {
    let alike =
        vec![None, Some("a"), Some("A"), Some("a "), Some(" a"), Some("aa"), Some("á"), Some("a\u{301}"), Some("а")];
    (select(alike.clone()), select(alike)).prop_map(|(organization, client)| (organization, organization.and(client)))
}

proptest! {
    #[test]
    fn ids_that_look_alike_are_not_alike(own in confusable(), owner in confusable()) {
        prop_assert_eq!(authority(Some(own), Writes::Any).covers(&counter(owner)), model_covers(own, owner));
    }
}
