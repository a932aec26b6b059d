//! What becomes of every member of every request: data, from which requests are checked and the document is made.
//!
//! A member is honoured, or told again because it has no meaning on one host, or refused. [`check`] applies the tables to a request, [`document`]
//! writes them down for people.

mod account;
mod check;
mod clusters;
mod containers;
mod definitions;
mod document;
mod operations;
mod services;
mod shapes;
mod tags;
mod tasks;

pub use check::check;
pub use document::{document, table};
pub use operations::{OPERATIONS, Operation, UNSUPPORTED, operation};

/// A member of a request, or of a structure in one.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it can be.
    pub kind: Kind,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether it has to be there.
    pub is_required: bool,
}

/// What a member can be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// One of these strings; ECS may know more, which are refused.
    Choice(&'static [&'static str]),
    /// A whole number of 32 bits.
    Integer,
    /// Whether.
    Boolean,
    /// A point in time.
    Time,
    /// Several of these.
    List(&'static Kind),
    /// Names and strings.
    Map,
    /// Members of its own.
    Structure(&'static [Member]),
    /// Whatever ECS says: it is refused.
    Other,
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// What it says is done.
    Honoured,
    /// It is accepted and told again: what it says has no meaning here, and why.
    Echoed(&'static str),
    /// It is refused unless it says nothing (`false`, 0, empty), and why.
    Refused(&'static str),
}

impl Member {
    const fn honoured(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            fate: Fate::Honoured,
            is_required: false,
        }
    }

    const fn required(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            fate: Fate::Honoured,
            is_required: true,
        }
    }

    const fn echoed(name: &'static str, kind: Kind, why: &'static str) -> Self {
        Self {
            name,
            kind,
            fate: Fate::Echoed(why),
            is_required: false,
        }
    }

    const fn refused(name: &'static str, why: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Other,
            fate: Fate::Refused(why),
            is_required: false,
        }
    }
}
