//! The command line of an everyday `mote run`, without the making of a parser for everything else: that would be most of what this
//! process executes.
//!
//! What is not plain here is left to the whole parser, also to say what is wrong with it.

use std::ffi::OsString;

use super::run::{LifeOptions, NetworkOptions, ProcessOptions, Registry, ResourceOptions, Run};
use super::{Arguments, Command, HealthOptions, PullPolicy};
use crate::value::{MemoryMib, VcpuMilli, parse_port};

/// The CPU of a task where nobody says, in thousandths of a vCPU.
const CPU_DEFAULT: VcpuMilli = VcpuMilli(1000);

/// The memory of a task where nobody says.
const MEMORY_DEFAULT: MemoryMib = MemoryMib(128);

/// The arguments, where `words` are `mote run`, plain options, an image and perhaps a command; `host` is what `MOTE_HOST` says.
pub fn parse(words: &[OsString], host: Option<OsString>) -> Option<Arguments> {
    let mut words = words.iter().map(|word| word.to_str());
    words.next()??;
    if words.next()?? != "run" {
        return None;
    }
    let mut host = host.map(OsString::into_string).transpose().ok()?;
    let mut run = plain();
    let image = loop {
        let word = words.next()??;
        if !word.starts_with('-') {
            break word;
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word, None),
        };
        if inline.is_none() && set_flags(&mut run, name) {
            continue;
        }
        let value = match inline {
            Some(value) => value,
            None => words.next()??,
        };
        // An option where a value should be, or no value: that is for the whole parser to judge.
        if value.is_empty() || value.starts_with('-') {
            return None;
        }
        if name == "--host" {
            host = Some(value.to_owned());
        } else {
            set_value(&mut run, name, value)?;
        }
    };
    run.image = image.to_owned();
    run.command = words.map(|word| word.map(str::to_owned)).collect::<Option<_>>()?;
    let is_plain = !image.is_empty() && run.command.first().is_none_or(|word| !word.starts_with('-'));
    let conflicts = run.detach && run.timing;
    (is_plain && !conflicts).then(|| Arguments {
        host,
        command: Command::Run(Box::new(run)),
    })
}

/// Whether `name` is flags, which are then set.
fn set_flags(run: &mut Run, name: &str) -> bool {
    match name {
        "--detach" | "-d" => run.detach = true,
        "--interactive" | "-i" => run.interactive = true,
        "--tty" | "-t" => run.tty = true,
        "-it" | "-ti" => (run.interactive, run.tty) = (true, true),
        "--rm" => run.rm = true,
        "--quiet" | "-q" => run.quiet = true,
        "--timing" => run.timing = true,
        "--insecure" => run.registry.insecure = true,
        "--read-only" => run.resources.read_only = true,
        "--init" => run.process.init = true,
        "--no-cpu-wait" => run.life.no_cpu_wait = true,
        _ => return false,
    }
    true
}

/// Sets the option `name`; `None` where it is not one of those, or `value` is wrong.
fn set_value(run: &mut Run, name: &str, value: &str) -> Option<()> {
    let text = || Some(value.to_owned());
    match name {
        "--cpu" | "--cpus" | "--vcpu" => run.cpu = value.parse().ok()?,
        "--memory" | "-m" => run.memory = value.parse().ok()?,
        "--name" => run.name = text(),
        "--env" | "-e" => run.process.env.push(value.to_owned()),
        "--env-file" => run.process.env_file.push(value.into()),
        "--label" | "-l" => run.process.label.push(value.to_owned()),
        "--workdir" | "-w" => run.process.workdir = text(),
        "--user" | "-u" => run.process.user = text(),
        "--entrypoint" => run.process.entrypoint = text(),
        "--hostname" => run.network.hostname = text(),
        "--publish" | "-p" => run.network.publish.push(parse_port(value).ok()?),
        "--stop-timeout" => run.life.stop_timeout = value.parse().ok()?,
        "--timeout" => run.life.timeout = Some(value.parse().ok().filter(|&seconds| seconds > 0)?),
        "--pull" => {
            run.pull = match value {
                "always" => PullPolicy::Always,
                "missing" => PullPolicy::Missing,
                "never" => PullPolicy::Never,
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

/// A run of which nothing is said yet.
fn plain() -> Run {
    Run {
        cpu: CPU_DEFAULT,
        memory: MEMORY_DEFAULT,
        detach: false,
        interactive: false,
        tty: false,
        rm: false,
        name: None,
        cidfile: None,
        process: ProcessOptions::default(),
        network: NetworkOptions::default(),
        resources: ResourceOptions::default(),
        health: HealthOptions::default(),
        life: LifeOptions::default(),
        pull: PullPolicy::Missing,
        quiet: false,
        registry: Registry::default(),
        timing: false,
        image: String::new(),
        command: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    fn quick(words: &[String]) -> Option<Arguments> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        parse(&words, None)
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn check_same(words: &[String]) {
        if let Some(arguments) = quick(words) {
            let whole = Arguments::try_parse_from(words);
            assert_eq!(
                format!("{arguments:?}"),
                whole.map_or_else(|error| error.to_string(), |whole| format!("{whole:?}")),
                "{words:?}"
            );
        }
    }

    #[test]
    fn an_everyday_line_is_read_at_once() {
        for line in [
            "mote run busybox",
            "mote run --rm --cpu 0.25 --memory 64 busybox echo hello",
            "mote run --host unix:///a -it --rm --name x busybox sh -c exit --host b --",
            "mote run -d -p 8080:80 --cpus=2 -m 1g -e A=1 -e B nginx",
            "mote run --timeout 5 --timeout 6 --pull never --no-cpu-wait --timing -w /srv -u 1:2 app",
        ] {
            let words = words(line);
            assert!(quick(&words).is_some(), "{line}");
            check_same(&words);
        }
    }

    #[test]
    fn everything_else_is_left_to_the_whole_parser() {
        for line in [
            "mote run",
            "mote ps",
            "mote run --help",
            "mote run --privileged app",
            "mote run --cpu x app",
            "mote run --rm=true app",
            "mote run --name -x app",
            "mote run app -- ls",
            "mote run app --rm",
            "mote run -d --timing app",
            "mote run -m64 app",
            "mote run --timeout 0 app",
        ] {
            assert!(quick(&words(line)).is_none(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_at_once_is_read_as_by_the_whole_parser(
            rest in prop::collection::vec(
                prop::sample::select(vec![
                    "--rm", "-i", "-t", "-it", "-d", "--timing", "-q", "--cpu", "0.5", "--cpu=2", "-m", "64m", "--memory=x", "--name",
                    "a", "-e", "A=1", "--env=B=2", "-e=C", "--host", "unix:///a", "--host=b", "-p", "80", "-w", "/", "--", "-", "",
                    "--pull", "never", "--pull=now", "--timeout", "5", "0", "--init", "--insecure", "app", "ls", "-l", "--nope", "--help",
                ]),
                0..8,
            ),
        ) {
            let words: Vec<String> = ["mote", "run"].into_iter().chain(rest).map(str::to_owned).collect();
            check_same(&words);
        }
    }
}
