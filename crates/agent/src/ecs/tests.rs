//! The operations, on a core that only remembers.
