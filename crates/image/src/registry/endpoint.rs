//! Where a registry is, and with whom plain HTTP may be spoken. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Docker Hub's registry does not live under its name.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Host and port to connect to for the registry `domain` of a reference.
#[must_use]
pub fn authority(domain: &str) -> &str {
    if domain == "docker.io" { DOCKER_HUB_HOST } else { domain }
}

/// Whether plain HTTP may be spoken with `authority` (`host[:port]`): it is this host itself, or a name in `insecure`,
/// where `host` stands for all of the host's ports.
#[must_use]
pub fn may_be_plain(authority: &str, insecure: &[String]) -> bool {
    let is_named = |name: &String| name == authority || name == host_of(authority);
    is_loopback(authority) || insecure.iter().any(is_named)
}

/// Whether `authority` is this host itself.
#[must_use]
pub fn is_loopback(authority: &str) -> bool {
    let host = host_of(authority);
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Whether a token server may be asked, perhaps with a password: over TLS always, else only where the registry itself
/// was spoken to plainly and the token server may be, too.
#[must_use]
pub fn may_authorize_at(realm: &reqwest::Url, registry_is_plain: bool, insecure: &[String]) -> bool {
    match realm.scheme() {
        "https" => true,
        "http" => {
            let host = realm.host_str().unwrap_or_default();
            let authority = realm
                .port()
                .map_or_else(|| host.into(), |port| format!("{host}:{port}"));
            registry_is_plain && may_be_plain(&authority, insecure)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_plain(authority: &str, insecure: &[&str], plain: bool) {
        let insecure: Vec<_> = insecure.iter().map(ToString::to_string).collect();
        assert_eq!(may_be_plain(authority, &insecure), plain, "{authority} {insecure:?}");
    }

    #[test]
    fn only_this_host_and_named_hosts_are_plain() {
        for authority in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.3.2.1",
            "[::1]:5000",
        ] {
            check_plain(authority, &[], true);
        }
        for authority in [
            "docker.io",
            "10.0.0.1:5000",
            "localhost.example",
            "127.0.0.1.example",
            "[::2]:5000",
        ] {
            check_plain(authority, &[], false);
        }
        check_plain("10.0.0.1:5000", &["10.0.0.1:5000"], true);
        check_plain("10.0.0.1:5001", &["10.0.0.1:5000"], false);
        check_plain("10.0.0.1:5001", &["10.0.0.1"], true);
    }

    #[test]
    fn a_password_goes_out_plainly_only_where_the_registry_is_plain() {
        let check = |realm: &str, plain: bool, allowed: bool| {
            assert_eq!(
                may_authorize_at(&realm.parse().unwrap(), plain, &[]),
                allowed,
                "{realm}"
            );
        };
        check("https://auth.example/token", false, true);
        check("http://auth.example/token", false, false);
        check("http://auth.example/token", true, false);
        check("http://127.0.0.1:5001/token", true, true);
        check("http://127.0.0.1:5001/token", false, false);
        check("file:///etc/passwd", true, false);
    }
}
