//! `mote network`: networks that tasks share.

use anyhow::{Result, anyhow};
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
    let request = CreateNetwork {
        name: arguments.name,
        subnet: arguments.subnet,
        internal: arguments.internal,
        labels: labels(&[], &arguments.label)?,
    };
    let network = host::connect(host).await?.create_network(&request).await?;
    output::line(&network.name)?;
    Ok(0)
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
    vec![
        network.name.clone(),
        network.subnet.clone(),
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
