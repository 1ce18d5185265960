//! Promise: where a host ends TLS by itself, and its stream cannot be taken apart, its clients are served all the same.

use std::sync::Arc;
use std::time::Duration;

use analytics_proxy::FeedSource;
use analytics_proxy::store::{EmbeddedOptions, EmbeddedStore};
use analytics_tests::certificate::Certificate;
use analytics_tests::hosted::Hosted;
use analytics_tests::memory::Counter;
use analytics_tests::raw::{CLOSE, Raw, TEXT, handshake, masked};
use analytics_tests::socket::Dial;
use analytics_tests::tls_client::TlsClient;
use analytics_tests::wait;
use anyhow::{Result, ensure};
use lambda_trigger::CounterStore;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A host, its certificate, and where its counts are.
struct Scene {
    hosted: Hosted,
    certificate: Certificate,
    store: Arc<EmbeddedStore>,
    _data: TempDir,
}

impl Scene {
    async fn start() -> Result<Scene> {
        let data = tempfile::tempdir()?;
        let store = Arc::new(EmbeddedStore::open(EmbeddedOptions::new(data.path()))?);
        let certificate = Certificate::new()?;
        let of_edge: Arc<dyn CounterStore> = store.clone();
        let hosted = Hosted::start_with_own_tls(&certificate, of_edge, FeedSource::Embedded, |config| {
            config.workers = 1;
            config.messages_per_second = 10_000;
        })?;
        hosted.ready().await?;
        Ok(Scene { hosted, certificate, store, _data: data })
    }

    async fn gone(&self) -> Result<()> {
        wait::holds("the connections to be gone", || self.hosted.handle.status().connections == 0).await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.store.close();
    }
}

/// Promise: upgrade, subscribe, updates, and a close by either side, with its code; nobody is counted who is gone.
#[tokio::test]
async fn a_host_with_its_own_tls_adds_live_counts() -> Result<()> {
    let scene = Scene::start().await?;
    let (counter, mut socket) = (Counter::public("a"), scene.hosted.socket().await?);
    socket.ask(&json!({"type": "subscribe", "contentIds": ["a"]}), "subscribed").await?;
    for views in 1..=20 {
        let field = analytics_proxy::Field::Views;
        scene.hosted.handle.trigger_real_update("a", field, 1, None, None).await?;
        socket.shows(&counter, "views", views).await?;
    }
    ensure!(scene.hosted.handle.status().connections == 1);
    socket.close().await?;
    scene.gone().await?;

    let authority = scene.hosted.address.to_string();
    let mut violates = Raw::open(&authority).await?;
    violates.send(&[TEXT, 0]).await?;
    ensure!(violates.close_code().await? == Some(1002));
    ensure!(!violates.was_cut(), "TLS did not end in order");
    drop(Raw::open(&authority).await?);
    scene.gone().await
}

/// Promise: every byte that came before the answer is taken, in order, wherever it waited.
#[tokio::test]
async fn early_bytes_cross_the_bridge_in_order() -> Result<()> {
    let scene = Scene::start().await?;
    let authority = scene.hosted.address.to_string();
    let mut client = TlsClient::connect(&authority, scene.certificate.client()?).await?;
    client.shake_hands().await?;
    let mut early = handshake(&authority, "/analytics", "").into_bytes();
    for message in 0..40 {
        let text = format!("{{\"type\":\"subscribe\",\"contentIds\":[\"{message}-{}\"]}}", "x".repeat(200));
        early.extend(masked(TEXT, text.as_bytes()));
    }
    let wire = client.records(early.chunks(5000))?;
    client.send(&wire).await?;
    for message in 0..40 {
        client.until(&format!("[\"{message}-")).await?;
    }
    let wire = client.records([masked(CLOSE, &1000u16.to_be_bytes()).as_slice()])?;
    client.send(&wire).await?;
    client.until_bytes(&[CLOSE, 2, 0x03, 0xe8]).await?;
    ensure!(client.ends_in_order().await?, "TLS did not end in order");
    scene.gone().await
}

/// Promise: a client that does not read is told what is newest when it reads again, not all that was in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_behind_the_bridge_is_conflated() -> Result<()> {
    const IDS: usize = 200;
    const ROUNDS: u64 = 200;
    let scene = Scene::start().await?;
    let ids: Vec<String> = (0..IDS).map(|index| format!("content {index}")).collect();
    let authority = scene.hosted.address.to_string();
    let mut slow = Dial { receive_buffer: Some(4096), ..Dial::default() }.open_at(&authority).await?;
    slow.ask(&json!({"type": "subscribe", "contentIds": ids}), "subscribed").await?;
    slow.read(false);
    // Its listener answers one request on a connection: each call has its own.
    for _ in 0..ROUNDS {
        for part in ids.chunks(100) {
            let updates: Vec<Value> =
                part.iter().map(|id| json!({"contentId": id, "field": "views", "increment": 1})).collect();
            let reply = scene.hosted.api().trigger(&json!({"updates": updates}), None).await?;
            ensure!(reply.status == 200, "{}", reply.text());
        }
    }
    slow.read(true);
    for id in &ids {
        slow.shows(&Counter::public(id), "views", ROUNDS).await?;
    }
    let (told, all) = (slow.seen().updates, ROUNDS * IDS as u64);
    ensure!(told < all / 2, "{told} updates of {all} were told one by one");
    Ok(())
}

/// Promise: when the edge drains, the Close frame arrives through the bridge, and the drain ends.
#[tokio::test]
async fn a_drain_closes_bridged_clients_in_order() -> Result<()> {
    let scene = Scene::start().await?;
    let socket = scene.hosted.socket().await?;
    let mut raw = Raw::open(&scene.hosted.address.to_string()).await?;
    let handle = scene.hosted.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(Duration::ZERO).await });
    let end = socket.ended().await?;
    ensure!(end.code == Some(1012) && end.reason.starts_with("retry-after="), "{end:?}");
    ensure!(raw.close_code().await? == Some(1012));
    ensure!(!raw.was_cut(), "TLS did not end in order");
    drop((socket, raw));
    wait::within("the drain to end", drain).await??;
    ensure!(scene.hosted.handle.status().connections == 0);
    Ok(())
}
