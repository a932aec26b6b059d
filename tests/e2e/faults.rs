//! Faults at random moments of a task's life: whatever happens, the task comes to a true end or runs on, what it wrote is kept, and nothing is left over.
//!
//! Each round starts one task and strikes once: the host agent is killed or ended and started again, a VMM is killed, the guest's kernel panics, or the
//! disk fills up. In every other round somebody stops the task meanwhile. Which tasks and which faults meet is laid down; when things happen is
//! random: the delays here wait for nothing. A round that fails tells its seed, and `MOTE_FAULTS_SEED` sets it.
//!
//! The guest's init cannot be killed from where the tests are: a container neither sees it nor may signal it, and the kernel lets nobody kill it from inside.
//! Its end is a panic of the guest's kernel in any case, and that comes about honestly here: the container is privileged enough to mount a `/proc` of
//! its own, tells the kernel to panic where memory runs out, and lets it run out.

mod round;

use std::fs;
use std::process::Command;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;
use tests::command::{Ran, ran};
use tests::disk::Disk;
use tests::host::{HUNG_SECONDS, Host, listing};
use tests::leftovers::{Held, processes};
use tests::patience::until;

use crate::fixture::agent;
use round::{Chance, Fault, Plan, Round, judge};

const ROUNDS: u64 = 30;

/// The size of the disk of the state directory, in MiB.
const DISK_MIB: u32 = 64;

/// What makes the kernel of a guest panic, executed in its container.
const PANIC: &str =
    "mkdir -p /p; mount -t proc proc /p && echo 2 > /p/sys/vm/panic_on_oom && echo soon; exec tail /dev/zero";

/// The files on the disk of a host agent's state, but for images and what the database has beside itself while it is open.
fn files(disk: &Disk) -> Vec<String> {
    let files = listing(disk.path()).unwrap().into_iter();
    let names = files.map(|(path, _)| path.display().to_string());
    let passing = ["/images/", "mote.db-"];
    names
        .filter(|name| !passing.iter().any(|part| name.contains(part)))
        .collect()
}

/// What runs at the same time.
struct Client(JoinHandle<Ran>);

impl Client {
    fn start(mut command: Command, delay: Duration) -> Self {
        Self(thread::spawn(move || {
            sleep(delay);
            ran(&mut command, b"").unwrap()
        }))
    }

    fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    fn end(self) -> Ran {
        self.0.join().unwrap()
    }
}

/// The host agent that is disturbed, or its successor.
struct Site {
    disk: Disk,
    host: Option<Host>,
    /// Whether clones wait for tasks, which hold something then.
    has_pool: bool,
    chance: Chance,
}

impl Site {
    fn new(chance: Chance) -> Self {
        let disk = Disk::of_mib(DISK_MIB);
        let directory = disk.for_state();
        let host = Host::start_in(directory, agent(), &["--pool", "0", "--on-exit", "keep"]).unwrap();
        host.load("busybox").unwrap();
        // From now on there is a template.
        let _ = host.run(&[], "busybox", &["true"]).ended_with(0);
        Self {
            disk,
            host: Some(host),
            has_pool: false,
            chance,
        }
    }

    fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    /// A successor in the directory of a host agent that is gone.
    fn start(&mut self, directory: TempDir) {
        self.has_pool = self.chance.below(2) == 0;
        let pool = if self.has_pool { "2" } else { "0" };
        let options = ["--pool", pool, "--on-exit", "keep"];
        self.host = Some(Host::start_in(directory, agent(), &options).unwrap());
    }

    /// What `mote` says of a task; nothing where there is none.
    fn task(&self, name: &str) -> Option<Value> {
        let inspected = self.host().ran(&["inspect", name]);
        match inspected.code {
            0 => Some(serde_json::from_slice::<Value>(&inspected.stdout).unwrap()[0].take()),
            _ => {
                let refusal = inspected.refusal();
                assert!(refusal.contains("there is no task"), "{refusal}");
                None
            }
        }
    }

    fn strike(&mut self, round: &Round, client: &Client) {
        let pause = self.chance.milliseconds(1500);
        match round.fault {
            Fault::KillAgent => {
                let directory = self.host.take().unwrap().kill().unwrap();
                sleep(pause);
                self.start(directory);
            }
            Fault::EndAgent => {
                let directory = self.host.take().unwrap().leave().unwrap();
                sleep(pause);
                self.start(directory);
            }
            Fault::KillVmm => until("there is a VMM, or there was", || {
                let vmms = processes(&self.host().runtime()).unwrap();
                let index = usize::try_from(pause.as_millis()).unwrap() % vmms.len().max(1);
                match vmms.get(index) {
                    // It may just have ended.
                    Some(vmm) => ran(Command::new("kill").args(["-KILL", &vmm.to_string()]), b"")
                        .ok()
                        .map(drop),
                    None => client.is_over().then_some(()),
                }
            }),
            Fault::PanicGuest => until("the guest panics, or the task is over", || {
                let name = round.name();
                let executed = self.host().ran(&["exec", &name, "sh", "-c", PANIC]);
                (executed.text() == "soon\n" || client.is_over()).then_some(())
            }),
            Fault::FillDisk => self.disk.full(|| sleep(pause)),
        }
    }

