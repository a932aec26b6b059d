//! What host agents make in a host's network, counted.

use anyhow::Result;

use crate::world::{World, said};

/// What is there right now of the things by which tasks reach others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wires {
    /// Interfaces: the bridge's and those of tasks.
    pub interfaces: Vec<String>,
    /// Addresses of these interfaces.
    pub addresses: Vec<String>,
    /// Who is known to be behind the bridge.
    pub neighbours: Vec<String>,
    /// What the packet filter has of ours, rules and elements, a line each.
    pub rules: Vec<String>,
}

impl Wires {
    /// Counts in the host's namespace of `world`.
    ///
    /// # Errors
    /// Where a program fails.
    pub fn now(world: &World) -> Result<Self> {
        let lines = |program: &str| -> Result<Vec<String>> {
            Ok(said(&world.here, program)?.lines().map(str::to_owned).collect())
        };
        let links = lines("ip -brief link show")?;
        let addresses = lines("ip -brief address show")?;
        // What is between is the state, which an interface has of whoever uses it.
        let addresses = addresses.iter().flat_map(|line| {
            let mut words = line.split_whitespace();
            let name = interface(words.next().unwrap_or_default());
            words.skip(1).map(move |address| format!("{name} {address}"))
        });
        // A line each for elements of sets and maps.
        let rules = said(&world.here, "nft list ruleset")?.replace("elements = {", "\n");
        let rules = rules
            .split(['\n', ','])
            .map(|rule| rule.trim_matches([' ', '\t', '}']).to_owned());
        Ok(Self {
            interfaces: sorted(
                links
                    .iter()
                    .map(|line| interface(line).to_owned())
                    .filter(|line| line.starts_with("mote")),
            ),
            addresses: sorted(addresses.filter(|line| line.starts_with("mote"))),
            neighbours: sorted(lines("ip neighbour show nud permanent")?),
            rules: sorted(rules.filter(|rule| !rule.is_empty())),
        })
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What is published, as the packet filter has it.
    #[must_use]
    pub fn published(&self) -> Vec<&str> {
        let is_published = |line: &&String| line.contains("tcp . ") || line.contains("udp . ");
        self.rules.iter().filter(is_published).map(String::as_str).collect()
    }
}

fn sorted(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.into_iter().collect();
    words.sort();
    words
}

/// The name that a line begins with.
fn interface(line: &str) -> &str {
    line.split(['@', ' ']).next().unwrap_or_default()
}
