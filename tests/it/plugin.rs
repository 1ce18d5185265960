//! An existing Pingora service with its own `ProxyHttp` and stock listener adds live counts: `examples/plugin.rs` of
//! the proxy, run as it is.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use analytics_tests::http::Http;
use analytics_tests::log::Log;
use analytics_tests::upstream::Upstream;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// The example's process and what it printed.
struct Plugin {
    child: Child,
    address: String,
    printed: Arc<Log>,
    _data: tempfile::TempDir,
}

impl Plugin {
    async fn start(backend: &str) -> Result<Plugin> {
        let data = tempfile::tempdir()?;
        // A stock listener cannot say which port it got: a free one is looked for before.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        // Tests run from `<target>/<profile>/deps`.
        let own = std::env::current_exe()?;
        let program = own.ancestors().nth(2).context("no target directory")?.join("examples").join("plugin");
        let mut child = Command::new(&program)
            .args([&address, backend])
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("start {}: build it with cargo build --workspace --all-targets", program.display())
            })?;
        let printed = Arc::new(Log::default());
        let stdout = child.stdout.take().context("no stdout")?;
        let log = printed.clone();
        thread::spawn(move || log.capture(stdout, |_| {}));
        let plugin = Plugin { child, address, printed, _data: data };
        wait::until("the plugin's host to listen", async || TcpStream::connect(&plugin.address).await.ok()).await?;
        Ok(plugin)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // Its own child, which may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Promise: the host's pages are served as before and counted by its own code, a socket on the same port shows the
/// counts, `Events` come, and the host's log sees a 101 and no token.
#[tokio::test]
async fn a_host_adds_live_counts() -> Result<()> {
    let upstream = Upstream::start().await?;
    let plugin = Plugin::start(upstream.url.trim_start_matches("http://")).await?;
    let url = format!("ws://{}/analytics?token=e30.e30.secret", plugin.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let subscribe = json!({"type": "subscribe", "contentIds": ["/a/page"]}).to_string();
    socket.send(Message::text(subscribe)).await?;

    let mut http = Http::new(plugin.address.clone());
    let page = http.get("/a/page").await?;
    ensure!(page.status == 200, "the upstream's page: {}", page.status);
    let update = wait::within("the view on the socket", async {
        loop {
            let message = socket.next().await.context("the socket ended")??;
            let message: Value = serde_json::from_str(message.to_text()?)?;
            if message["type"] == "analytics_update" && message["field"] == "views" {
                return Ok::<_, anyhow::Error>(message);
            }
        }
    })
    .await??;
    ensure!(update["value"] == 1 && update["contentId"] == "/a/page", "{update}");

    socket.close(None).await?;
    let printed = &plugin.printed;
    wait::holds("the host's own lines", || {
        printed.contains("/a/page has 1 views") && printed.contains("opened") && printed.contains("closed with 1005")
    })
    .await?;
    ensure!(printed.contains("GET /analytics 101"), "{:?}", printed.tail(20));
    ensure!(!printed.contains("secret"), "{:?}", printed.tail(20));
    Ok(())
}

/// Promise: bytes that come in one piece with the handshake are all there, in order, also behind the 64 KiB read
/// buffer of a stock listener.
#[tokio::test]
async fn early_bytes_survive_the_takeover() -> Result<()> {
    let upstream = Upstream::start().await?;
    let plugin = Plugin::start(upstream.url.trim_start_matches("http://")).await?;
    let ids: Vec<String> = (0..900).map(|n| format!("an id that is long enough to fill a buffer {n:05}")).collect();
    let message = json!({"type": "subscribe", "contentIds": ids}).to_string();
    ensure!((40_000..65_000).contains(&message.len()), "{} bytes", message.len());
    for _ in 0..20 {
        let mut bytes = format!(
            "GET /analytics HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            plugin.address
        )
        .into_bytes();
        // A mask of zeros leaves the payload as it is.
        bytes.extend([0x81, 0xfe]);
        bytes.extend((message.len() as u16).to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(message.as_bytes());
        let mut socket = TcpStream::connect(&plugin.address).await?;
        socket.write_all(&bytes).await?;
        let last = format!("{}\"]", ids[ids.len() - 1]);
        let mut received = Vec::new();
        wait::within("the answer to the early subscribe", async {
            while !received.windows(last.len()).any(|part| part == last.as_bytes()) {
                ensure!(socket.read_buf(&mut received).await? > 0, "the connection ended");
            }
            Ok(())
        })
        .await??;
        ensure!(received.starts_with(b"HTTP/1.1 101"), "the handshake's answer comes first");
    }
    Ok(())
}
