//! `mote agent install`: has systemd run the host agent.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::args::AgentInstall;
use crate::{host, output};

/// `mote agent install`.
pub fn install(arguments: &AgentInstall) -> Result<u8> {
    let executable = host::agent_executable()?;
    let unit = unit(&executable, &arguments.options)?;
    if arguments.print {
        output::bytes(unit.as_bytes())?;
        return Ok(0);
    }
    let path = &arguments.unit;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    std::fs::write(path, unit).with_context(|| format!("cannot write the unit {}", path.display()))?;
    output::note(&format!(
        "wrote {}: start it with `systemctl daemon-reload && systemctl enable --now {name}`",
        path.display()
    ));
    Ok(0)
}

/// The unit. Tasks outlive the host agent, so systemd is to end its main process alone, and to leave the control groups of tasks to it. It stands
/// in the first slice of all, since memory is kept for a service only as far as it is kept for the slice around it.
fn unit(executable: &Path, options: &[String]) -> Result<String> {
    let mut line = quoted(&executable.display().to_string())?;
    for option in options {
        line.push(' ');
        line.push_str(&quoted(option)?);
    }
    Ok(format!(
        "\
[Unit]
Description=mote: containers in microVMs of exactly the size asked for
Documentation=man:mote(1)
Wants=network-online.target
After=network-online.target

[Service]
Type=simple
ExecStart={line}
Restart=on-failure
RestartSec=1
KillMode=process
Delegate=yes
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-500
Slice=-.slice
MemoryMin=64M
CPUWeight=1000

[Install]
WantedBy=multi-user.target
"
    ))
}

/// A word as systemd.service(5) quotes it.
fn quoted(word: &str) -> Result<String> {
    if word.contains(char::is_control) {
        bail!("the option {word:?} cannot stand in a unit");
    }
    let escaped = word.replace('%', "%%").replace('$', "$$");
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-:=,%$@+".contains(character);
    if !escaped.is_empty() && escaped.chars().all(is_plain) {
        return Ok(escaped);
    }
    Ok(format!("\"{}\"", escaped.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_left_alone_when_the_host_agent_ends() {
        let options = ["--listen", "127.0.0.1:7711", "--state", "/srv/my tasks"].map(str::to_owned);
        let unit = unit(Path::new("/usr/bin/mote-agent"), &options).unwrap();
        for line in [
            "ExecStart=/usr/bin/mote-agent --listen 127.0.0.1:7711 --state \"/srv/my tasks\"",
            "KillMode=process",
            "Delegate=yes",
            "LimitNOFILE=1048576",
            "MemoryMin=64M",
            "CPUWeight=1000",
            "Slice=-.slice",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line} is not in\n{unit}");
        }
    }

    #[test]
    fn what_systemd_would_read_otherwise_is_escaped() {
        assert_eq!(quoted("100%").unwrap(), "100%%");
        assert_eq!(quoted("$HOME").unwrap(), "$$HOME");
        assert_eq!(quoted(r#"a "b" \c"#).unwrap(), r#""a \"b\" \\c""#);
        assert_eq!(quoted("").unwrap(), "\"\"");
        assert!(quoted("a\nb").is_err());
    }
}
