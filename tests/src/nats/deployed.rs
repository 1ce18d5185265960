//! The servers of `infra/nats`, as they are deployed. The rule: the files are those of the repository; only what a
//! machine's own file is for (addresses, directories, certificates) differs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{Kind, NatsServer};

/// The configuration in the repository.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/nats");

/// Secrets and a certificate, for any number of servers.
#[derive(Debug, Clone)]
pub struct Site(Arc<TempDir>);

/// One server of a site.
#[derive(Debug, Clone)]
pub(super) struct Deployed {
    site: Site,
    /// Where the hub takes leaf nodes, if this is one.
    leaf_of: Option<SocketAddr>,
    /// Whether this leaf node lets its own clients do anything.
    lax: bool,
}

impl Site {
    /// Makes secrets by the script of the repository, and a certificate for 127.0.0.1.
    pub fn new() -> Result<Site> {
        let site = Site(Arc::new(tempfile::tempdir().context("create a directory for secrets")?));
        let mut make = Command::new(Path::new(FILES).join("make-secrets"));
        make.arg(site.0.path()).arg("127.0.0.1");
        run(make)?;
        let mut certify = Command::new("openssl");
        certify.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        certify.args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]);
        certify.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        certify.arg("-keyout").arg(site.key()).arg("-out").arg(site.certificate());
        run(certify)?;
        Ok(site)
    }

    /// Starts the hub.
    pub async fn hub(&self) -> Result<NatsServer> {
        NatsServer::start(self.server(None, false)).await
    }

    /// Starts a leaf node of a hub.
    pub async fn leaf(&self, hub: &NatsServer) -> Result<NatsServer> {
        NatsServer::start(self.server(hub.leaves, false)).await
    }

    /// Starts a leaf node whose administrator lets its own clients do anything.
    pub async fn lax_leaf(&self, hub: &NatsServer) -> Result<NatsServer> {
        NatsServer::start(self.server(hub.leaves, true)).await
    }

    /// `ANALYTICS_NATS_URL` of a program (`relay`, `proxy`, `leaf-proxy`), with a server's address in it.
    pub fn url(&self, program: &str, server: &NatsServer) -> Result<String> {
        let file = fs::read_to_string(self.0.path().join(format!("{program}.env")))?;
        let url = file.lines().find_map(|line| line.strip_prefix("ANALYTICS_NATS_URL=")).context("no URL")?;
        let (user, _) = url.split_once('@').context("no user")?;
        Ok(format!("{user}@{}", server.address))
    }

    /// The certificate that the servers show, which is also the authority that signed it.
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn server(&self, leaf_of: Option<SocketAddr>, lax: bool) -> Kind {
        Kind::Deployed(Deployed { site: self.clone(), leaf_of, lax })
    }
}

impl Deployed {
    pub(super) fn is_hub(&self) -> bool {
        self.leaf_of.is_none()
    }

    /// Copies the configuration into a server's directory, and answers where its main file is.
    pub(super) fn configure(&self, to: &Path, address: SocketAddr, leaves: Option<SocketAddr>) -> Result<PathBuf> {
        for directory in [Path::new(FILES), self.site.0.path()] {
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|end| end == "conf")) {
                    fs::copy(&path, to.join(name))?;
                }
            }
        }
        if self.lax {
            fs::write(to.join("proxy-permissions.conf"), "PROXY: { publish: \">\", subscribe: \">\" }\n")?;
        }
        let certificate = self.site.certificate().display().to_string();
        let own = |file: &str, values: &[(&str, String)]| -> Result<()> {
            let path = to.join(file);
            let mut text = fs::read_to_string(&path)?;
            for (value, other) in values {
                ensure!(text.matches(value).count() == 1, "{file} has {value} once");
                text = text.replace(value, other);
            }
            Ok(fs::write(path, text)?)
        };
        // A free port for the pages that no test reads.
        let monitor = ("127.0.0.1:8222", "127.0.0.1:-1".to_owned());
        match self.leaf_of {
            None => {
                let leaves = leaves.context("a hub has an address for leaf nodes")?;
                own(
                    "hub-site.conf",
                    &[
                        ("0.0.0.0:4222", address.to_string()),
                        ("0.0.0.0:7422", leaves.to_string()),
                        monitor,
                        ("/var/lib/nats", to.join("store").display().to_string()),
                        ("/etc/nats/tls/server.crt", certificate),
                        ("/etc/nats/tls/server.key", self.site.key().display().to_string()),
                    ],
                )?;
                Ok(to.join("hub.conf"))
            }
            Some(hub) => {
                let authorities = ("/etc/ssl/certs/ca-certificates.crt", certificate);
                own("leaf-site.conf", &[("127.0.0.1:4222", address.to_string()), monitor, authorities])?;
                own("leaf-secrets.conf", &[("127.0.0.1:7422", hub.to_string())])?;
                Ok(to.join("leaf.conf"))
            }
        }
    }
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
