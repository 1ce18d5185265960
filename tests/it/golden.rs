//! The golden wire files of `shared/golden`: what browsers send means what it says here, and what they get is
//! this text to the byte. The rule: every file of the folder is tested, and a change of one is a change of the
//! protocol.

use std::collections::BTreeSet;

use analytics_shared::message::{ClientMessage, ServerMessage, Subscribe, Token};
use analytics_shared::{Code, Field, Id};

/// A golden file's name and text. The files end in a newline that is not part of the message.
macro_rules! golden {
    ($name:literal) => {
        ($name, include_str!(concat!("../../shared/golden/", $name, ".json")).trim_end_matches('\n'))
    };
}

const NOW: u64 = 1_700_000_000_000;
const BASE: u64 = 7_864_320;

fn id(text: &str) -> Id {
    Id::new(text).expect("the test uses valid ids")
}

fn subscribe(ids: &[&str], organization: Option<&str>, client: Option<&str>, add: bool) -> ClientMessage {
    ClientMessage::Subscribe(Subscribe {
        content_ids: ids.iter().copied().map(id).collect(),
        organization: organization.map(id),
        client: client.map(id),
        add,
    })
}

fn from_clients() -> Vec<((&'static str, &'static str), ClientMessage)> {
    let odd = [" a ", "A", "a", "caf\u{e9}", "cafe\u{301}", "\"\\/", "\u{1f44d}"];
    vec![
        (golden!("client-ping"), ClientMessage::Ping),
        (
            golden!("client-authenticate"),
            ClientMessage::Authenticate { token: Token("header.claims.signature".into()) },
        ),
        (golden!("client-subscribe"), subscribe(&["article-1", "article-2"], None, None, false)),
        (golden!("client-subscribe-none"), subscribe(&[], None, None, false)),
        (golden!("client-subscribe-organization"), subscribe(&["article-1"], Some("acme"), None, false)),
        (golden!("client-subscribe-client"), subscribe(&["article-1"], Some("acme"), Some("web"), false)),
        // Whether an organization comes from the claims is not for parsing to say.
        (golden!("client-subscribe-client-alone"), subscribe(&["article-1"], None, Some("web"), false)),
        (golden!("client-subscribe-add"), subscribe(&["article-3"], None, None, true)),
        (golden!("client-subscribe-repeated-ids"), subscribe(&["b", "a", "c"], None, None, false)),
        // Untrimmed, byte by byte: only the two spellings of one byte sequence are one id.
        (golden!("client-subscribe-odd-ids"), subscribe(&odd, None, None, false)),
        (golden!("client-subscribe-nulls-and-unknown-fields"), subscribe(&["article-1"], None, None, false)),
        (golden!("client-unsubscribe"), ClientMessage::Unsubscribe { content_ids: None }),
        (golden!("client-unsubscribe-null"), ClientMessage::Unsubscribe { content_ids: None }),
        (
            golden!("client-unsubscribe-some"),
            ClientMessage::Unsubscribe { content_ids: Some(vec![id("article-2"), id("article-1")]) },
        ),
    ]
}

/// The golden files of what the edge sends, each with the text that is really written.
fn from_the_edge() -> Vec<((&'static str, &'static str), String)> {
    let (acme, web, article, spaced) = (id("acme"), id("web"), id("article-1"), id(" a "));
    let odd = id("\"\\/ caf\u{e9} \u{1f44d}");
    let both = [article.clone(), id("article-2")];
    let one = [article.clone()];
    let subscribed = |content_ids, organization_id, client_id| {
        written(&ServerMessage::Subscribed { content_ids, organization_id, client_id, timestamp: NOW })
    };
    let update = |field, value, organization_id, client_id, version| {
        written(&ServerMessage::AnalyticsUpdate {
            content_id: &article,
            field,
            value,
            timestamp: NOW,
            organization_id,
            client_id,
            version,
        })
    };
    let largest = (1 << 53) - 1;
    vec![
        (
            golden!("server-connected"),
            written(&ServerMessage::Connected { client_id: "4f2a-17", timestamp: NOW, base: BASE }),
        ),
        (golden!("server-subscribed"), subscribed(&both, None, None)),
        (golden!("server-subscribed-none"), subscribed(&[], None, None)),
        (golden!("server-subscribed-organization"), subscribed(&one, Some(&acme), None)),
        (golden!("server-subscribed-client"), subscribed(&one, Some(&acme), Some(&web))),
        (golden!("server-analytics-update"), update(Field::Views, 42, None, None, BASE + 1)),
        (golden!("server-analytics-update-organization"), update(Field::Likes, 0, Some(&acme), None, BASE + 2)),
        (golden!("server-analytics-update-client"), update(Field::Shares, largest, Some(&acme), Some(&web), largest)),
        (
            golden!("server-analytics-update-odd-ids"),
            written(&ServerMessage::AnalyticsUpdate {
                content_id: &odd,
                field: Field::Comments,
                value: 1,
                timestamp: 0,
                organization_id: Some(&spaced),
                client_id: None,
                version: 1,
            }),
        ),
        (golden!("server-pong"), written(&ServerMessage::Pong { timestamp: NOW })),
        (
            golden!("server-error"),
            written(&ServerMessage::Error {
                error: "contentIds must be an array of ids",
                code: Code::InvalidField,
                timestamp: NOW,
            }),
        ),
        (
            golden!("server-authenticated"),
            written(&ServerMessage::Authenticated { expires_at: NOW + 3_600_000, timestamp: NOW }),
        ),
    ]
}

fn written(message: &ServerMessage<'_>) -> String {
    let mut buffer = b"before".to_vec();
    message.write_to(&mut buffer);
    let text = String::from_utf8(buffer).expect("JSON is UTF-8");
    text.strip_prefix("before").expect("write_to appends").to_owned()
}

#[test]
fn what_clients_send_is_understood() {
    for ((name, text), meaning) in from_clients() {
        assert_eq!(ClientMessage::parse(text.as_bytes(), 7), Ok(meaning), "{name}");
    }
}

#[test]
fn what_the_edge_sends_is_this_text() {
    for ((name, text), written) in from_the_edge() {
        assert_eq!(written, text, "{name}");
    }
}

#[test]
fn every_golden_file_is_tested() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/golden");
    let names = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("the folder can be read").file_name();
        name.to_string_lossy().trim_end_matches(".json").to_owned()
    };
    let there: BTreeSet<String> = std::fs::read_dir(folder).expect("the folder is there").map(names).collect();
    let clients = from_clients().into_iter().map(|((name, _), _)| name.to_owned());
    let tested: BTreeSet<String> =
        clients.chain(from_the_edge().into_iter().map(|((name, _), _)| name.to_owned())).collect();
    assert_eq!(there, tested);
}
