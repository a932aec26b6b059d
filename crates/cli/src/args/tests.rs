//! What people write, and what they are told.

use std::ffi::OsString;

use clap::{Command as CommandParser, CommandFactory, Parser};

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn read(line: &str) -> Command {
    match Arguments::parse_words(words(line)) {
        Ok(arguments) => arguments.command,
        Err(error) => panic!("{line}: {error}"),
    }
}

fn refused(line: &str) -> String {
    match Arguments::parse_words(words(line)) {
        Ok(arguments) => panic!("{line}: {arguments:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

/// Calls `check` for the parser of every verb, with all the words that lead to it.
fn for_each_verb(parser: &CommandParser, path: &str, check: &mut impl FnMut(&str, &CommandParser)) {
    for verb in parser.get_subcommands() {
        let path = format!("{path} {}", verb.get_name());
        check(&path, verb);
        for_each_verb(verb, &path, check);
    }
}

#[test]
fn the_help_of_each_verb_has_an_example_of_it() {
    for_each_verb(&Arguments::command(), "mote", &mut |path, verb| {
        let help = verb.clone().render_long_help().to_string();
        let example = help
            .split("Example")
            .nth(1)
            .unwrap_or_else(|| panic!("{path} has no example:\n{help}"));
        let parent = path.strip_prefix("mote ").unwrap_or(path);
        assert!(
            example.contains(parent) || verb.has_subcommands(),
            "the example of {path} shows something else: {example}"
        );
    });
}

#[test]
fn every_verb_and_option_is_explained() {
    for_each_verb(&Arguments::command(), "mote", &mut |path, verb| {
        assert!(verb.get_about().is_some(), "{path} is not explained");
        for argument in verb.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{path}: {} is not explained",
                argument.get_id()
            );
        }
    });
}

#[test]
fn what_flattened_options_are_for_is_not_what_the_verb_is_for() {
    let about = |path: &[&str]| {
        let mut parser = Arguments::command();
        for name in path {
            parser = parser.find_subcommand(name).unwrap().clone();
        }
        parser.get_about().unwrap().to_string()
    };
    assert_eq!(about(&["run"]), "Run a command in a new microVM");
    assert_eq!(about(&["stop"]), "Stop tasks: the stop signal first, then a kill");
    assert_eq!(about(&["service", "create"]), "Create a service");
    assert_eq!(about(&["images"]), "List the images in the store");
}

#[test]
fn options_after_the_image_belong_to_the_command() {
    let Command::Run(run) = read("mote run --cpu 0.25 busybox ls -l") else {
        panic!("not run")
    };
    assert_eq!(run.command, ["ls", "-l"]);
    let Command::Exec(exec) = read("mote exec -it web sh -c exit") else {
        panic!("not exec")
    };
    assert_eq!(
        (exec.task.as_str(), exec.command.join(" ")),
        ("web", "sh -c exit".to_owned())
    );
    assert!(exec.interactive && exec.tty);
}

#[test]
fn what_is_wrong_with_run_is_told_by_the_whole_parser() {
    for line in [
        "mote run",
        "mote run --help",
        "mote run --cpu x app",
        "mote run --nope app",
        "mote run --version",
    ] {
        let whole = Arguments::try_parse_from(words(line)).unwrap_err();
        assert_eq!(refused(line), whole.to_string(), "{line}");
    }
}

#[test]
fn an_option_of_dockers_that_is_not_there_says_what_to_do_instead() {
    for (line, sentence) in [
        (
            "mote run --privileged app",
            "mote has no option --privileged: a task has a kernel of its own",
        ),
        (
            "mote run --memory-swap=1g app",
            "mote has no option --memory-swap: a task does not swap",
        ),
        (
            "mote run --mount type=bind,src=/a,dst=/b app",
            "a directory of the host",
        ),
        ("mote run -v srv:/data app", "no volume is kept under a name"),
        ("mote run --gpus all app", "a task sees no devices of its host"),
    ] {
        let text = refused(line);
        assert!(text.contains(sentence), "{line}: {text}");
    }
}

#[test]
fn templates_are_removed_by_name_or_all_at_once() {
    let parse = |rest: &[&str]| Arguments::try_parse_from([&["mote", "template", "rm"], rest].concat());
    assert!(parse(&["3f2a"]).is_ok());
    assert!(parse(&["--all"]).is_ok());
    assert!(parse(&[]).is_err());
    assert!(parse(&["--all", "3f2a"]).is_err());
}

#[test]
fn verbs_take_what_docker_and_people_write() {
    for line in [
        "mote ps -aq --no-trunc --filter name=web -f label=team",
        "mote logs -f --tail 10 --since 10m -t -n all web",
        "mote attach --no-stdin web/proxy",
        "mote stop -t 5 web job",
        "mote kill -s SIGHUP web",
        "mote rm -f web",
        "mote wait web",
        "mote inspect --type image app",
        "mote cp web:/etc/passwd -",
        "mote port web 80/tcp",
        "mote top web",
        "mote events --since 1h --filter subject=task --format {{.action}}",
        "mote task-definition register -",
        "mote task-definition ls --family web",
        "mote task run web:3 --count 2 -- serve --fast",
        "mote service create web -d web:3 --count 2 --circuit-breaker",
        "mote service scale web=3 job=0",
        "mote service update web --force-new-deployment",
        "mote service rm -f web",
        "mote cluster create staging --tag a=b",
        "mote credentials",
        "mote credentials --format profile",
        "mote credentials create --role read-only",
        "mote secret create key - --replace",
        "mote system df",
        "mote system prune -af --until 24h",
        "mote agent --detach -- --state /srv",
        "mote agent install --print -- --state /srv",
        "mote completions bash",
        "mote man /tmp/man",
    ] {
        read(line);
    }
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for line in [
        "mote run -d --timing app",
        "mote run --no-healthcheck --health-cmd true app",
        "mote exec -dit web sh",
        "mote exec web",
        "mote service scale web",
        "mote logs --tail some web",
        "mote agent --detach install",
        "mote task run web --count 11",
    ] {
        refused(line);
    }
}
