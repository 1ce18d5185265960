//! Which versions of the peers were measured. The rule: an installed part is asked itself or its package is, and nothing is
//! said of what does not tell.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::peers::{self, Peer};

/// The module's own list of what the peer was built with.
const CENTRIFUGE: &str = include_str!("../../../bench/peers/centrifuge/go.mod");

/// One sentence that names every installed peer with its version.
pub(crate) fn sentence() -> String {
    let known = Peer::ALL.into_iter().filter(|peer| peer.missing().is_none()).filter_map(of).collect::<Vec<_>>();
    if known.is_empty() { "No peer is installed.".to_owned() } else { format!("Peers: {}.", known.join(", ")) }
}

/// Name and version of a peer, with those of the program that it runs in.
fn of(peer: Peer) -> Option<String> {
    match peer {
        Peer::Ws => on_node("ws"),
        Peer::Uws => on_node("@trufflesuite/uws-js-unofficial"),
        Peer::Nchan => {
            let nchan = said(Command::new("dpkg-query").args(["-W", "-f", "${Version}", "libnginx-mod-nchan"]))?;
            Some(format!("nchan {nchan} in nginx {}", number(&said(Command::new(peers::NGINX).arg("-v"))?)?))
        }
        Peer::Nats => {
            let program = analytics_tests::nats::program().ok()?;
            Some(format!("nats-server {}", number(&said(Command::new(program).arg("--version"))?)?))
        }
        Peer::Centrifuge => {
            let version = CENTRIFUGE.lines().find_map(|line| line.split_once("centrifugal/centrifuge v"))?.1;
            Some(format!("centrifuge {version}"))
        }
    }
}

fn on_node(package: &str) -> Option<String> {
    let manifest = peers::folder().join("node/node_modules").join(package).join("package.json");
    let version = version_in(&manifest)?;
    Some(format!("{package} {version} on Node.js {}", number(&said(Command::new("node").arg("--version"))?)?))
}

fn version_in(manifest: &Path) -> Option<String> {
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
    Some(manifest.get("version")?.as_str()?.to_owned())
}

/// What a program says, on either output.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// The first number with dots in what a program says of its version.
fn number(said: &str) -> Option<&str> {
    let mut words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        assert_eq!(number("nginx version: nginx/1.22.1"), Some("1.22.1"));
        assert_eq!(number("nats-server: v2.15.2"), Some("2.15.2"));
        assert_eq!(number("v20.20.2"), Some("20.20.2"));
        assert_eq!(number("no version 7"), None);
    }

    #[test]
    fn the_module_of_centrifuge_tells_its_version() {
        assert!(of(Peer::Centrifuge).is_some_and(|said| number(&said).is_some()));
    }
}
