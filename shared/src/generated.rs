//! `client/src/wire.gen.ts`: what travels over the socket, the codes and the performance configuration, for the
//! browser. The rule: the file is what the Rust types say, and a test compares the two.

use serde::{Deserialize, Serialize};
use ts_rs::{Config, TS};

use crate::close::{CloseCode, Reconnect};
use crate::code::ErrorBody;
use crate::message::{ClientMessage, ServerMessage};
use crate::performance::{PerMetric, PerformanceConfig, Rating, Score, Thresholds, TrendingCriteria};
use crate::typescript::{check, declaration};
use crate::{Code, Field, Id};

/// What a client sends. A field that is `null` counts as absent.
///
/// [`ClientMessage`] is what such a message means; this is what it looks like.
#[derive(Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[ts(rename = "ClientMessage", optional_fields = nullable)]
enum Sent {
    Subscribe {
        /// What to watch.
        content_ids: Vec<String>,
        /// The organization to watch; left out, the token's.
        organization_id: Option<String>,
        /// The client to watch; left out, the token's.
        client_id: Option<String>,
        /// Keeps what is subscribed; left out, the subscription is replaced.
        #[ts(as = "Option<Mode>", inline)]
        mode: Option<Mode>,
    },
    Unsubscribe {
        /// What to drop; left out, everything.
        content_ids: Option<Vec<String>>,
    },
    Ping,
    Authenticate {
        /// The new token.
        token: String,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Add,
}

/// On the wire an id is a string like any other.
impl TS for Id {
    type WithoutGenerics = Id;
    type OptionInnerType = Id;

    fn name(config: &Config) -> String {
        String::name(config)
    }

    fn inline(config: &Config) -> String {
        String::inline(config)
    }
}

fn wire() -> String {
    let types = [
        declaration::<Field>(),
        declaration::<Code>(),
        declaration::<Rating>(),
        declaration::<Reconnect>(),
        declaration::<Sent>(),
        declaration::<ServerMessage<'_>>(),
        declaration::<ErrorBody<'_>>(),
        declaration::<PerMetric<f64>>(),
        declaration::<Thresholds>(),
        declaration::<TrendingCriteria>(),
        declaration::<PerformanceConfig>(),
        declaration::<Score>(),
    ];
    let fields: Vec<String> = Field::ALL.into_iter().map(|field| format!("'{}'", field.name())).collect();
    let statuses = Code::ALL.into_iter().map(|code| {
        let name = serde_json::to_string(&code).expect("plain data").replace('"', "");
        (name, code.http_status().map_or("null".to_owned(), |status| status.to_string()))
    });
    let closes = CloseCode::ALL.into_iter().map(|code| {
        let how = match code.reconnect() {
            Reconnect::No => "'no'",
            Reconnect::Backoff => "'backoff'",
            Reconnect::Later => "'later'",
            Reconnect::FreshToken => "'fresh-token'",
        };
        (code.number(), how)
    });
    let constants = [
        constant(
            "Every field, in the order in which scores add them up.",
            "FIELDS",
            &format!("[{}] as const", fields.join(", ")),
        ),
        constant(
            "The HTTP status of every code; `null` for those that exist on the socket only.",
            "HTTP_STATUS: Readonly<Record<Code, number | null>>",
            &object(statuses),
        ),
        constant(
            "What a client does after each close code of the edge. Any other code is a broken connection: `backoff`.",
            "RECONNECT: Readonly<Record<number, Reconnect>>",
            &object(closes),
        ),
    ];
    format!("{}\n", (types.concat() + &constants.concat()).trim_end())
}

/// A constant with its documentation.
fn constant(docs: &str, name: &str, value: &str) -> String {
    format!("/** {docs} */\nexport const {name} = {value}\n\n")
}

/// The members of an object as a literal, one a line.
fn object<K: std::fmt::Display, V: std::fmt::Display>(members: impl Iterator<Item = (K, V)>) -> String {
    let lines: String = members.map(|(key, value)| format!("  {key}: {value},\n")).collect();
    format!("{{\n{lines}}}")
}

#[test]
fn the_clients_types_are_those_of_the_wire() {
    check("wire.gen.ts", "analytics-shared", &wire());
}

#[test]
fn what_a_client_can_say_is_understood() {
    let ids = || vec!["a".to_owned(), "b".to_owned()];
    let subscribe = |organization_id: Option<&str>, client_id: Option<&str>, mode| Sent::Subscribe {
        content_ids: ids(),
        organization_id: organization_id.map(str::to_owned),
        client_id: client_id.map(str::to_owned),
        mode,
    };
    for message in [
        subscribe(None, None, None),
        subscribe(Some("acme"), Some("web"), Some(Mode::Add)),
        Sent::Unsubscribe { content_ids: None },
        Sent::Unsubscribe { content_ids: Some(ids()) },
        Sent::Ping,
        Sent::Authenticate { token: "token".to_owned() },
    ] {
        let text = serde_json::to_string(&message).expect("plain data");
        let understood = ClientMessage::parse(text.as_bytes(), 2).map(|meaning| looks(&meaning));
        assert_eq!(understood, Ok(message), "{text}");
    }
}

/// A message that has this meaning.
fn looks(meaning: &ClientMessage) -> Sent {
    let texts = |ids: &[Id]| ids.iter().map(|id| id.as_str().to_owned()).collect();
    match meaning {
        ClientMessage::Subscribe(subscribe) => Sent::Subscribe {
            content_ids: texts(&subscribe.content_ids),
            organization_id: subscribe.organization.as_ref().map(|id| id.as_str().to_owned()),
            client_id: subscribe.client.as_ref().map(|id| id.as_str().to_owned()),
            mode: subscribe.add.then_some(Mode::Add),
        },
        ClientMessage::Unsubscribe { content_ids } => {
            Sent::Unsubscribe { content_ids: content_ids.as_deref().map(texts) }
        }
        ClientMessage::Ping => Sent::Ping,
        ClientMessage::Authenticate { token } => Sent::Authenticate { token: token.0.clone() },
    }
}
