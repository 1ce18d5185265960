//! What a client remembers of counters. The rule: within one connection a counter's version never goes down; across
//! connections whatever is older than what is remembered is dropped, and what lies below a store's base is forgotten.

use std::collections::HashMap;

use serde_json::Value;

/// The four fields, by their names on the wire.
pub const FIELDS: [&str; 4] = ["views", "likes", "shares", "comments"];

/// The identity of a counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter {
    /// The owning organization; `None` for a public counter.
    pub organization: Option<String>,
    /// The owning client within it.
    pub client: Option<String>,
    /// The content counted.
    pub content: String,
}

/// A value and the version at which it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The absolute count.
    pub value: u64,
    /// The version of its counter.
    pub version: u64,
}

/// The newest value per counter and field, over all connections of a client.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    values: HashMap<Counter, [Option<Shown>; 4]>,
}

/// What one connection has been shown: the check of its promises.
#[derive(Debug, Default)]
pub struct Shows {
    base: u64,
    newest: HashMap<Counter, u64>,
    states: HashMap<(Counter, String), Shown>,
}

impl Counter {
    /// A counter from its parts.
    pub fn new(organization: Option<&str>, client: Option<&str>, content: &str) -> Counter {
        Counter {
            organization: organization.map(str::to_owned),
            client: client.map(str::to_owned),
            content: content.to_owned(),
        }
    }

    /// A counter without organization.
    pub fn public(content: &str) -> Counter {
        Counter::new(None, None, content)
    }

    /// The counter that an `analytics_update`, or an entry of a content list, is about.
    pub fn of_message(message: &Value) -> Counter {
        Counter::new(
            message["organizationId"].as_str(),
            message["clientId"].as_str(),
            message["contentId"].as_str().unwrap_or_default(),
        )
    }
}

impl Memory {
    /// The value last shown, if any was.
    pub fn value(&self, counter: &Counter, field: &str) -> Option<u64> {
        self.shown(counter, field).map(|shown| shown.value)
    }

    /// The value last shown and its version.
    pub fn shown(&self, counter: &Counter, field: &str) -> Option<Shown> {
        self.values.get(counter)?[index(field)?]
    }

    /// The counters of which anything is remembered.
    pub fn counters(&self) -> impl Iterator<Item = &Counter> {
        self.values.keys()
    }

    /// Forgets what lies below a store's base.
    pub fn forget_below(&mut self, base: u64) {
        for fields in self.values.values_mut() {
            for shown in fields {
                *shown = shown.filter(|shown| shown.version >= base);
            }
        }
    }

    /// Takes a value over unless it is older than what is remembered.
    pub fn take(&mut self, counter: &Counter, field: &str, shown: Shown) {
        let Some(index) = index(field) else { return };
        let slot = &mut self.values.entry(counter.clone()).or_default()[index];
        if slot.is_none_or(|known| shown.version >= known.version) {
            *slot = Some(shown);
        }
    }
}

impl Shows {
    /// A connection to a store with this base.
    pub fn above(base: u64) -> Shows {
        Shows { base, ..Shows::default() }
    }

    /// Checks one update against everything that the connection showed before; an error says what it broke.
    pub fn check(&mut self, counter: &Counter, field: &str, shown: Shown) -> Result<(), String> {
        if shown.version < self.base {
            return Err(format!("{counter:?} {field}: {shown:?} lies below the base {}", self.base));
        }
        let newest = self.newest.entry(counter.clone()).or_default();
        if shown.version < *newest {
            return Err(format!("{counter:?} {field}: {shown:?} after version {newest}"));
        }
        *newest = shown.version;
        let before = self.states.insert((counter.clone(), field.to_owned()), shown);
        match before {
            Some(before) if before.version == shown.version && before.value != shown.value => {
                Err(format!("{counter:?} {field}: {shown:?} after {before:?}: one version, two values"))
            }
            _ => Ok(()),
        }
    }
}

fn index(field: &str) -> Option<usize> {
    FIELDS.iter().position(|name| *name == field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_goes_back_is_caught_and_an_older_value_is_dropped() {
        let counter = Counter::public("a");
        let mut shows = Shows::above(10);
        let mut memory = Memory::default();
        for (value, version, good) in [(1, 12, true), (1, 12, true), (0, 11, false), (2, 12, false), (2, 9, false)] {
            assert_eq!(shows.check(&counter, "likes", Shown { value, version }).is_ok(), good, "{value}@{version}");
        }
        assert!(shows.check(&counter, "views", Shown { value: 0, version: 11 }).is_err(), "one version per counter");
        memory.take(&counter, "likes", Shown { value: 1, version: 12 });
        memory.take(&counter, "likes", Shown { value: 5, version: 11 });
        assert_eq!(memory.value(&counter, "likes"), Some(1));
        memory.forget_below(13);
        assert_eq!(memory.value(&counter, "likes"), None);
    }
}
