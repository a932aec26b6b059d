//! What the containers use.

use std::fs;

use protocol::guest::Usage;

use super::Task;

/// The kernel's counters of all interfaces (proc_pid_net(5)).
const COUNTERS: &str = "/proc/net/dev";

impl Task<'_> {
    /// What each container uses. The network is the guest's, and the same for all.
    pub(super) fn usage(&self) -> Vec<Usage> {
        let network = counters(&fs::read_to_string(COUNTERS).unwrap_or_default());
        let measured = self.containers.iter().map(|container| Usage {
            network_received_bytes: network[0],
            network_received_packets: network[1],
            network_sent_bytes: network[2],
            network_sent_packets: network[3],
            ..container.cgroup.usage(&container.description.name)
        });
        measured.collect()
    }
}

/// Bytes and packets received, bytes and packets sent, over all interfaces but the loopback one.
fn counters(text: &str) -> [u64; 4] {
    let mut sums = [0; 4];
    let interfaces = text.lines().filter_map(|line| line.split_once(':'));
    for (_, line) in interfaces.filter(|(name, _)| name.trim() != "lo") {
        let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
        for (sum, field) in sums.iter_mut().zip([0, 1, 8, 9]) {
            *sum += fields.get(field).copied().unwrap_or(0);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_but_the_loopback_counts() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs|bytes packets\n    \
            lo: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\n  eth0: 5000 40 0 0 0 0 0 0 700 8 0 0 0 0 0 0\n";
        assert_eq!(counters(text), [5000, 40, 700, 8]);
        assert_eq!(counters(""), [0; 4]);
    }
}
