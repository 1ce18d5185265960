//! The ready-made edge: settings, store, edge, listeners, and Pingora's server around them. A table of contents; the
//! rule: nothing is opened or bound before every setting is valid, and nothing starts before everything is bound.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use analytics_proxy::config::{Resolved, Settings, Tls, unknown_variables};
use analytics_proxy::host::{Admin, Host};
use analytics_proxy::listener::{self, Listener};
use analytics_proxy::tls::Acceptor;
use analytics_proxy::{Edge, logging};
use anyhow::Context;
use clap::Parser;
use lambda_trigger::auth::Mode;
use pingora::apps::http_app::HttpServer;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};

fn main() -> ExitCode {
    let settings = Settings::parse();
    let unknown = unknown_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()));
    for setting in &unknown {
        eprintln!("analytics-proxy: {setting}");
    }
    let resolved = match settings.resolve() {
        Ok(resolved) if unknown.is_empty() => resolved,
        Ok(_) => return ExitCode::from(2),
        Err(invalid) => {
            eprintln!("analytics-proxy: {invalid}");
            return ExitCode::from(2);
        }
    };
    logging::start(resolved.edge.mode);
    match run(resolved) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("analytics-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(resolved: Resolved) -> anyhow::Result<()> {
    let Resolved { edge, verifier, listen, tls, admin, upstream, storage, head_time } = resolved;

    let mut sockets = listen.iter().map(|address| bind(*address)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut tls_sockets = tls.iter().map(|tls| bind(tls.listen)).collect::<anyhow::Result<Vec<_>>>()?;
    let admin = bind(admin)?;
    let ports = bind_beside(&mut sockets)?;
    let tls_port = bind_beside(&mut tls_sockets)?.first().copied();
    let admin_port = admin.local_addr()?;

    let opened = storage.open()?;

    let development = edge.mode == Mode::Development;
    let workers = edge.workers;
    let mut builder = Edge::builder(edge).store(opened.store).feed(opened.feed);
    if let Some(presence) = opened.presence {
        builder = builder.presence(presence);
    }
    if let Some(verifier) = verifier {
        builder = builder.verifier(verifier);
    }
    let edge = builder.build()?;
    let handle = edge.handle();

    let conf = ServerConf {
        threads: workers,
        // The drain has taken its time before Pingora hears of the end.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(5),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let engine = server.add_services(edge.services());

    let host = Host::new(handle.clone(), upstream, development);
    let proxy = http_proxy(&server.configuration, host);
    let mut listener = Listener::new("edge", proxy, sockets, head_time).on_start(move || {
        let api = ports.get(1).map(tracing::field::display);
        let tls = tls_port.map(tracing::field::display);
        tracing::info!(ws = %ports[0], api, tls, admin = %admin_port, "listening");
    });
    if let Some(Tls { certificate, .. }) = tls {
        listener = listener.tls(Acceptor::new(&certificate, &handle)?, tls_sockets, certificate);
    }
    let proxy = server.add_service(listener);
    proxy.add_dependencies(&engine);
    let admin_app = HttpServer::new_app(Admin(handle.clone()));
    server.add_service(Listener::new("admin", admin_app, vec![admin], head_time));

    tracing::info!(
        mode = if development { "development" } else { "production" },
        storage = opened.what,
        workers,
        "starting"
    );
    server.run(RunArgs { shutdown_signal: handle.shutdown_signal() });
    (opened.close)();
    tracing::info!("stopped");
    Ok(())
}

/// The addresses of sockets, after those on 127.0.0.1 got one on ::1 beside them: `localhost` may mean that first. Where
/// there is no IPv6, or the port is taken there, 127.0.0.1 has to do.
fn bind_beside(sockets: &mut Vec<TcpListener>) -> anyhow::Result<Vec<SocketAddr>> {
    let ports = sockets.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let others = ports.iter().filter(|port| port.ip() == Ipv4Addr::LOCALHOST);
    sockets.extend(others.filter_map(|port| listener::bind((Ipv6Addr::LOCALHOST, port.port()).into()).ok()));
    Ok(ports)
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    listener::bind(address).with_context(|| format!("{address} cannot be bound"))
}
