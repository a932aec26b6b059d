//! `mote logs`: what a task's containers wrote.

use anyhow::{Context, Result, bail};
use api::output::{LogLine, LogSource, LogsQuery};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::task_name::split_container;
use crate::args::Logs;
use crate::sink::{Sink, Target};
use crate::value::{Format, rfc3339};
use crate::{host, output};

/// `mote logs`.
pub async fn logs(host: Option<String>, arguments: Logs) -> Result<u8> {
    let (name, container) = split_container(&arguments.task, arguments.container);
    let client = host::connect(host).await?;
    let query = LogsQuery {
        container,
        since_ms: arguments.since.map(|moment| moment.unix_ms),
        until_ms: arguments.until.map(|moment| moment.unix_ms),
        tail: arguments.tail.0,
        follow: arguments.follow,
    };
    let mut writer = Writer::new(arguments.timestamps);
    if query.container.is_none() && client.task(&name).await?.containers.len() > 1 {
        writer.names_containers = true;
    }
    let mut lines = client.task_logs(&name, &query).await?;
    while let Some(line) = lines.next().await? {
        match &arguments.format {
            Format::Table => writer.write(&line).await?,
            other => output::streamed(other, &line)?,
        }
    }
    Ok(0)
}

/// Writes pieces of output where they were written to, each line with what belongs in front of it.
struct Writer {
    has_times: bool,
    names_containers: bool,
    stdout: Sink,
    stderr: Sink,
    // The container whose line is unfinished, on either.
    unfinished: Option<(String, LogSource)>,
}

impl Writer {
    const fn new(has_times: bool) -> Self {
        Self {
            has_times,
            names_containers: false,
            stdout: Sink::new(Target::Output),
            stderr: Sink::new(Target::Error),
            unfinished: None,
        }
    }

    async fn write(&mut self, line: &LogLine) -> Result<()> {
        let bytes = self.shown(line)?;
        let sink = match line.source {
            LogSource::Stderr => &mut self.stderr,
            LogSource::Stdout | LogSource::Terminal => &mut self.stdout,
        };
        sink.write(&bytes).await.context("cannot write the log")
    }

    fn shown(&mut self, line: &LogLine) -> Result<Vec<u8>> {
        let content = content(line)?;
        let whose = (line.container.clone(), line.source);
        let mut bytes = Vec::with_capacity(content.len() + 64);
        if self.unfinished.as_ref() != Some(&whose) {
            if self.has_times {
                bytes.extend(format!("{} ", rfc3339(line.time_ms)).bytes());
            }
            if self.names_containers {
                bytes.extend(format!("{} | ", line.container).bytes());
            }
        }
        self.unfinished = (content.last() != Some(&b'\n')).then_some(whose);
        bytes.extend(content);
        Ok(bytes)
    }
}

fn content(line: &LogLine) -> Result<Vec<u8>> {
    match (&line.text, &line.base64) {
        (Some(text), _) => Ok(text.clone().into_bytes()),
        (None, Some(base64)) => BASE64
            .decode(base64)
            .context("the host agent sent a line that is no base64"),
        (None, None) => bail!("the host agent sent a line without content"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(container: &str, text: &str) -> LogLine {
        LogLine {
            time_ms: 0,
            container: container.into(),
            source: LogSource::Stdout,
            text: Some(text.into()),
            base64: None,
        }
    }

    #[test]
    fn a_line_that_comes_in_pieces_has_one_time() {
        let mut writer = Writer::new(true);
        let mut shown = Vec::new();
        for piece in ["a", "b\n", "c\n"] {
            shown.extend(writer.shown(&line("main", piece)).unwrap());
        }
        let time = "1970-01-01T00:00:00.000Z";
        assert_eq!(String::from_utf8(shown).unwrap(), format!("{time} ab\n{time} c\n"));
    }

    #[test]
    fn bytes_are_shown_as_they_were_written() {
        let mut writer = Writer::new(false);
        let bytes = LogLine {
            text: None,
            base64: Some("/wAK".into()),
            ..line("main", "")
        };
        assert_eq!(writer.shown(&bytes).unwrap(), [0xff, 0, b'\n']);
    }

    #[test]
    fn containers_are_named_where_there_are_several() {
        let mut writer = Writer::new(false);
        writer.names_containers = true;
        assert_eq!(writer.shown(&line("proxy", "x\n")).unwrap(), b"proxy | x\n");
    }
}
