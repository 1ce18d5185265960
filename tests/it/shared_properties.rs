//! Properties of the shared vocabulary. The rule: these laws hold for any input. Tenancy and what comes from
//! outside have files of their own.

use analytics_shared::counts::Versioned;
use analytics_shared::performance::{self, PerformanceConfig, Rating};
use analytics_shared::{Counts, Field, Id, OutOfRange};
use proptest::prelude::*;
use proptest::sample::{Index, select};

mod tenants;
mod untrusted;

const LARGEST: u64 = (1 << 53) - 1;

/// States out of so few that equal versions, and unequal states of one version, are common.
fn versioned() -> impl Strategy<Value = Versioned> {
    let counts = proptest::array::uniform4(0..3u64).prop_map(Counts::from_array);
    (0..4u64, 0..3u64, counts).prop_map(|(version, committed_at, counts)| Versioned { version, committed_at, counts })
}

fn merged(mut one: Versioned, other: Versioned) -> Versioned {
    one.merge(&other);
    one
}

proptest! {
    #[test]
    fn merge_is_commutative_associative_and_idempotent(a in versioned(), b in versioned(), c in versioned()) {
        prop_assert_eq!(merged(a, b), merged(b, a));
        prop_assert_eq!(merged(merged(a, b), c), merged(a, merged(b, c)));
        prop_assert_eq!(merged(a, a), a);
        prop_assert_eq!(merged(merged(a, b), b), merged(a, b));
    }

    #[test]
    fn merge_never_goes_back_and_says_what_it_did(a in versioned(), b in versioned()) {
        let mut now = a;
        let changed = now.merge(&b);
        prop_assert_eq!(now.version, a.version.max(b.version));
        prop_assert_eq!(changed, now != a);
        prop_assert_eq!(now, if changed { b } else { a });
    }

    #[test]
    fn any_order_and_any_repetition_end_alike(
        states in prop::collection::vec(versioned(), 1..8),
        order in prop::collection::vec(any::<Index>(), 0..24),
    ) {
        let all = |order: &mut dyn Iterator<Item = Versioned>| order.fold(Versioned::default(), merged);
        let straight = all(&mut states.iter().copied());
        let shuffled = order.iter().map(|index| *index.get(&states));
        prop_assert_eq!(all(&mut shuffled.chain(states.iter().rev().copied())), straight);
    }
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0..=LARGEST, 0..4u64, LARGEST - 3..=LARGEST]
}

fn increment() -> impl Strategy<Value = i64> {
    let edges = select(vec![i64::MIN, i64::MAX, 0, 1, -1, LARGEST as i64, -(LARGEST as i64)]);
    prop_oneof![any::<i64>(), -4..4i64, edges]
}

proptest! {
    #[test]
    fn add_stays_in_bounds_or_changes_nothing(
        values in proptest::array::uniform4(count()),
        field in select(Field::ALL.to_vec()),
        increment in increment(),
    ) {
        let before = Counts::from_array(values);
        let mut counts = before;
        let value = values[field.index()];
        let sum = i128::from(value) + i128::from(increment);
        let outcome = counts.add(field, increment);
        if (0..=i128::from(LARGEST)).contains(&sum) {
            prop_assert_eq!(outcome.map(i128::from), Ok(sum));
            prop_assert_eq!(i128::from(counts.get(field)), sum);
            for other in Field::ALL.into_iter().filter(|other| *other != field) {
                prop_assert_eq!(counts.get(other), before.get(other));
            }
        } else {
            prop_assert_eq!(outcome, Err(OutOfRange { field, value, increment }));
            prop_assert_eq!(counts, before);
        }
    }
}

/// Protocol §2: 1–256 bytes, no character of Unicode category Cc, which is U+0000–U+001F and U+007F–U+009F.
fn is_id(text: &str) -> bool {
    let control = |c: char| c <= '\u{1f}' || ('\u{7f}'..='\u{9f}').contains(&c);
    (1..=256).contains(&text.len()) && !text.chars().any(control)
}

/// Texts around every border: length in bytes, control characters, whitespace.
fn id_text() -> impl Strategy<Value = String> {
    let borders = vec!['\0', '\u{1f}', ' ', '~', '\u{7f}', '\u{9f}', '\u{a0}', '\u{ad}', '\u{2028}', '\u{feff}'];
    let repeated = (select(vec!["x", "é", "€", "👍"]), 60..260usize, prop_oneof![Just(""), Just("y"), Just("yz")]);
    prop_oneof![
        any::<String>(),
        prop::collection::vec(select(borders), 0..4).prop_map(String::from_iter),
        repeated.prop_map(|(unit, times, tail)| unit.repeat(times) + tail),
    ]
}

proptest! {
    #[test]
    fn an_id_is_what_the_protocol_says(text in id_text()) {
        match Id::new(&text) {
            Ok(id) => {
                prop_assert!(is_id(&text));
                prop_assert_eq!(id.as_str(), text.as_str());
            }
            Err(_) => prop_assert!(!is_id(&text)),
        }
    }
}

proptest! {
    #[test]
    fn a_score_is_in_range_has_two_decimals_and_rises_with_every_count(
        values in proptest::array::uniform4(prop_oneof![count(), 0..2_000u64]),
        field in select(Field::ALL.to_vec()),
        more in 0..2_000u64,
        production in any::<bool>(),
    ) {
        let config = if production { PerformanceConfig::production() } else { PerformanceConfig::development() };
        let score = |values| performance::score(&Counts::from_array(values), None, &config).expect("the default");
        let now = score(values);
        prop_assert!((0.0..=100.0).contains(&now.score));
        prop_assert_eq!((now.score * 100.0).round() / 100.0, now.score);
        prop_assert_eq!(now.rating, Rating::of(now.score));
        let mut higher = values;
        higher[field.index()] = (values[field.index()] + more).min(LARGEST);
        prop_assert!(score(higher).score >= now.score);
    }
}