    /// Sees the task to its end, which is brought about where it would not come; the task then, and whether anybody asked for its end.
    fn settle(&self, round: &Round, client: &Client, stopper: Option<&Client>) -> (Option<Value>, bool) {
        let name = round.name();
        let mut asked = stopper.is_some();
        let task = until("the task stops", || {
            let (client_is_over, stopper_is_over) = (client.is_over(), stopper.is_none_or(Client::is_over));
            let Some(task) = self.task(&name) else {
                return client_is_over.then_some(None);
            };
            let goes_on = match task["status"].as_str().unwrap() {
                "STOPPED" => return Some(Some(task)),
                "RUNNING" => round.plan != Plan::Exits,
                // Its client is gone and has not started it.
                "PROVISIONING" => client_is_over,
                _ => false,
            };
            if goes_on && stopper_is_over {
                asked = true;
                let _ = self.host().ran(&["stop", "-t", round.stop_timeout(), &name]);
            }
            None
        });
        (task, asked)
    }

    /// Plays a round; what is wrong with its task's end, if anything is.
    fn play(&mut self, round: &Round) -> Option<String> {
        let name = round.name();
        let lines = format!("N={}", round.lines);
        let options = [
            "run",
            "--timeout",
            HUNG_SECONDS,
            "--memory",
            "48",
            "--cap-add",
            "SYS_ADMIN",
            "-e",
            &lines,
        ];
        let script = round.plan.script();
        let command = ["--name", &name, "busybox", "sh", "-c", &script];
        let client = Client::start(self.host().mote(&[&options[..], &command].concat()), Duration::ZERO);
        let stop = |delay| Client::start(self.host().mote(&["stop", "-t", round.stop_timeout(), &name]), delay);
        let stopper = round.stop_delay.map(stop);
        sleep(round.delay);
        self.strike(round, &client);
        let (task, asked) = self.settle(round, &client, stopper.as_ref());
        let said = client.end();
        let _ = stopper.map(Client::end);
        let Some(task) = task else {
            let is_lost = said.code != 125 || !said.stdout.is_empty();
            return is_lost.then(|| format!("it is lost: {round:?}: {said}"));
        };
        let logs = self.host().ran(&["logs", &name]).ended_with(0).text();
        let _ = self.host().ran(&["rm", &name]).ended_with(0);
        let held = Held::now(&self.host().runtime()).unwrap();
        if !self.has_pool && !holds_a_template_alone(&held) {
            return Some(format!("something is left over: {round:?}: {held:?}"));
        }
        let wrong = judge(round, &task, &logs, asked, &said)?;
        Some(format!("{wrong}: {round:?}: {task:#}\nlogs: {logs}\nclient: {said}"))
    }
}

/// Where a template waits for the next task, it is mounted.
fn holds_a_template_alone(held: &Held) -> bool {
    let template = Held {
        mounts: held.mounts.clone(),
        ..Held::default()
    };
    held.mounts.len() == 1 && *held == template
}

fn seed() -> u64 {
    let given = std::env::var("MOTE_FAULTS_SEED").ok();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    // Never nothing: there, it stays.
    given.map_or_else(|| u64::from(now()) << 8 | 1, |seed| seed.parse().unwrap())
}

/// The interfaces that host agents have made.
fn interfaces() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut ours: Vec<String> = names.filter(|name| name.starts_with("mote")).collect();
    ours.sort();
    ours
}

#[test]
fn tasks_come_to_a_true_end_and_leave_nothing_whatever_fails() {
    let seed = seed();
    let before = interfaces();
    let mut site = Site::new(Chance(seed));
    let (wired, stored) = (interfaces(), files(&site.disk));
    let mut play = |number| {
        let round = Round::new(number, &mut site.chance);
        // Where it fails, this is shown.
        eprintln!("MOTE_FAULTS_SEED={seed}: {round:?}");
        site.play(&round)
    };
    let wrong: Vec<String> = (0..ROUNDS).filter_map(&mut play).collect();
    assert!(wrong.is_empty(), "MOTE_FAULTS_SEED={seed}: {}", wrong.join("\n"));
    let directory = site.host.take().unwrap().kill().unwrap();
    let host = Host::start_in(directory, agent(), &["--pool", "0"]).unwrap();
    assert_eq!(host.ran(&["ps", "-aq"]).ended_with(0).text(), "");
    let held = Held::now(&host.runtime()).unwrap();
    assert!(holds_a_template_alone(&held), "{held:?}");
    assert_eq!(interfaces(), wired);
    let _ = host.run(&[], "busybox", &["true"]).ended_with(0);
    let runtime = host.runtime();
    assert_eq!(host.stop().unwrap(), Some(0));
    let held = Held::now(&runtime).unwrap();
    assert!(held.is_nothing(), "{held:?}");
    assert_eq!(interfaces(), before);
    assert_eq!(files(&site.disk), stored);
}
