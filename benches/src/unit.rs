//! What a clock that counts nanoseconds counts.

/// Time, or instructions where the machine's clock counts them, one a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Milliseconds,
    /// Instructions, one a nanosecond.
    MegaInstructions,
}

impl Unit {
    /// The unit of a clock.
    pub const fn of_clock(icount: bool) -> Self {
        if icount {
            Self::MegaInstructions
        } else {
            Self::Milliseconds
        }
    }

    /// As figures have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::MegaInstructions => "M instructions",
        }
    }

    /// A million nanoseconds is a millisecond, or a million instructions.
    pub fn of(self, nanoseconds: u64) -> f64 {
        std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
    }
}
