//! `mote network`: networks that tasks share.

use anyhow::{Result, anyhow, bail};
use api::network::{CreateNetwork, Network};
use api::system::PruneRequest;

use super::confirmation::is_confirmed;
use super::task_name::for_each;
use crate::args::{NetworkCreate, NetworkInspect, NetworkLs, NetworkPrune, NetworkVerb};
use crate::value::{Filter, Moment, labels, matches};
use crate::{host, output};

const HEADER: [&str; 5] = ["NAME", "SUBNET", "INTERNAL", "TASKS", "AGE"];

/// `mote network`.
pub async fn network(host: Option<String>, verb: NetworkVerb) -> Result<u8> {
    match verb {
        NetworkVerb::Create(arguments) => create(host, arguments).await,
        NetworkVerb::Ls(arguments) => list(host, arguments).await,
        NetworkVerb::Inspect(arguments) => inspect(host, arguments).await,
        NetworkVerb::Rm(arguments) => {
            let client = host::connect(host).await?;
            for_each(&arguments.names, async |name| {
                client.remove_network(&name).await?;
                Ok(name)
            })
            .await
        }
        NetworkVerb::Prune(arguments) => prune(host, arguments).await,
    }
}

async fn create(host: Option<String>, arguments: NetworkCreate) -> Result<u8> {
    let (subnet, subnet_ipv6) = subnets(arguments.subnet)?;
    let request = CreateNetwork {
        name: arguments.name,
        subnet,
        ipv6: arguments.ipv6,
        subnet_ipv6,
        internal: arguments.internal,
        labels: labels(&[], &arguments.label)?,
    };
    let network = host::connect(host).await?.create_network(&request).await?;
    output::line(&network.name)?;
    Ok(0)
}

/// Of what was given, the addresses of IPv4 and those of IPv6.
fn subnets(given: Vec<String>) -> Result<(Option<String>, Option<String>)> {
    let (mut sixth, mut fourth): (Vec<_>, Vec<_>) = given.into_iter().partition(|subnet| subnet.contains(':'));
    let found = (fourth.pop(), sixth.pop());
    match fourth.pop().or(sixth.pop()) {
        Some(other) => bail!("a network has one --subnet of IPv4 and one of IPv6: leave {other} out"),
        None => Ok(found),
    }
}

async fn list(host: Option<String>, arguments: NetworkLs) -> Result<u8> {
    let mut chosen = Vec::new();
    for network in host::connect(host).await?.networks().await? {
        if fits(&network, &arguments.filter)? {
            chosen.push(network);
        }
    }
    let now = Moment::now();
    let name = |network: &Network| network.name.clone();
    output::quiet_list(
        &arguments.listing,
        &chosen,
        &HEADER,
        |network| row(network, now.unix_ms),
        name,
    )?;
    Ok(0)
}

fn fits(network: &Network, filters: &[Filter]) -> Result<bool> {
    let has = |key: &str, value: &str| {
        Some(match (key, value.split_once('=')) {
            ("name", _) => network.name.contains(value),
            ("label", None) => network.labels.contains_key(value),
            ("label", Some((label, value))) => network.labels.get(label).is_some_and(|found| found == value),
            _ => return None,
        })
    };
    matches(filters, has).map_err(|sentence| anyhow!(sentence))
}

fn row(network: &Network, now_unix_ms: u64) -> Vec<String> {
    let created = network.created_unix_ms;
    let age = created.map(|created| output::age(now_unix_ms.saturating_sub(created) / 1000));
    let internal = if network.internal { "yes" } else { "no" };
    let subnets: Vec<&str> = [Some(&network.subnet), network.subnet_ipv6.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    vec![
        network.name.clone(),
        subnets.join(", "),
        internal.to_owned(),
        network.tasks.len().to_string(),
        age.unwrap_or_default(),
    ]
}

async fn inspect(host: Option<String>, arguments: NetworkInspect) -> Result<u8> {
    let client = host::connect(host).await?;
    let mut found = Vec::new();
    for name in &arguments.names {
        found.push(client.network(name).await?);
    }
    let now = Moment::now();
    output::list(&arguments.format, &found, &HEADER, |network| row(network, now.unix_ms))?;
    Ok(0)
}

async fn prune(host: Option<String>, arguments: NetworkPrune) -> Result<u8> {
    if !arguments.force && !is_confirmed("all networks that no task is in")? {
        return Ok(0);
    }
    let request = PruneRequest {
        networks: true,
        until_ms: arguments.until.map(|moment| moment.unix_ms),
        ..PruneRequest::default()
    };
    for name in host::connect(host).await?.prune(&request).await?.networks {
        output::line(&name)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front() -> Network {
        Network {
            name: "front".to_owned(),
            subnet: "172.30.0.0/24".to_owned(),
            gateway: [172, 30, 0, 1].into(),
            subnet_ipv6: None,
            gateway_ipv6: None,
            internal: true,
            labels: [("team".to_owned(), "blue".to_owned())].into(),
            created_unix_ms: Some(1000),
            problem: None,
            tasks: vec![],
        }
    }

    #[test]
    fn a_network_is_a_row() {
        assert_eq!(
            row(&front(), 121_000),
            ["front", "172.30.0.0/24", "yes", "0", &output::age(120)]
        );
        let both = Network {
            subnet_ipv6: Some("fd00::/64".to_owned()),
            ..front()
        };
        assert_eq!(row(&both, 121_000)[1], "172.30.0.0/24, fd00::/64");
    }

    #[test]
    fn a_subnet_of_each_kind_is_enough() {
        let check = |given: &[&str]| subnets(given.iter().map(|&text| text.to_owned()).collect());
        let [fourth, sixth] = ["10.0.0.0/24", "fd00::/64"].map(|text| Some(text.to_owned()));
        assert_eq!(check(&[]).unwrap(), (None, None));
        assert_eq!(check(&["fd00::/64"]).unwrap(), (None, sixth.clone()));
        assert_eq!(check(&["fd00::/64", "10.0.0.0/24"]).unwrap(), (fourth, sixth));
        let refusal = check(&["fd00::/64", "fd01::/64"]).unwrap_err().to_string();
        assert!(refusal.ends_with("leave fd00::/64 out"), "{refusal}");
    }

    #[test]
    fn networks_are_found_by_name_and_label() {
        for (filter, expected) in [
            ("name=ron", true),
            ("name=back", false),
            ("label=team", true),
            ("label=team=blue", true),
            ("label=team=red", false),
        ] {
            assert_eq!(
                fits(&front(), &[filter.parse().unwrap()]).unwrap(),
                expected,
                "{filter}"
            );
        }
        fits(&front(), &["driver=bridge".parse().unwrap()]).unwrap_err();
    }
}
