//! The servers, what presses them from the host, and what that says.

use std::process::Command;

use anyhow::{Context, Result};

/// A server.
pub struct Server {
    /// Its image, of which `MOTE_IMAGE_NAME` is the archive.
    pub image: &'static str,
    /// The memory of its container, in MiB.
    pub memory_mib: u32,
    /// A command that succeeds once it serves.
    pub ready: &'static [&'static str],
    /// What has to be done before the load, where something has.
    pub prepare: Option<&'static [&'static str]>,
    /// The load.
    pub load: &'static [&'static str],
    /// Reads what the load prints.
    pub read: fn(&str) -> Result<Served>,
}

/// What a server did under load.
#[derive(Debug, PartialEq)]
pub struct Served {
    /// What it did, and how often in a second.
    pub rates: Vec<(&'static str, f64)>,
    /// What went wrong.
    pub errors: f64,
}

/// What in a command stands for the server's address.
const ADDRESS: &str = "{address}";

/// All of them. Each is pressed for some ten seconds by a few connections.
pub const SERVERS: [Server; 3] = [
    Server {
        image: "nginx",
        memory_mib: 128,
        ready: &["wrk", "-t1", "-c1", "-d1s", "http://{address}/"],
        prepare: None,
        load: &["wrk", "-t1", "-c16", "-d10s", "--timeout", "60s", "http://{address}/"],
        read: wrk,
    },
    Server {
        image: "redis",
        memory_mib: 128,
        ready: &["redis-cli", "-h", ADDRESS, "ping"],
        prepare: None,
        load: &[
            "redis-benchmark",
            "-h",
            ADDRESS,
            "-t",
            "set,get",
            "-n",
            "20000",
            "-c",
            "16",
            "--csv",
        ],
        read: redis_benchmark,
    },
    Server {
        image: "postgres",
        memory_mib: 512,
        ready: &["pg_isready", "-h", ADDRESS],
        prepare: Some(&["pgbench", "-i", "-q", "-h", ADDRESS, "-U", "postgres", "postgres"]),
        load: &[
            "pgbench", "-n", "-T", "10", "-c", "4", "-h", ADDRESS, "-U", "postgres", "postgres",
        ],
        read: pgbench,
    },
];

/// A command against the server at `address`, of the words of which the first is the program.
pub fn command(words: &[&str], address: &str) -> Command {
    let mut words = words.iter().map(|word| word.replace(ADDRESS, address));
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn wrk(said: &str) -> Result<Served> {
    let rate = after(said, "Requests/sec:").context("wrk says no rate")?;
    let mut errors = after(said, "Non-2xx or 3xx responses:").unwrap_or_default();
    if let Some((_, rest)) = said.split_once("Socket errors:") {
        let line = rest.lines().next().unwrap_or_default();
        errors += line
            .split([' ', ','])
            .filter_map(|word| word.parse::<f64>().ok())
            .sum::<f64>();
    }
    Ok(Served {
        rates: vec![("requests", rate)],
        errors,
    })
}

/// Lines of `"GET","12345.67",...`. A failure ends the program.
fn redis_benchmark(said: &str) -> Result<Served> {
    let rate = |name: &'static str| {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(&format!("\"{name}\",\"")));
        let rate = line.and_then(|line| line.split('"').next()?.parse().ok());
        Ok((
            name,
            rate.with_context(|| format!("redis-benchmark says no rate of {name}"))?,
        ))
    };
    Ok(Served {
        rates: ["SET", "GET"].into_iter().map(rate).collect::<Result<_>>()?,
        errors: 0.0,
    })
}

fn pgbench(said: &str) -> Result<Served> {
    Ok(Served {
        rates: vec![("transactions", after(said, "tps =").context("pgbench says no rate")?)],
        errors: after(said, "number of failed transactions:").context("pgbench counts no failures")?,
    })
}

/// The number behind `words`.
fn after(said: &str, words: &str) -> Option<f64> {
    let (_, rest) = said.split_once(words)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let good = "  100 requests in 1.00s, 10KB read\nRequests/sec:   1234.50\nTransfer/sec: 1.0MB\n";
        assert_eq!(
            wrk(good).unwrap(),
            Served {
                rates: vec![("requests", 1234.5)],
                errors: 0.0
            }
        );
        let bad =
            "  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 4\nRequests/sec: 5\n";
        assert!((wrk(bad).unwrap().errors - 10.0).abs() < 1e-9);
        assert!(wrk("unable to connect").is_err());
    }

    #[test]
    fn what_redis_benchmark_prints_is_read() {
        let said = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"100.50\",\"0.1\"\n\"GET\",\"200.00\",\"0.1\"\n";
        assert_eq!(redis_benchmark(said).unwrap().rates, [("SET", 100.5), ("GET", 200.0)]);
        assert!(redis_benchmark("\"SET\",\"100.50\"").is_err());
    }

    #[test]
    fn what_pgbench_prints_is_read() {
        let said = "number of failed transactions: 2 (0.1%)\nlatency average = 1 ms\ntps = 321.5 (without initial connection time)\n";
        assert_eq!(
            pgbench(said).unwrap(),
            Served {
                rates: vec![("transactions", 321.5)],
                errors: 2.0
            }
        );
    }

    #[test]
    fn commands_name_the_address() {
        let command = command(SERVERS[0].load, "10.0.0.2");
        assert_eq!(command.get_args().last().unwrap(), "http://10.0.0.2/");
    }
}
