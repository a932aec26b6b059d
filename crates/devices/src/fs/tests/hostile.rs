//! A driver that breaks the rules: it is refused, and nobody else suffers.

use proptest::prelude::*;

use super::*;

#[test]
fn requests_that_lie_are_refused_and_the_next_one_is_served() {
    let mut mounted = Mounted::new(false);
    assert_eq!(mounted.ask(4711, ROOT, &[]), Err(Errno::NOSYS));
    assert_eq!(mounted.ask(opcodes::LOOKUP, 99, &text("a")), Err(Errno::STALE));
    assert_eq!(
        mounted.ask_with(opcodes::GETATTR, ROOT, &[0; 16], 103),
        Err(Errno::INVAL)
    );
    let endless = [pair(1, 0), numbers(&[u32::MAX, 0, 0, 0, 0, 0])].concat();
    assert_eq!(mounted.ask(opcodes::READ, ROOT, &endless), Err(Errno::INVAL));
    let (_, handle) = mounted.create("file", OFlags::RDWR).unwrap();
    let lie = [pair(handle, 0), numbers(&[100, 0, 0, 0, 0, 0]), vec![0; 99]].concat();
    assert_eq!(mounted.ask(opcodes::WRITE, ROOT, &lie), Err(Errno::INVAL));
    // No room for a header, no request, and a length that is not the chain's.
    for buffers in [
        vec![out(BUFFERS, 40), into(ANSWERS, 15)],
        vec![out(BUFFERS, 39), into(ANSWERS, 64)],
        vec![into(ANSWERS, 64)],
        vec![out(u64::MAX - 7, 40), into(ANSWERS, 64)],
    ] {
        mounted.queues[1].add(&buffers);
        mounted.guest.kick(1);
        assert_eq!(mounted.queues[1].take_used().unwrap().1, 0, "{buffers:?}");
    }
    mounted.queues[1].add(&[out(BUFFERS, 64), into(ANSWERS, 64)]);
    mounted.guest.kick(1);
    assert_eq!(mounted.queues[1].take_used().unwrap().1, 16);
    assert_eq!(mounted.ask(opcodes::GETATTR, ROOT, &[0; 16]).unwrap().len(), 104);
    assert!(!mounted.guest.needs_reset());
}

#[test]
fn a_broken_ring_asks_for_a_reset_and_brings_nobody_down() {
    let mut mounted = Mounted::new(false);
    mounted.queues[1].set_avail_index(1000);
    mounted.guest.kick(1);
    assert!(mounted.guest.needs_reset());
    mounted.guest.kick(1);
    mounted.guest.kick(0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_requests_never_panic(
        requests in prop::collection::vec((0u32..60, 0u64..4, prop::collection::vec(any::<u8>(), 0..96)), 1..24),
    ) {
        let mut mounted = Mounted::new(false);
        mounted.create("file", OFlags::RDWR).unwrap();
        for (opcode, node, body) in requests {
            if request::is_silent(opcode) {
                continue;
            }
            let _ = mounted.ask_with(opcode, node, &body, 4096);
        }
        prop_assert!(!mounted.guest.needs_reset());
    }
}
