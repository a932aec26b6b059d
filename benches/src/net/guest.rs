//! What runs in every guest alike, and what it says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::patience;

/// Where the program that gives bytes back listens.
const ECHO_PORT: u16 = 7002;

/// Reads and writes the file system in `/data` past the page cache: in turn, and here and there.
pub const DISK: &str = "fio --output-format=json --directory=/data --filename=data --size=16m --direct=1 --ioengine=psync --thread \
    --name=write --rw=write --bs=128k --stonewall --name=read --rw=read --bs=128k --stonewall \
    --name=randwrite --rw=randwrite --bs=4k --io_size=8m --stonewall --name=randread --rw=randread --bs=4k --io_size=8m";

/// The jobs of [`DISK`], and whether each is judged by bytes rather than by requests.
const JOBS: [(&str, &str, bool); 4] = [
    ("write", "write", true),
    ("read", "read", true),
    ("randwrite", "write", false),
    ("randread", "read", false),
];

/// Bytes that iperf3 carries each way, and round trips.
const CARRIED: &str = "32M";
const ROUND_TRIPS: u32 = 1000;
const ROUND_TRIPS_BEFORE: u32 = 100;

/// One figure of one guest: what, in which unit, how much.
pub type Measured = (String, &'static str, f64);

/// The shell's command line that serves iperf3 and gives bytes back, which the program `worker` does.
pub fn serve(worker: &str) -> String {
    format!("iperf3 -s >/dev/null 2>&1 & exec {worker} echo {ECHO_PORT}")
}

/// Measures the network of the guest that [`serve`]s at `address`.
pub fn network(address: &str) -> Result<Vec<Measured>> {
    let connect = || TcpStream::connect((address, ECHO_PORT)).ok();
    let mut stream = patience::until(&format!("the guest at {address} listens"), connect)?;
    stream.set_nodelay(true).context("cannot send single bytes")?;
    let mut begun = Instant::now();
    for turn in 0..ROUND_TRIPS_BEFORE + ROUND_TRIPS {
        if turn == ROUND_TRIPS_BEFORE {
            begun = Instant::now();
        }
        stream.write_all(b".").context("cannot send a byte")?;
        stream.read_exact(&mut [0]).context("a byte does not come back")?;
    }
    let trips = f64::from(ROUND_TRIPS) / begun.elapsed().as_secs_f64();
    Ok(vec![
        ("host to guest".into(), "Mbit/s", iperf3(address, &[])?),
        ("guest to host".into(), "Mbit/s", iperf3(address, &["--reverse"])?),
        ("round trips of one byte".into(), "1/s", trips),
    ])
}

fn iperf3(address: &str, options: &[&str]) -> Result<f64> {
    let mut command = Command::new("iperf3");
    command
        .args(["--client", address, "--bytes", CARRIED, "--json"])
        .args(options);
    let output = command.output().context("cannot run iperf3")?;
    let said: Value = serde_json::from_slice(&output.stdout).context("iperf3 printed no JSON")?;
    if let Some(error) = said["error"].as_str() {
        bail!("iperf3 failed: {error}");
    }
    let rate = said["end"]["sum_received"]["bits_per_second"].as_f64();
    Ok(rate.context("iperf3 says no rate")? / 1e6)
}

/// Reads what [`DISK`] prints.
pub fn disk(said: &[u8]) -> Result<Vec<Measured>> {
    let said: Value = serde_json::from_slice(said).context("fio printed no JSON")?;
    let job = |(name, direction, is_bytes): &(&str, &str, bool)| {
        let jobs = said["jobs"].as_array().context("fio had no jobs")?;
        let job = jobs.iter().find(|job| job["jobname"] == *name);
        let done = &job.with_context(|| format!("fio did not do: {name}"))?[*direction];
        let (what, unit, value) = if *is_bytes {
            ("in turn", "MB/s", done["bw_bytes"].as_f64().map(|bytes| bytes / 1e6))
        } else {
            ("here and there", "1/s", done["iops"].as_f64())
        };
        let value = value.with_context(|| format!("fio says no rate of: {name}"))?;
        Ok((format!("{direction} {what}"), unit, value))
    };
    JOBS.iter().map(job).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fio_prints_is_read() {
        let said = br#"{"jobs": [{"jobname": "write", "write": {"bw_bytes": 2000000, "iops": 1}}, {"jobname": "read", "read": {"bw_bytes": 3000000}},
            {"jobname": "randwrite", "write": {"iops": 40.5}}, {"jobname": "randread", "read": {"iops": 50}}]}"#;
        let values: Vec<f64> = disk(said).unwrap().into_iter().map(|(_, _, value)| value).collect();
        assert_eq!(values, [2.0, 3.0, 40.5, 50.0]);
        assert!(disk(br#"{"jobs": []}"#).is_err());
    }
}
