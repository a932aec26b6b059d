//! Tests of a session against a guest agent that is a few lines.
