//! What the unit tests of several files start from. The rule: short names for values, and no behaviour.

use analytics_shared::{Id, Scope};

/// An id that is known to be valid.
pub(crate) fn id(text: &str) -> Id {
    Id::new(text).expect("a valid id")
}

/// Every kind of scope: public, and two organizations, each as a whole and with two clients.
pub(crate) fn scopes() -> Vec<Scope> {
    let scope = |organization: Option<&str>, client: Option<&str>| {
        Scope::new(organization.map(id), client.map(id)).expect("a valid scope")
    };
    let mut scopes = vec![scope(None, None)];
    for organization in ["o", "p"] {
        scopes.extend([None, Some("a"), Some("b")].map(|client| scope(Some(organization), client)));
    }
    scopes
}
