//! What a service says of itself: its events, in the words that clients of ECS know, and the ids that it makes up.

use super::service::{Note, Service};

/// So many events of a service are kept: the oldest go.
pub const NOTES_MAX: usize = 100;

/// So many tasks are named in one event.
const NAMED_MAX: usize = 10;

/// Random bytes, for ids. A simulation has its own.
pub trait Random {
    /// 16 more.
    fn bytes(&mut self) -> [u8; 16];
}

/// `ecs-svc/` and 19 digits.
#[must_use]
pub fn deployment_id(random: &mut dyn Random) -> String {
    const DIGITS: u128 = 10_000_000_000_000_000_000;
    format!("ecs-svc/{:019}", u128::from_le_bytes(random.bytes()) % DIGITS)
}

/// A random UUID (RFC 9562, 5.4).
#[must_use]
pub fn uuid(random: &mut dyn Random) -> String {
    let mut bytes = random.bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Notes an event, with the service's name before it.
pub fn note(service: &mut Service, random: &mut dyn Random, at_ms: u64, what: &str) {
    let message = format!("(service {}) {what}", service.name);
    let id = uuid(random);
    service.notes.insert(0, Note { id, at_ms, message });
    service.notes.truncate(NOTES_MAX);
}

/// `has started 2 tasks: (task …) (task …).`
#[must_use]
pub fn named(verb: &str, ids: &[String]) -> String {
    let mut sentence = format!("{verb} {} tasks:", ids.len());
    for id in ids.iter().take(NAMED_MAX) {
        sentence.push_str(&format!(" (task {id})"));
    }
    if ids.len() > NAMED_MAX {
        sentence.push_str(" …");
    }
    sentence.push('.');
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones;

    impl Random for Ones {
        fn bytes(&mut self) -> [u8; 16] {
            [0xff; 16]
        }
    }

    #[test]
    fn ids_have_the_forms_that_clients_know() {
        let id = deployment_id(&mut Ones);
        let digits = id.strip_prefix("ecs-svc/").unwrap();
        assert!(digits.len() == 19 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(uuid(&mut Ones), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn an_event_does_not_name_everybody() {
        assert_eq!(
            named("has started", &["a".to_owned()]),
            "has started 1 tasks: (task a)."
        );
        let many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        assert!(named("has stopped", &many).ends_with("(task 9) …."));
    }
}
