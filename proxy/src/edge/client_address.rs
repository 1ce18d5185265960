//! The address of the client behind trusted proxies. The rule: a header counts only as far as the hop that wrote it
//! is trusted.

use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;
use ipnet::IpNet;

/// Networks whose `X-Forwarded-For` is believed: a comma-separated list of addresses and CIDR blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// An entry is neither an address nor a CIDR block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a CIDR block")]
pub struct InvalidNetwork(String);

impl TrustedProxies {
    /// The client's address: the last hop that is not a trusted proxy.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let mut hops: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        while self.trusts(client) {
            let Some(Ok(hop)) = hops.pop().map(|hop| hop.trim().parse::<IpAddr>()) else { break };
            client = hop.to_canonical();
        }
        client
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for TrustedProxies {
    type Err = InvalidNetwork;

    fn from_str(list: &str) -> Result<TrustedProxies, InvalidNetwork> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let networks = entries.map(|entry| {
            let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| InvalidNetwork(entry.to_owned()))
        });
        networks.collect::<Result<_, _>>().map(TrustedProxies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_hops_are_believed() {
        let trusted: TrustedProxies = "10.0.0.0/8, 192.168.1.1".parse().expect("valid");
        for (peer, forwarded, client) in [
            ("9.9.9.9", "1.2.3.4", "9.9.9.9"),
            ("10.1.1.1", "1.2.3.4", "1.2.3.4"),
            ("10.1.1.1", "6.6.6.6, 1.2.3.4, 192.168.1.1", "1.2.3.4"),
            ("10.1.1.1", "nonsense", "10.1.1.1"),
            ("10.1.1.1", "", "10.1.1.1"),
            ("::ffff:10.1.1.1", "2001:db8::1", "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().expect("a value"));
            let peer = peer.parse().expect("an address");
            assert_eq!(trusted.client(peer, &headers).to_string(), client, "{peer} {forwarded}");
        }
        assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
    }
}
