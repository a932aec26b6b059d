//! A list of system calls as the program by which the kernel decides (Linux, `userspace-api/seccomp_filter.rst`).
//!
//! The kernel runs a new program for every system call there is, to remember those that need no look at arguments, and translates it to machine
//! code. So its length and its depth are what installing it costs: it searches by halves among ranges of numbers of which the same is to become,
//! and those that an earlier program has ended already belong to whatever range is next to them.

use std::collections::BTreeMap;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
};
use protocol::jail::CallList;

/// `AUDIT_ARCH_X86_64`
const ARCHITECTURE: u32 = 0xc000_003e;

/// Where `struct seccomp_data` has the number, the architecture and the first argument.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// How far a conditional jump is let reach: it could as far as 255, and one more instruction may come in between.
const REACH: usize = 250;

/// What is looked at of a system call that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    Any,
    /// The lower half of this argument is one of these.
    OneOf(u8, Vec<u32>),
    /// Of the lower half of this argument, the bits in the first mask are as in the second one.
    Bits(u8, u32, u32),
    /// It is not allowed, and fails with this error: the caller knows what to do then.
    Fails(u16),
}

/// The system calls that are allowed, by their numbers.
pub type Allowed = BTreeMap<u32, Check>;

/// The program that allows these, and ends the process at any other call.
pub fn compile(list: &Allowed) -> CallList {
    let mut ranges = vec![(0, None)];
    for (number, check) in list {
        ranges.extend([(*number, Some(check)), (number + 1, None)]);
    }
    // Where one number follows another, the range between them is empty: the later one counts.
    ranges.reverse();
    ranges.dedup_by_key(|(first, _)| *first);
    ranges.reverse();
    let mut program = Program::default();
    let body = program.search(&joined(ranges));
    program.begin_by(body, Some(ARCHITECTURE))
}

/// The program that allows of what an earlier one lets pass, which is `before`, only what is in `list` as well, and ends the process at the rest.
pub fn compile_rest(list: &Allowed, before: &Allowed) -> CallList {
    let ranges = before.iter().map(|(number, passed)| {
        let check = list.get(number);
        // What is looked at already need not be again.
        (
            *number,
            if check == Some(passed) {
                Some(&Check::Any)
            } else {
                check
            },
        )
    });
    let mut program = Program::default();
    let body = program.search(&joined(ranges.collect()));
    program.begin_by(body, None)
}

/// The first number of a range, and what is looked at in it; nothing of it is allowed where that is absent.
type Range<'a> = (u32, Option<&'a Check>);

