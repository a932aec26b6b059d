//! The device nodes of a container, and the rules about all others.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{CWD, FileType, Mode, chmod, makedev, mknodat, symlink};

use crate::failure::{Attempt, StepError};
use crate::sys::bpf;

/// A character device that every container has.
struct Node {
    at: &'static str,
    major: u32,
    minor: u32,
}

/// Documentation/admin-guide/devices.txt; the same as in Docker.
const NODES: &[Node] = &[
    Node {
        at: "/dev/null",
        major: 1,
        minor: 3,
    },
    Node {
        at: "/dev/zero",
        major: 1,
        minor: 5,
    },
    Node {
        at: "/dev/full",
        major: 1,
        minor: 7,
    },
    Node {
        at: "/dev/random",
        major: 1,
        minor: 8,
    },
    Node {
        at: "/dev/urandom",
        major: 1,
        minor: 9,
    },
    Node {
        at: "/dev/tty",
        major: 5,
        minor: 0,
    },
];

/// Names in `/dev` that lead elsewhere: at, to.
const LINKS: &[(&str, &str)] = &[
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
];

/// Character devices that may be opened beside [`NODES`]: major, minor, where none means every one.
const ALLOWED_BESIDE_NODES: &[(u32, Option<u32>)] = &[
    // The console and the pseudoterminals: /dev/console, /dev/ptmx, /dev/pts/N.
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// Makes the nodes and links in the `/dev` of the root that this process has.
///
/// # Errors
/// The first that failed.
pub fn create() -> Result<(), StepError> {
    for Node { at, major, minor } in NODES {
        let mode = Mode::from_raw_mode(0o666);
        let created = mknodat(CWD, *at, FileType::CharacterDevice, mode, makedev(*major, *minor));
        // The file mode mask took away what everybody may do with these.
        created
            .and_then(|()| chmod(*at, mode))
            .attempting(|| format!("create {at}"))?;
    }
    for (at, to) in LINKS {
        symlink(*to, *at).attempting(|| format!("create {at}"))?;
    }
    Ok(())
}

/// Refuses processes of `cgroup` every device but the allowed ones. Nodes may be made for any, as in Docker, but not opened.
///
/// # Errors
/// The kernel's.
pub fn restrict(cgroup: BorrowedFd<'_>) -> io::Result<()> {
    let nodes = NODES.iter().map(|node| (node.major, Some(node.minor)));
    let allowed: Vec<_> = nodes.chain(ALLOWED_BESIDE_NODES.iter().copied()).collect();
    bpf::attach_device_rules(cgroup, &program(&allowed))
}

// Instructions and context of linux/bpf.h: `struct bpf_cgroup_dev_ctx` is the type (low half) and access (high half), major, minor.
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_IF_NOT_EQUAL: u8 = 0x55;
const COPY: u8 = 0xbf;
const SET: u8 = 0xb7;
const EXIT: u8 = 0x95;
const TYPE_CHARACTER: u32 = 2;
const ACCESS_MAKE_NODE: u32 = 1;

/// One instruction: code, target register, source register, jump offset or byte offset, constant.
fn instruction(code: u8, target: u8, source: u8, offset: u8, constant: u32) -> u64 {
    u64::from(code)
        | u64::from(target) << 8
        | u64::from(source) << 12
        | u64::from(offset) << 16
        | u64::from(constant) << 32
}

/// The program that answers 1 for the making of any node and for the opening of the allowed character devices, else 0.
fn program(allowed: &[(u32, Option<u32>)]) -> Vec<u64> {
    // Registers: 0 the answer, 1 the context, 2 the access, 3 the type, 4 major, 5 minor.
    let set_answer = |answer| instruction(SET, 0, 0, 0, answer);
    let exit = instruction(EXIT, 0, 0, 0, 0);
    let mut program = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(COPY, 3, 2, 0, 0),
        instruction(AND, 3, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 2, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
        set_answer(1),
        instruction(JUMP_IF_NOT_EQUAL, 2, 0, 1, ACCESS_MAKE_NODE),
        exit,
        instruction(JUMP_IF_EQUAL, 3, 0, 2, TYPE_CHARACTER),
        set_answer(0),
        exit,
    ];
    for (major, minor) in allowed {
        match minor {
            Some(minor) => program.extend([
                instruction(JUMP_IF_NOT_EQUAL, 4, 0, 2, *major),
                instruction(JUMP_IF_NOT_EQUAL, 5, 0, 1, *minor),
            ]),
            None => program.push(instruction(JUMP_IF_NOT_EQUAL, 4, 0, 1, *major)),
        }
        program.push(exit);
    }
    program.extend([set_answer(0), exit]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a program as the kernel would, for the instructions that we use.
    fn run(program: &[u64], context: [u32; 3]) -> u64 {
        let mut registers = [0_u64; 16];
        let mut at = 0;
        loop {
            let word = program[at];
            let field = |shift: u32, mask: u64| usize::try_from(word >> shift & mask).unwrap();
            let (target, source, offset) = (field(8, 0xf), field(12, 0xf), field(16, 0xffff));
            let constant = word >> 32;
            at += 1;
            match u8::try_from(word & 0xff).unwrap() {
                LOAD_WORD => registers[target] = context[offset / 4].into(),
                COPY => registers[target] = registers[source],
                AND => registers[target] &= constant,
                SHIFT_RIGHT => registers[target] >>= constant,
                SET => registers[target] = constant,
                JUMP_IF_EQUAL if registers[target] == constant => at += offset,
                JUMP_IF_NOT_EQUAL if registers[target] != constant => at += offset,
                JUMP_IF_EQUAL | JUMP_IF_NOT_EQUAL => {}
                EXIT => return registers[0],
                code => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    const READ_WRITE: u32 = 6;
    const TYPE_BLOCK: u32 = 1;

    proptest! {
        #[test]
        fn the_program_answers_as_its_table_says(
            allowed in prop::collection::vec((0..8_u32, prop::option::of(0..8_u32)), 0..6),
            kind in 1..=2_u32, access in 1..8_u32, major in 0..8_u32, minor in 0..8_u32,
        ) {
            let listed = allowed.iter().any(|rule| rule.0 == major && rule.1.is_none_or(|only| only == minor));
            let expected = access == ACCESS_MAKE_NODE || (kind == TYPE_CHARACTER && listed);
            let answer = run(&program(&allowed), [access << 16 | kind, major, minor]);
            prop_assert_eq!(answer, u64::from(expected));
        }
    }

    #[test]
    fn a_disk_cannot_be_opened() {
        assert_eq!(
            run(&program(&[(254, None)]), [READ_WRITE << 16 | TYPE_BLOCK, 254, 0]),
            0
        );
    }
}
