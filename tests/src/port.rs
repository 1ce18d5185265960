//! Ports for servers that come back on the same one. The rule: never one that the kernel gives to outgoing
//! connections, for whoever dials a port where nobody listens may be given that very port, and then talks to itself
//! and keeps the server out.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};

/// Below the usual range of outgoing connections (32 768 and up), above what services are registered for.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// How many are looked at.
const TRIES: usize = 100;

/// An address of this machine that was free just now; it may be taken before a server binds it.
pub fn free() -> Result<SocketAddr> {
    let mut candidates = (0..TRIES).map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(RANGE))));
    candidates.find(|address| TcpListener::bind(address).is_ok()).context("find a free port")
}
