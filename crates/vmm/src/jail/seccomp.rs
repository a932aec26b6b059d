//! A list of system calls as the program by which the kernel decides (Linux, `userspace-api/seccomp_filter.rst`).
//!
//! The kernel runs a new program for every system call there is, to remember those that need no look at arguments, and translates it to machine
//! code. So its length and its depth are what installing it costs: numbers are searched by halves down to a few, which are compared one by one.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, c_long, sock_filter,
};

/// `AUDIT_ARCH_X86_64`
const ARCHITECTURE: u32 = 0xc000_003e;

/// Where `struct seccomp_data` has the number, the architecture and the first argument.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// So many numbers are compared one by one.
const GROUP_LEN: usize = 4;

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

/// A system call that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Its number.
    pub number: c_long,
    /// What is looked at.
    pub check: Check,
}

/// The program that allows these, each once, and ends the process at any other one.
pub fn compile(list: &[Allowed]) -> Vec<sock_filter> {
    let mut sorted: Vec<(u32, &Check)> = list
        .iter()
        .filter_map(|allowed| Some((u32::try_from(allowed.number).ok()?, &allowed.check)))
        .collect();
    sorted.sort_by_key(|(number, _)| *number);
    let mut program = Vec::with_capacity(list.len() * 4);
    program.extend([
        load(ARCHITECTURE_AT),
        jump(BPF_JEQ, ARCHITECTURE, 1, 0),
        kill(),
        load(NUMBER_AT),
    ]);
    search(&sorted, &mut program);
    program
}

/// Finds the number among these.
fn search(sorted: &[(u32, &Check)], program: &mut Vec<sock_filter>) {
    if sorted.len() <= GROUP_LEN {
        return group(sorted, program);
    }
    let (lower, upper) = sorted.split_at(sorted.len() / 2);
    let mut code = Vec::new();
    search(lower, &mut code);
    let first = upper.first().map_or(u32::MAX, |(number, _)| *number);
    match u8::try_from(code.len()) {
        Ok(len) => program.push(jump(BPF_JGE, first, len, 0)),
        // A conditional jump reaches 255 instructions.
        Err(_) => program.extend([jump(BPF_JGE, first, 0, 1), skip(code.len())]),
    }
    program.append(&mut code);
    search(upper, program);
}

fn group(sorted: &[(u32, &Check)], program: &mut Vec<sock_filter>) {
    for (number, check) in sorted {
        let code = decide(check);
        // The code of a check is short.
        let len = u8::try_from(code.len()).unwrap_or(u8::MAX);
        program.push(jump(BPF_JEQ, *number, 0, len));
        program.extend(code);
    }
    program.push(kill());
}

/// What decides once the number is found.
fn decide(check: &Check) -> Vec<sock_filter> {
    let argument = |index: &u8| load(ARGUMENTS_AT + 8 * u32::from(*index));
    match check {
        Check::Any => vec![allow()],
        Check::Fails(error) => vec![result(SECCOMP_RET_ERRNO | u32::from(*error))],
        Check::Bits(index, mask, bits) => vec![
            argument(index),
            statement(BPF_ALU | BPF_AND | BPF_K, *mask),
            jump(BPF_JEQ, *bits, 0, 1),
            allow(),
            kill(),
        ],
        Check::OneOf(index, values) => {
            let mut code = vec![argument(index)];
            for (left, value) in (0_u8..).zip(values.iter().rev()).collect::<Vec<_>>().into_iter().rev() {
                code.push(jump(BPF_JEQ, *value, left + 1, 0));
            }
            code.extend([kill(), allow()]);
            code
        }
    }
}

fn statement(code: u32, value: u32) -> sock_filter {
    jump_or_statement(code, value, 0, 0)
}

fn jump(comparison: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    jump_or_statement(BPF_JMP | comparison | BPF_K, value, if_true, if_false)
}

fn jump_or_statement(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // Codes of instructions have eight bits.
    let code = u16::try_from(code).unwrap_or_default();
    sock_filter { code, jt, jf, k }
}

fn skip(len: usize) -> sock_filter {
    statement(BPF_JMP | BPF_JA, u32::try_from(len).unwrap_or(u32::MAX))
}

fn load(at: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, at)
}

fn result(value: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, value)
}

fn allow() -> sock_filter {
    result(SECCOMP_RET_ALLOW)
}

fn kill() -> sock_filter {
    result(SECCOMP_RET_KILL_PROCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel does with `program`.
    fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u32; 6]) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            let k = instruction.k;
            let jumps = |is: bool| usize::from(if is { instruction.jt } else { instruction.jf });
            match u32::from(instruction.code) {
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

    fn allowed(check: &Check, arguments: [u32; 6]) -> u32 {
        let ok = match check {
            Check::Any => true,
            Check::Fails(error) => return SECCOMP_RET_ERRNO | u32::from(*error),
            Check::OneOf(index, values) => values.contains(&arguments[usize::from(*index)]),
            Check::Bits(index, mask, bits) => arguments[usize::from(*index)] & mask == *bits,
        };
        if ok {
            SECCOMP_RET_ALLOW
        } else {
            SECCOMP_RET_KILL_PROCESS
        }
    }

    fn check_of() -> impl Strategy<Value = Check> {
        prop_oneof![
            Just(Check::Any),
            (1_u16..99).prop_map(Check::Fails),
            (0_u8..6, prop::collection::vec(0_u32..8, 0..60)).prop_map(|(index, values)| Check::OneOf(index, values)),
            (0_u8..6, 0_u32..8, 0_u32..8).prop_map(|(index, mask, bits)| Check::Bits(index, mask, bits)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_listed_is_allowed_and_all_else_ends(
            list in prop::collection::btree_map(0_i64..500, check_of(), 0..120),
            number in 0_u32..600, arguments in prop::array::uniform6(0_u32..8),
        ) {
            let rows: Vec<Allowed> = list.iter().map(|(number, check)| Allowed { number: *number, check: check.clone() }).collect();
            let program = compile(&rows);
            let expected = list.get(&number.into()).map_or(SECCOMP_RET_KILL_PROCESS, |check| allowed(check, arguments));
            prop_assert_eq!(run(&program, ARCHITECTURE, number, arguments), expected);
            prop_assert_eq!(run(&program, 0x4000_0003, number, arguments), SECCOMP_RET_KILL_PROCESS);
            // Numbers of the x32 calls.
            prop_assert_eq!(run(&program, ARCHITECTURE, number | 0x4000_0000, arguments), SECCOMP_RET_KILL_PROCESS);
        }
    }
}
