//! What the host's resolver is configured with: resolv.conf(5).

use std::net::IpAddr;

/// The most name servers that are asked, as in the C library.
const SERVERS_MAX: usize = 3;

/// The most search domains and options that are passed on.
const WORDS_MAX: usize = 32;

/// The host's resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolvers {
    /// Name servers, in the order in which they are asked.
    pub servers: Vec<IpAddr>,
    /// Domains that are tried for short names.
    pub search_domains: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

impl Resolvers {
    /// Name servers that others than this host can reach.
    #[must_use]
    pub fn reachable_servers(&self) -> Vec<IpAddr> {
        let servers = self.servers.iter();
        servers
            .filter(|server| server.is_ipv4() && !server.is_loopback())
            .copied()
            .collect()
    }
}

/// Reads the file. What is not understood says nothing, as in the C library.
#[must_use]
pub fn parse(text: &str) -> Resolvers {
    let mut resolvers = Resolvers::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                let server = words.next().and_then(|word| word.split('%').next());
                resolvers
                    .servers
                    .extend(server.and_then(|server| server.parse::<IpAddr>().ok()));
            }
            // The last line counts.
            Some("search" | "domain") => resolvers.search_domains = words.take(WORDS_MAX).map(str::to_owned).collect(),
            Some("options") => resolvers.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    resolvers.servers.truncate(SERVERS_MAX);
    resolvers.options.truncate(WORDS_MAX);
    resolvers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_file_is_read() {
        let text = "# made by hand\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\noptions edns0 trust-ad\nsearch one.example\nsearch two.example three.example\n";
        let resolvers = parse(text);
        assert_eq!(
            resolvers.servers,
            ["127.0.0.53".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]
        );
        assert_eq!(resolvers.search_domains, ["two.example", "three.example"]);
        assert_eq!(resolvers.options, ["edns0", "trust-ad"]);
        assert!(resolvers.reachable_servers().is_empty());
    }

    #[test]
    fn there_are_bounds_and_nonsense_says_nothing() {
        let many = "nameserver 10.0.0.1\n".repeat(9) + "nameserver x\nnonsense\n";
        assert_eq!(parse(&many).servers.len(), SERVERS_MAX);
        assert_eq!(
            parse(&("options".to_owned() + &" a".repeat(99))).options.len(),
            WORDS_MAX
        );
        assert_eq!(parse("nameserver\n"), Resolvers::default());
    }
}
