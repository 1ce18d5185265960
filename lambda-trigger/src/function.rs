//! The handler as a Lambda function with a URL. The rule: the handler sees the request as its client sent it, and the
//! client gets an answer of the contract before Lambda ends the call, whatever DynamoDB does.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use analytics_shared::{Code, Failure};
use async_trait::async_trait;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Response, Uri};
use lambda_http::{Body, Request, RequestExt};
use tokio::time::Instant;

use crate::auth::Auth;
use crate::cors::Origins;
use crate::dynamodb::{DynamoClient, DynamoOptions, DynamoPresence, DynamoStore, EpochTooLarge};
use crate::handler::{Handler, HandlerConfig, Status};
use crate::presence::Presence;
use crate::settings::Calls;
use crate::store::Unreadable;
use crate::{deadline, invocation, reply};

/// The largest answer, as text within the JSON that goes to Lambda: a little less than Lambda takes, for the headers go
/// with it (6 MB, <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const LARGEST_ANSWER: usize = 6_000_000;

/// What a container makes once and uses for every call.
pub struct Function {
    handler: Handler,
}

impl Function {
    /// A function over tables. Starts nothing and asks nothing.
    ///
    /// # Errors
    /// The epoch leaves no versions.
    pub fn new(client: DynamoClient, options: DynamoOptions, calls: Calls) -> Result<Function, EpochTooLarge> {
        let Calls { mode, verifier, origins, max_body_bytes, performance } = calls;
        let presence = DynamoPresence::new(client.clone(), &options);
        let handler = Handler::new(HandlerConfig {
            store: Arc::new(DynamoStore::new(client, options)?),
            auth: Auth::new(mode, verifier),
            origins: origins.unwrap_or_else(|| Origins::unset(mode)),
            performance: Arc::new(performance),
            status: Arc::new(OfAllProxies(presence)),
            max_body_bytes,
        });
        Ok(Function { handler })
    }

    /// Answers one call.
    pub async fn call(&self, request: Request) -> Response<Body> {
        let time = invocation::time_to_work(request.lambda_context_ref());
        let answer = deadline::within(Instant::now() + time, self.handler.handle(as_sent(request))).await;
        no_larger_than(LARGEST_ANSWER, answer)
            .map(|body| if body.is_empty() { Body::Empty } else { Body::from(Vec::from(body)) })
    }
}

/// The request without what was made of its target on the way: a whole URL, with a host and scheme filled in and dots in
/// its path resolved.
fn as_sent(request: Request) -> http::Request<Bytes> {
    let path = request.raw_http_path();
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let (mut head, body) = request.into_parts();
    // What is no target of a request (RFC 9112 §3.2.1) is no path of ours either.
    head.uri = PathAndQuery::try_from(target).map(Uri::from).unwrap_or_default();
    let body = match body {
        Body::Text(text) => text.into(),
        Body::Binary(bytes) => bytes.into(),
        _ => Bytes::new(),
    };
    http::Request::from_parts(head, body)
}

/// The answer, or the refusal to give one that Lambda would not take: only a poll of many clients' counters is so large.
fn no_larger_than(largest: usize, answer: Response<Bytes>) -> Response<Bytes> {
    let body = answer.body();
    let escaped = body.len() + body.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    if escaped <= largest {
        return answer;
    }
    let text = "the answer would be larger than a Lambda function can give: name fewer ids, or a client";
    let mut refusal = reply::failure(&Failure::new(Code::TooManyIds, text));
    // Those of the page that asks; whatever tells of the body is the refusal's own.
    for (name, value) in answer.headers() {
        refusal.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    refusal
}

/// The status of proxies that this process does not know but through their table.
struct OfAllProxies(DynamoPresence);

#[async_trait]
impl Status for OfAllProxies {
    fn simulation_running(&self) -> bool {
        false
    }

    async fn connected_clients(&self) -> Result<u64, Unreadable> {
        self.0.connected().await.map_err(|error| Unreadable(error.to_string()))
    }

    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, HOST};
    use http::{HeaderValue, Method, StatusCode};

    fn event(path: &str, query: &str, rest: &str) -> http::Request<Bytes> {
        let text = format!(
            r#"{{"version":"2.0","routeKey":"$default","rawPath":{path:?},"rawQueryString":{query:?},
                "headers":{{"host":"x.example:8443","x-forwarded-proto":"https","content-type":"application/json"}},
                "requestContext":{{"stage":"$default","domainName":"other.example",
                    "http":{{"method":"POST","path":{path:?},"protocol":"HTTP/1.1","sourceIp":"192.0.2.1"}}}}{rest}}}"#
        );
        as_sent(lambda_http::request::from_str(&text).expect("an event of a function's URL"))
    }

    #[test]
    fn path_query_and_host_stay_as_they_were_sent() {
        for (path, query) in [
            ("/api/analytics/content", "id=a%2Fb&id=c+d&ids=%E2%82%AC,x&empty="),
            ("/api/x/../analytics/content", ""),
            ("/api/analytics/%63ontent", "a=1&a=2"),
        ] {
            let request = event(path, query, "");
            assert_eq!((request.uri().path(), request.uri().query().unwrap_or_default()), (path, query));
            assert_eq!(request.uri().authority(), None, "the Host counts");
            assert_eq!(request.headers().get(HOST).and_then(|host| host.to_str().ok()), Some("x.example:8443"));
            assert_eq!(request.method(), Method::POST);
        }
    }

    #[test]
    fn a_body_comes_as_text_or_in_base64() {
        for (rest, body) in [
            ("", ""),
            (r#","body":"{\"a\":1}","isBase64Encoded":false"#, "{\"a\":1}"),
            (r#","body":"eyJhIjoxfQ==","isBase64Encoded":true"#, "{\"a\":1}"),
        ] {
            assert_eq!(event("/", "", rest).into_body(), body, "{rest}");
        }
    }
    #[test]
    fn an_answer_that_lambda_would_not_take_is_refused_to_the_page_that_asked() {
        let answer = || {
            let mut answer = reply::json(StatusCode::OK, &["four"]);
            answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://a.example"));
            answer
        };
        // ["four"] is 8 bytes, and within a JSON text 10.
        assert_eq!(no_larger_than(10, answer()).status(), StatusCode::OK);
        let refusal = no_larger_than(9, answer());
        assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
        assert_eq!(refusal.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(refusal.headers()[CONTENT_LENGTH], refusal.body().len().to_string().as_str());
    }
}
