//! The operations, on services in memory.
