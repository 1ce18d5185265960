//! Counts what DynamoDB would charge. The rule: every request passes as it is, except that it asks for its consumed
//! capacity; what the answer says is summed.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A hop in front of DynamoDB; it ends when it is dropped.
pub(crate) struct Meter {
    port: u16,
    units: Arc<Mutex<f64>>,
    accepting: JoinHandle<()>,
}

impl Meter {
    pub(crate) async fn start(upstream: u16) -> Result<Meter> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding the meter")?;
        let port = listener.local_addr()?.port();
        let units = Arc::new(Mutex::new(0.0));
        let of_accepting = units.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let units = of_accepting.clone();
                let answer = service_fn(move |request| pass(request, upstream, units.clone()));
                let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                // A peer that goes away ends its own connection only.
                tokio::spawn(serving);
            }
        });
        Ok(Meter { port, units, accepting })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Capacity units since the last call.
    pub(crate) fn take(&self) -> f64 {
        std::mem::take(&mut *self.units.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    request: Request<Incoming>,
    upstream: u16,
    units: Arc<Mutex<f64>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let failed = |error: anyhow::Error| {
        eprintln!("the meter could not pass a request: {error:#}");
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    Ok(forward(request, upstream, &units).await.unwrap_or_else(failed))
}

async fn forward(request: Request<Incoming>, upstream: u16, units: &Mutex<f64>) -> Result<Response<Full<Bytes>>> {
    let (mut head, body) = request.into_parts();
    let mut body: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    body["ReturnConsumedCapacity"] = json!("TOTAL");
    head.headers.remove(header::CONTENT_LENGTH);
    let stream = TcpStream::connect(("127.0.0.1", upstream)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(Request::from_parts(head, Full::new(Bytes::from(body.to_string())))).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let consumed = serde_json::from_slice::<Value>(&body).map(|body| capacity(&body["ConsumedCapacity"]));
    *units.lock().unwrap_or_else(PoisonError::into_inner) += consumed.unwrap_or(0.0);
    Ok(Response::from_parts(head, Full::new(body)))
}

/// The units of one table or of a list of them.
fn capacity(consumed: &Value) -> f64 {
    match consumed {
        Value::Array(tables) => tables.iter().map(capacity).sum(),
        table => table["CapacityUnits"].as_f64().unwrap_or(0.0),
    }
}