/// Ranges next to each other of which the same becomes are one.
fn joined(mut ranges: Vec<Range<'_>>) -> Vec<Range<'_>> {
    ranges.dedup_by(|next, range| next.1 == range.1);
    ranges
}

/// A program while it is made, from its end to its beginning: a jump goes forward, to what is there already.
#[derive(Default)]
struct Program {
    reversed: CallList,
    /// The last place of each result.
    results: BTreeMap<u32, usize>,
}

impl Program {
    /// The whole, which begins with `body`; it ends the process at a call of another architecture, if one is given.
    fn begin_by(mut self, body: usize, architecture: Option<u32>) -> CallList {
        self.go_on_at(body);
        self.push(BPF_LD | BPF_W | BPF_ABS, NUMBER_AT);
        if let Some(architecture) = architecture {
            let body = self.reversed.len() - 1;
            let other = self.result(SECCOMP_RET_KILL_PROCESS);
            self.jump(BPF_JEQ, architecture, body, other);
            self.push(BPF_LD | BPF_W | BPF_ABS, ARCHITECTURE_AT);
        }
        self.reversed.reverse();
        self.reversed
    }

    /// Where it is decided in which of these ranges the number is, and what becomes of it.
    fn search(&mut self, ranges: &[Range<'_>]) -> usize {
        let (lower, upper) = ranges.split_at(ranges.len() / 2);
        match (lower, upper) {
            ([], upper) => self.decide(upper.first().and_then(|(_, check)| *check)),
            (lower, upper) => {
                let first = upper.first().map_or(0, |(first, _)| *first);
                let above = self.search(upper);
                let below = self.search(lower);
                self.jump(BPF_JGE, first, above, below)
            }
        }
    }

    /// Where it is decided by what is looked at.
    fn decide(&mut self, check: Option<&Check>) -> usize {
        match check {
            None => self.result(SECCOMP_RET_KILL_PROCESS),
            Some(Check::Any) => self.result(SECCOMP_RET_ALLOW),
            Some(Check::Fails(error)) => self.result(SECCOMP_RET_ERRNO | u32::from(*error)),
            Some(Check::Bits(index, mask, bits)) => {
                let kill = self.result(SECCOMP_RET_KILL_PROCESS);
                let allow = self.result(SECCOMP_RET_ALLOW);
                self.jump(BPF_JEQ, *bits, allow, kill);
                self.push(BPF_ALU | BPF_AND | BPF_K, *mask);
                self.load(*index)
            }
            Some(Check::OneOf(index, values)) => {
                let mut next = self.result(SECCOMP_RET_KILL_PROCESS);
                for value in values.iter().rev() {
                    let allow = self.result(SECCOMP_RET_ALLOW);
                    next = self.jump(BPF_JEQ, *value, allow, next);
                }
                self.go_on_at(next);
                self.load(*index)
            }
        }
    }

    /// Where this is the result.
    fn result(&mut self, value: u32) -> usize {
        let known = self.results.get(&value).copied();
        known.filter(|at| self.is_near(*at)).unwrap_or_else(|| {
            let at = self.push(BPF_RET | BPF_K, value);
            self.results.insert(value, at);
            at
        })
    }

    fn load(&mut self, argument: u8) -> usize {
        self.push(BPF_LD | BPF_W | BPF_ABS, ARGUMENTS_AT + 8 * u32::from(argument))
    }

    /// A comparison, which goes on at one place or the other.
    fn jump(&mut self, comparison: u32, value: u32, if_true: usize, if_false: usize) -> usize {
        let if_true = self.within_reach(if_true);
        let if_false = self.within_reach(if_false);
        let at = self.push(BPF_JMP | comparison | BPF_K, value);
        // Both are within reach.
        let distance = |target: usize| u8::try_from(at - target - 1).unwrap_or(u8::MAX);
        (self.reversed[at].1, self.reversed[at].2) = (distance(if_true), distance(if_false));
        at
    }

    fn is_near(&self, target: usize) -> bool {
        self.reversed.len() - target <= REACH
    }

    /// From where `target` is come to, and which a conditional jump reaches.
    fn within_reach(&mut self, target: usize) -> usize {
        if self.is_near(target) {
            target
        } else {
            self.skip_to(target)
        }
    }

    /// What comes before is followed by what is at `target`.
    fn go_on_at(&mut self, target: usize) {
        if target + 1 != self.reversed.len() {
            self.skip_to(target);
        }
    }

    fn skip_to(&mut self, target: usize) -> usize {
        // A program has far fewer instructions.
        let distance = u32::try_from(self.reversed.len() - target - 1).unwrap_or(u32::MAX);
        self.push(BPF_JMP | BPF_JA, distance)
    }

    fn push(&mut self, code: u32, k: u32) -> usize {
        // Codes of instructions have eight bits.
        let code = u16::try_from(code).unwrap_or_default();
        self.reversed.push((code, 0, 0, k));
        self.reversed.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel does with `program`.
    fn run(program: &CallList, architecture: u32, number: u32, arguments: [u32; 6]) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let (code, if_true, if_false, k) = program[at];
            at += 1;
            let jumps = |is: bool| usize::from(if is { if_true } else { if_false });
            match u32::from(code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    value = match k {
                        NUMBER_AT => number,
                        ARCHITECTURE_AT => architecture,
                        other => arguments[usize::try_from(other - ARGUMENTS_AT).unwrap() / 8],
                    }
                }
                code if code == BPF_ALU | BPF_AND | BPF_K => value &= k,
                code if code == BPF_JMP | BPF_JEQ | BPF_K => at += jumps(value == k),
                code if code == BPF_JMP | BPF_JGE | BPF_K => at += jumps(value >= k),
                code if code == BPF_JMP | BPF_JA => at += usize::try_from(k).unwrap(),
                code if code == BPF_RET | BPF_K => return k,
                other => panic!("{other:#x} is not used"),
            }
        }
    }

    fn expected(list: &Allowed, number: u32, arguments: [u32; 6]) -> u32 {
        let ok = match list.get(&number) {
            None => false,
            Some(Check::Any) => true,
            Some(Check::Fails(error)) => return SECCOMP_RET_ERRNO | u32::from(*error),
            Some(Check::OneOf(index, values)) => values.contains(&arguments[usize::from(*index)]),
            Some(Check::Bits(index, mask, bits)) => arguments[usize::from(*index)] & mask == *bits,
        };
        if ok {
            SECCOMP_RET_ALLOW
        } else {
            SECCOMP_RET_KILL_PROCESS
        }
    }

    fn check_of() -> impl Strategy<Value = Check> {
        prop_oneof![
            4 => Just(Check::Any),
            1 => (1_u16..9).prop_map(Check::Fails),
            1 => (0_u8..6, prop::collection::vec(0_u32..8, 0..60)).prop_map(|(index, values)| Check::OneOf(index, values)),
            1 => (0_u8..6, 0_u32..8, 0_u32..8).prop_map(|(index, mask, bits)| Check::Bits(index, mask, bits)),
        ]
    }

    fn list() -> impl Strategy<Value = Allowed> {
        prop::collection::btree_map(0_u32..300, check_of(), 0..120)
    }

    proptest! {
        #[test]
        fn what_is_listed_is_allowed_and_all_else_ends(
            list in list(), number in 0_u32..400, arguments in prop::array::uniform6(0_u32..8),
        ) {
            let program = compile(&list);
            prop_assert_eq!(run(&program, ARCHITECTURE, number, arguments), expected(&list, number, arguments));
            prop_assert_eq!(run(&program, 0x4000_0003, number, arguments), SECCOMP_RET_KILL_PROCESS);
            // Numbers of the x32 calls.
            prop_assert_eq!(run(&program, ARCHITECTURE, number | 0x4000_0000, arguments), SECCOMP_RET_KILL_PROCESS);
        }

        #[test]
        fn of_what_has_passed_only_what_is_listed_passes(
            before in list(), other in list(), kept in prop::collection::vec(any::<bool>(), 300),
            number in 0_u32..300, arguments in prop::array::uniform6(0_u32..8),
        ) {
            // Some as before, some otherwise, and some no more.
            let same = before.iter().filter(|(number, _)| kept[usize::try_from(**number).unwrap()]);
            let list: Allowed = other.into_iter().chain(same.map(|(number, check)| (*number, check.clone()))).collect();
            let program = compile_rest(&list, &before);
            let first = expected(&before, number, arguments);
            // Of two programs' results the lesser counts, as a signed number.
            let least = |first: u32, second: u32| first.cast_signed().min(second.cast_signed()).cast_unsigned();
            if before.contains_key(&number) {
                let second = run(&program, ARCHITECTURE, number, arguments);
                prop_assert_eq!(least(first, second), least(first, expected(&list, number, arguments)));
            }
        }
    }
}
