//! What happens in a round, and what a true end of its task is.

use std::time::Duration;

use serde_json::{Value, json};
use tests::command::Ran;

/// What a container exits with.
const CODE: u64 = 42;

/// What a container exits with that heeds its stop signal.
const HEEDED: u64 = 43;

/// What a container's shell does first: it writes lines.
const LINES: &str =
    "i=0; while [ $i -lt $N ]; do i=$((i + 1)); echo line $i of a task that will be disturbed; sleep 0.02; done";

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It writes lines and exits.
    Exits,
    /// It writes lines, and runs until it is killed.
    Runs,
    /// It writes lines, and runs until it gets its stop signal; it says so.
    Heeds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    KillAgent,
    EndAgent,
    KillVmm,
    PanicGuest,
    FillDisk,
}

const PLANS: [Plan; 3] = [Plan::Exits, Plan::Runs, Plan::Heeds];

const FAULTS: [Fault; 5] = [
    Fault::KillAgent,
    Fault::KillVmm,
    Fault::EndAgent,
    Fault::PanicGuest,
    Fault::FillDisk,
];

impl Plan {
    pub fn script(self) -> String {
        match self {
            Self::Exits => format!("{LINES}; exit {CODE}"),
            Self::Runs => format!("{LINES}; while :; do sleep 1; done"),
            Self::Heeds => format!("trap 'echo heeded; exit {HEEDED}' TERM; {LINES}; while :; do sleep 0.1; done"),
        }
    }
}

/// Numbers that look random (Marsaglia's xorshift).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }

    pub fn milliseconds(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

/// One round.
#[derive(Debug)]
pub struct Round {
    /// Which one.
    pub number: u64,
    /// What its container does.
    pub plan: Plan,
    /// What goes wrong.
    pub fault: Fault,
    /// How many lines the container writes.
    pub lines: u64,
    /// After so long, it goes wrong.
    pub delay: Duration,
    /// After so long, somebody stops the task.
    pub stop_delay: Option<Duration>,
}

impl Round {
    pub fn new(number: u64, chance: &mut Chance) -> Self {
        let index = usize::try_from(number).unwrap();
        Self {
            number,
            fault: FAULTS[index % FAULTS.len()],
            plan: PLANS[index / FAULTS.len() % PLANS.len()],
            lines: 5 + chance.below(40),
            delay: chance.milliseconds(2500),
            stop_delay: (chance.below(2) == 0).then(|| chance.milliseconds(4000)),
        }
    }

    pub fn name(&self) -> String {
        format!("round-{}", self.number)
    }

    /// How long a container may take to stop: what heeds the signal has all the time that it needs, even while no host agent runs.
    pub fn stop_timeout(&self) -> &'static str {
        if self.plan == Plan::Heeds { "30" } else { "1" }
    }

    /// All that the container writes if nobody keeps it from that.
    fn output(&self) -> String {
        let line = |number| format!("line {number} of a task that will be disturbed\n");
        (1..=self.lines).map(line).collect()
    }
}

/// What is not true of the end that a task has come to.
pub fn judge(round: &Round, task: &Value, logs: &str, asked: bool, said: &Ran) -> Option<&'static str> {
    let (exit, reason) = (&task["exit"], task["stopped_reason"].as_str().unwrap_or_default());
    if !logs.starts_with(&said.text()) {
        return Some("what a client was told is not kept");
    }
    let heeded = logs.strip_suffix("heeded\n").filter(|_| round.plan == Plan::Heeds);
    let lines = heeded.unwrap_or(logs);
    if !round.output().starts_with(lines) {
        return Some("lines are lost, or told twice");
    }
    let is_true = if *exit == json!({ "code": CODE }) {
        // What a guest had not sent yet is gone with it.
        let may_lack = matches!(round.fault, Fault::KillVmm | Fault::PanicGuest);
        round.plan == Plan::Exits && (lines == round.output() || may_lack)
    } else if *exit == json!({ "code": HEEDED }) {
        heeded.is_some() && asked
    } else if *exit == json!({ "signal": 9 }) {
        asked && (round.plan != Plan::Heeds || was_too_early(task))
    } else if exit.is_null() {
        // Who was about to start it was told that the host agent is gone.
        (asked || reason.ends_with("before the task was started")) && logs.is_empty()
    } else {
        // The task's reason is who ended it, even where its end came about otherwise.
        let of_container = task["containers"][0]["reason"].as_str().unwrap_or_default();
        *exit == json!("failed") && [reason, of_container].iter().any(|text| names_the(round.fault, text))
    };
    if !is_true || reason.is_empty() {
        return Some("it ended otherwise");
    }
    let is_told = shell_code(exit).is_none_or(|code| said.code == 125 || said.code == code);
    (!is_told).then_some("the client was told otherwise")
}

/// Whether a container was told to end before it had written anything. Before its first line it says that it heeds the signal; until then the signal is
/// lost, as the kernel has it for the first process of a PID namespace.
fn was_too_early(task: &Value) -> bool {
    let [accepted_ns, first_output_ns] = ["accepted_ns", "first_output_ns"].map(|point| task["clock"][point].as_u64());
    let stopping_ms = task["times"]["stopping_ms"].as_u64();
    let (Some(accepted_ns), Some(first_output_ns), Some(stopping_ms)) = (accepted_ns, first_output_ns, stopping_ms)
    else {
        return true;
    };
    let to_output_ms = first_output_ns.saturating_sub(accepted_ns).div_ceil(1_000_000);
    stopping_ms <= task["created_unix_ms"].as_u64().unwrap() + to_output_ms
}

/// Whether a reason names what happened.
fn names_the(fault: Fault, reason: &str) -> bool {
    let words: &[&str] = match fault {
        // A task does not end by that.
        Fault::KillAgent | Fault::EndAgent => &[],
        Fault::KillVmm => &["ended by signal 9", "ResourceInitializationError"],
        Fault::PanicGuest => &["panic"],
        Fault::FillDisk => &["No space left", "cannot be stored"],
    };
    words.iter().any(|word| reason.contains(word))
}

fn shell_code(exit: &Value) -> Option<i32> {
    let number = |member: &str| Some(i32::try_from(exit.get(member)?.as_i64()?).unwrap());
    number("code").or_else(|| Some(128 + number("signal")?))
}
