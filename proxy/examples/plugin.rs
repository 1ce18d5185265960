//! An existing Pingora service that adds live counts: everything of the edge is marked with `// live counts`.
//!
//! ```text
//! cargo run -p analytics-proxy --example plugin -- 127.0.0.1:8080 127.0.0.1:9000
//! ```
//! The service proxies to the second address. `/analytics` is a WebSocket of live counts, `/api/analytics/…` counts,
//! and every page that the service delivers counts as a view of its path.

use std::sync::Arc;
use std::time::Duration;

use analytics_proxy::store::{EmbeddedOptions, EmbeddedStore};
use analytics_proxy::{Closed, Edge, EdgeConfig, EdgeHandle, Events, Field, Handled, Mode, Opened};
use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::RunArgs;
use pingora::server::configuration::ServerConf;

/// The service as it was, with the edge's handle beside what it had.
struct Site {
    backend: String,
    edge: EdgeHandle, // live counts
}

#[async_trait]
impl ProxyHttp for Site {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _: &mut ()) -> Result<bool> {
        // live counts: what is the edge's is answered, everything else goes on as before
        if self.edge.handle(session, 0).await? != Handled::NotMine {
            return Ok(true);
        }
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&self.backend, false, String::new())))
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, _: &mut ()) {
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let path = session.req_header().uri.path().to_owned();
        println!("{} {path} {status}", session.req_header().method);
        // live counts: a page that was delivered is a view
        if status == 200 && !path.starts_with("/api/") {
            match self.edge.trigger_real_update(&path, Field::Views, 1, None, None).await {
                Ok(updated) => println!("{path} has {} views", updated.value),
                Err(error) => eprintln!("{path} was not counted: {error}"),
            }
        }
    }
}

// live counts: what a host may want to know of its connections
struct Report;

impl Events for Report {
    fn opened(&self, opened: &Opened) {
        println!("{} opened", opened.id);
    }

    fn closed(&self, closed: &Closed<'_>) {
        println!("{} closed with {} after {} frames", closed.id, closed.code, closed.frames_out);
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let backend = arguments.next().unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let data = arguments.next().unwrap_or_else(|| "analytics-data".to_owned());

    // live counts
    let store = Arc::new(EmbeddedStore::open(EmbeddedOptions::new(data))?);
    let config = EdgeConfig { drain: Duration::from_secs(2), ..EdgeConfig::new(Mode::Development) };
    let edge = Edge::builder(config).store(store.clone()).events(Arc::new(Report)).build()?;
    let handle = edge.handle();

    let conf = ServerConf { grace_period_seconds: Some(0), ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let engine = server.add_services(edge.services()); // live counts

    let mut proxy = http_proxy_service(&server.configuration, Site { backend, edge: handle.clone() });
    proxy.add_tcp(&address);
    server.add_service(proxy).add_dependencies(&engine); // live counts

    server.run(RunArgs { shutdown_signal: handle.shutdown_signal() }); // live counts: drain first
    store.close();
    Ok(())
}
