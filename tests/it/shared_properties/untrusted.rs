//! Whatever comes from outside: messages, bodies, override files, tokens. The rule: any bytes are understood or
//! refused, never a panic, and what is understood keeps its type's promises.

use std::collections::BTreeSet;

use analytics_shared::message::ClientMessage;
use analytics_shared::performance::PerformanceConfig;
use analytics_shared::token::{Expectations, Verifier};
use analytics_shared::update::{self, Body};
use analytics_shared::{Code, Id};
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value};

use super::{LARGEST, is_id};

const MAX_IDS: usize = 3;

/// Texts that are valid for one parser or the other, to be damaged.
const SEEDS: [&str; 9] = [
    r#"{"type":"subscribe","contentIds":["a","b","a"],"organizationId":"o","clientId":"c","mode":"add"}"#,
    r#"{"type":"subscribe","contentIds":["a","b","c","d"]}"#,
    r#"{"type":"unsubscribe","contentIds":["a"]}"#,
    r#"{"type":"unsubscribe"}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"authenticate","token":"a.b.c"}"#,
    r#"{"contentId":"a","field":"views","increment":-1000000000,"organizationId":"o","clientId":"c"}"#,
    r#"{"updates":[{"contentId":"a","field":"likes"},{"contentId":"","field":"likes"},7]}"#,
    r#"{"thresholds":{"views":{"average":1}},"weights":{"video":{"views":0.5}},"trending":{"windowMs":1}}"#,
];

/// A damage to bytes: at a place, of a length, with something else put there.
fn damage() -> impl Strategy<Value = (Index, usize, Vec<u8>)> {
    let token =
        select(vec![&b"null"[..], b"{", b"}", b"[", b"]", b"\"", b",", b":", b"-", b"1e999", b"\\u0000", b"\xff"]);
    let inserted = prop_oneof![prop::collection::vec(any::<u8>(), 0..4), token.prop_map(<[u8]>::to_vec)];
    (any::<Index>(), 0..6usize, inserted)
}

fn damaged(text: &[u8], damages: &[(Index, usize, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for (place, length, inserted) in damages {
        let start = place.index(bytes.len() + 1);
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, inserted.iter().copied());
    }
    bytes
}

/// Any JSON, with the names and the values that the parsers know well represented.
fn json() -> impl Strategy<Value = Value> {
    let known = vec![
        "",
        "a",
        "ping",
        "subscribe",
        "unsubscribe",
        "authenticate",
        "add",
        "views",
        "likes",
        "analytics:write",
        "x\n",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-2..2_000_000_000i64).prop_map(Value::from),
        select(known).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from);
        prop_oneof![list, object_of(inner)]
    })
}

fn object_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let names = vec![
        "type",
        "contentIds",
        "contentId",
        "organizationId",
        "clientId",
        "mode",
        "token",
        "field",
        "increment",
        "updates",
        "exp",
        "nbf",
        "iss",
        "aud",
        "sub",
        "scope",
        "thresholds",
        "weights",
        "trending",
    ];
    prop::collection::vec((select(names), value), 0..6)
        .prop_map(|members| Value::from_iter(members.into_iter().map(|(name, value)| (name.to_owned(), value))))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let mutated = (select(SEEDS.to_vec()), prop::collection::vec(damage(), 0..4));
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        mutated.prop_map(|(seed, damages)| damaged(seed.as_bytes(), &damages)),
        json().prop_map(|value| value.to_string().into_bytes()),
        object_of(json()).prop_map(|value| value.to_string().into_bytes()),
    ]
}

fn check_ids(ids: &[Id]) -> Result<(), TestCaseError> {
    prop_assert!(ids.len() <= MAX_IDS);
    prop_assert!(ids.iter().all(|id| is_id(id.as_str())));
    prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes_are_a_message_or_a_refusal(bytes in bytes()) {
        match ClientMessage::parse(&bytes, MAX_IDS) {
            Ok(ClientMessage::Subscribe(subscribe)) => check_ids(&subscribe.content_ids)?,
            Ok(ClientMessage::Unsubscribe { content_ids }) => check_ids(&content_ids.unwrap_or_default())?,
            Ok(ClientMessage::Authenticate { token }) => prop_assert!(!token.0.is_empty()),
            Ok(ClientMessage::Ping) => {}
            Err(refused) => {
                let codes = [Code::InvalidJson, Code::InvalidMessage, Code::InvalidField, Code::TooManyIds];
                prop_assert!(codes.contains(&refused.code), "{refused:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_updates_or_a_refusal(bytes in bytes()) {
        let updates = match Body::parse(&bytes) {
            Ok(Body::Single(update)) => vec![update],
            Ok(Body::Batch(members)) => {
                prop_assert!((1..=update::MAX_UPDATES).contains(&members.len()));
                members.into_iter().flatten().collect()
            }
            Err(refused) => {
                prop_assert!([Code::InvalidJson, Code::InvalidField].contains(&refused.code), "{refused:?}");
                return Ok(());
            }
        };
        for update in updates {
            prop_assert!(update.increment != 0 && update.increment.unsigned_abs() <= 1_000_000_000);
        }
    }

    #[test]
    fn any_text_is_a_configuration_or_a_refusal(bytes in bytes()) {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(config) = PerformanceConfig::development().with_overrides(&text) {
            // What is served can be read again, and is the same.
            let served = serde_json::to_string(&config).expect("plain data");
            prop_assert_eq!(PerformanceConfig::production().with_overrides(&served), Ok(config));
        }
    }
}

const SECRET: &[u8] = b"a secret of the tests, long enough";
const NOW_MS: u64 = 1_700_000_000_000;

fn verifier() -> Verifier {
    Verifier::hs256(SECRET, Expectations::default()).expect("the secret is long enough")
}

fn signed(claims: &Value) -> String {
    let token = jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET));
    token.expect("HS256 signs anything")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_is_refused_as_a_token(text in prop_oneof![any::<String>(), "[A-Za-z0-9_.-]{0,80}"]) {
        prop_assert!(verifier().verify_at(&text, NOW_MS).is_err());
    }

    #[test]
    fn a_damaged_token_is_refused(damages in prop::collection::vec(damage(), 1..4)) {
        let good = signed(&serde_json::json!({"exp": NOW_MS / 1_000 + 60, "organizationId": "o", "clientId": "c"}));
        let bad = damaged(good.as_bytes(), &damages);
        let bad = String::from_utf8_lossy(&bad);
        let outcome = verifier().verify_at(&bad, NOW_MS);
        prop_assert_eq!(outcome.is_ok(), bad == good, "{:?}", outcome);
    }

    #[test]
    fn any_signed_claims_are_understood_or_refused(claims in object_of(json()), later in 0..3u64, has_exp in any::<bool>()) {
        let mut claims = claims;
        if has_exp {
            claims["exp"] = Value::from(NOW_MS / 1_000 + later);
        }
        let Ok(good) = verifier().verify_at(&signed(&claims), NOW_MS) else { return Ok(()) };
        prop_assert!(good.expires_at > NOW_MS && good.expires_at <= LARGEST);
        let given = |name: &str| claims.as_object().and_then(|claims: &Map<String, Value>| claims.get(name)).cloned();
        prop_assert_eq!(good.scope.organization().map(|id| Value::from(id.as_str())), given("organizationId"));
        prop_assert_eq!(good.scope.client().map(|id| Value::from(id.as_str())), given("clientId"));
        prop_assert_eq!(good.subject.map(Value::from), given("sub"));
        prop_assert_eq!(given("aud"), None);
    }
}
