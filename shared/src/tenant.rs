//! Who sees what. The rule: everything that decides about visibility asks [`Scope::shows`], and an authority's
//! [`Authority::covers`] is that same question.
//!
//! A counter without an organization is public. Otherwise the organizations must be equal, and either the
//! viewer names no client, or the counter has none, or both are equal. A client never stands without an
//! organization; the types here cannot hold one that does.

use crate::Id;

/// The identity of a counter: `(organization?, content, client?)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter {
    content: Id,
    owner: Scope,
}

/// A viewer's window onto counters: the public ones and, if named, those of an organization or of one of its clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    organization: Option<Id>,
    client: Option<Id>,
}

/// One content seen through one scope: what a subscription entry, a read and a fan-out bucket are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    /// The content.
    pub content: Id,
    /// The window onto its counters.
    pub scope: Scope,
}

/// A client was named without the organization that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("clientId must stand beside an organizationId")]
pub struct ClientWithoutOrganization;

/// Why a named scope or counter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `clientId` without an `organizationId`, neither named nor in the claims.
    #[error(transparent)]
    Invalid(#[from] ClientWithoutOrganization),
    /// Outside the authority.
    #[error("the token does not cover this organization or client")]
    Forbidden,
    /// The token may watch but not write.
    #[error("the token's scope lacks analytics:write")]
    ReadOnly,
}

/// What a caller may see and write: resolved from its token, or unrestricted in development without one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    reach: Reach,
    writes: Writes,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Reach {
    /// Whatever a call names (development without a token).
    Everything,
    /// The organization and client of a token's claims.
    Claims(Scope),
}

/// What a token's `scope` claim lets its bearer write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writes {
    /// Nothing.
    Nothing,
    /// `analytics:write`: counters that the authority covers.
    Covered,
    /// `analytics:write:any`: every organization's counters.
    Any,
}

impl Counter {
    /// The counter of a content in an organization, of one of its clients, or public.
    pub fn new(content: Id, owner: Scope) -> Counter {
        Counter { content, owner }
    }

    /// The content counted.
    pub fn content(&self) -> &Id {
        &self.content
    }

    /// The owning organization; `None` for a public counter.
    pub fn organization(&self) -> Option<&Id> {
        self.owner.organization()
    }

    /// The owning client within the organization, if any.
    pub fn client(&self) -> Option<&Id> {
        self.owner.client()
    }

    /// Organization and client together.
    pub fn owner(&self) -> &Scope {
        &self.owner
    }
}

impl Scope {
    /// The scope of an organization and, within it, of a client; both absent is [`Scope::public`].
    pub fn new(organization: Option<Id>, client: Option<Id>) -> Result<Scope, ClientWithoutOrganization> {
        if client.is_some() && organization.is_none() {
            return Err(ClientWithoutOrganization);
        }
        Ok(Scope { organization, client })
    }

    /// Public counters only.
    pub fn public() -> Scope {
        Scope::default()
    }

    /// The organization, if one is named.
    pub fn organization(&self) -> Option<&Id> {
        self.organization.as_ref()
    }

    /// The client within the organization, if one is named.
    pub fn client(&self) -> Option<&Id> {
        self.client.as_ref()
    }

    /// Whether a viewer with this scope sees the counter: the one rule of tenancy.
    pub fn shows(&self, counter: &Counter) -> bool {
        match counter.organization() {
            None => true,
            organization => {
                organization == self.organization()
                    && (self.client.is_none() || counter.client().is_none() || counter.client() == self.client())
            }
        }
    }

    /// Whether everything that `other` shows, this scope shows too.
    pub fn contains(&self, other: &Scope) -> bool {
        other.organization.is_none()
            || (other.organization == self.organization && (self.client.is_none() || self.client == other.client))
    }
}

impl Topic {
    /// Whether the topic's subscribers see the counter.
    pub fn shows(&self, counter: &Counter) -> bool {
        self.content == *counter.content() && self.scope.shows(counter)
    }
}

impl Authority {
    /// Development without a token: covers whatever is named, defaults to the public counters.
    pub fn unrestricted() -> Authority {
        Authority { reach: Reach::Everything, writes: Writes::Any }
    }

    /// The authority of a verified token.
    pub fn of_claims(scope: Scope, writes: Writes) -> Authority {
        Authority { reach: Reach::Claims(scope), writes }
    }

    /// Whether the bearer may see the counter.
    pub fn covers(&self, counter: &Counter) -> bool {
        match &self.reach {
            Reach::Everything => true,
            Reach::Claims(scope) => scope.shows(counter),
        }
    }

    /// Whether every counter of the scope is covered.
    pub fn covers_scope(&self, scope: &Scope) -> bool {
        match &self.reach {
            Reach::Everything => true,
            Reach::Claims(own) => own.contains(scope),
        }
    }

    /// The scope of a subscription or poll: what it leaves out is filled from the claims, and the whole must be covered.
    pub fn scope(&self, organization: Option<Id>, client: Option<Id>) -> Result<Scope, Refused> {
        let scope = self.fill(organization, client)?;
        if self.covers_scope(&scope) { Ok(scope) } else { Err(Refused::Forbidden) }
    }

    /// The counter of an update: exactly the one named, what it leaves out filled from the claims; it must be writable.
    pub fn writable(&self, content: Id, organization: Option<Id>, client: Option<Id>) -> Result<Counter, Refused> {
        let counter = Counter::new(content, self.fill(organization, client)?);
        match self.writes {
            Writes::Nothing => Err(Refused::ReadOnly),
            // Public counters belong to every organization; only a bearer without one may move them, and a bearer
            // with one cannot name them: leaving the organization out means its own.
            Writes::Covered if !self.covers(&counter) => Err(Refused::Forbidden),
            Writes::Covered | Writes::Any => Ok(counter),
        }
    }

    fn fill(&self, organization: Option<Id>, client: Option<Id>) -> Result<Scope, ClientWithoutOrganization> {
        let Reach::Claims(own) = &self.reach else { return Scope::new(organization, client) };
        let organization = organization.or_else(|| own.organization.clone());
        // A claim's client belongs to the claim's organization and says nothing about another one.
        let client = client.or_else(|| own.client.clone().filter(|_| organization == own.organization));
        Scope::new(organization, client)
    }
}
