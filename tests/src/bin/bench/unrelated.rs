//! What one update costs beside subscriptions that it does not touch. The rule: the same subscribers get the same frames
//! each time; only what others hold differs, and they must be told nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::contender::Edge;
use crate::dialect::Scope;
use crate::fanout::{Pace, Run};
use crate::publisher::Publisher;
use crate::server::Server;
use crate::swarm::{HANDSHAKES, Swarm};

/// Who is told.
pub(crate) const OWN: usize = 100;

/// What others hold.
#[derive(Clone, Copy)]
pub(crate) enum Others {
    /// So many connections with so many ids each, no id twice.
    OtherIds { connections: usize, each: usize },
    /// So many connections with the very id, half of them of other clients of the organization, half of other
    /// organizations.
    OtherTenants { connections: usize },
}

/// The server counts as idle when it used less than this share of a core for [`QUIET`].
const REST: f64 = 0.1;
const QUIET: Duration = Duration::from_secs(3);
/// Many subscriptions are read from the store for a while.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// How long is looked afterwards for what they should not have been told.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// One measurement.
pub(crate) struct Measured {
    /// CPU time of the server for each update, in µs, without what it uses anyway.
    pub(crate) cpu_micros: f64,
    /// That is the share of a core, in percent, that it uses while nothing happens.
    pub(crate) idle_percent: f64,
    pub(crate) p99_ms: f64,
}

/// Updates one id of one client as fast as its subscribers get it, while others hold their subscriptions.
pub(crate) fn measure(edge: Edge<'_>, others: Others, during: Duration) -> Result<Measured> {
    let server = edge.start()?;
    let mut crowd = Swarm::new(server.front())?;
    match others {
        Others::OtherIds { connections, each } => {
            let each = u32::try_from(each)?;
            // 0 is the id that is updated. There are fewer ids than a u32 counts.
            let ids = |nth| (1..=each).map(|id| u32::try_from(nth).unwrap_or(u32::MAX) * each + id).collect();
            crowd.grow(connections, HANDSHAKES, &mut { ids })?;
        }
        Others::OtherTenants { connections } => {
            crowd = crowd.within(other_tenant);
            crowd.grow(connections, HANDSHAKES, &mut |_| vec![0])?;
        }
    }
    let own = Swarm::new(server.front())?.within(|_| own_scope());
    let publisher = Publisher::connect(&server)?.within(own_scope());
    let idle = rest(&server, &mut crowd)?;
    let mut run = Run::begin(&server, own, publisher, OWN, 1)?;
    crowd.begin(&[]);
    let measured = run.at(Pace::Sustained { during })?;
    ensure!(measured.failed.is_none(), "{}", measured.failed.unwrap_or_default());
    // All that was sent to them is here by now.
    listen(&mut crowd, AFTERWARDS)?;
    if let Some(reason) = crowd.shortfall(&[], true) {
        anyhow::bail!("others were told something: {reason}");
    }
    let anyway = idle * 1e6 / measured.updates_per_second;
    Ok(Measured {
        cpu_micros: measured.cpu_micros_per_update - anyway,
        idle_percent: idle * 100.0,
        p99_ms: measured.p99_ms,
    })
}

fn own_scope() -> Scope {
    Scope { organization: "own".to_owned(), client: "own".to_owned() }
}

fn other_tenant(nth: usize) -> Scope {
    let organization = if nth.is_multiple_of(2) { "own".to_owned() } else { format!("other-{}", nth % 100) };
    Scope { organization, client: format!("other-{nth}") }
}

/// Waits until the server has done what many subscriptions left it to do, and answers what share of a core it uses then:
/// what is watched is read again, slowly, all the time.
fn rest(server: &Server, crowd: &mut Swarm) -> Result<f64> {
    let start = Instant::now();
    loop {
        let (before, from) = (server.cpu()?, Instant::now());
        listen(crowd, QUIET)?;
        let used = (server.cpu()? - before).as_secs_f64() / from.elapsed().as_secs_f64();
        if used < REST {
            return Ok(used);
        }
        ensure!(start.elapsed() < REST_WITHIN, "the server does not come to rest");
    }
}

/// Takes in what comes to them for so long: they are asked for signs of life now and then.
fn listen(crowd: &mut Swarm, during: Duration) -> Result<()> {
    let end = Instant::now() + during;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        crowd.turn(left)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_tenant_is_the_own_one() {
        let scopes: Vec<Scope> = (0..100).map(other_tenant).collect();
        assert!(scopes.iter().all(|scope| scope.client != own_scope().client));
        let same = scopes.iter().filter(|scope| scope.organization == own_scope().organization).count();
        assert_eq!(same, 50, "half of them are of the same organization");
    }
}
