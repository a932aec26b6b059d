//! What the fake VMM is to do: lines of its script, made here.

use serde_json::{Value, json};

/// A script: steps of the fake VMM.
#[derive(Clone)]
pub struct Script(pub Vec<Value>);

impl Script {
    /// No steps: the VMM ends as soon as it starts.
    pub fn empty() -> Self {
        Self(vec![])
    }

    /// Everything up to a running process.
    pub fn running() -> Self {
        let words = [
            "runnable",
            "booted",
            "hello",
            "expect_start",
            "prepared",
            "expect_release",
            "started",
        ];
        Self(
            words
                .into_iter()
                .map(|word| match word {
                    "hello" => json!({"hello": protocol::guest::VERSION}),
                    "prepared" | "expect_release" | "started" => json!({word: 0}),
                    other => json!(other),
                })
                .collect(),
        )
    }

    /// The first steps only.
    pub fn first(mut self, len: usize) -> Self {
        self.0.truncate(len);
        self
    }

    /// One step more.
    pub fn then(mut self, step: Value) -> Self {
        self.0.push(step);
        self
    }

    /// The process ends with this code and the guest shuts down.
    pub fn exits(self, code: u8) -> Self {
        self.ends(&json!({"code": code}))
    }

    /// The process ends by this signal and the guest shuts down.
    pub fn killed_by(self, signal: u8) -> Self {
        self.ends(&json!({"signal": signal}))
    }

    fn ends(self, status: &Value) -> Self {
        self.then(json!("close"))
            .then(json!({"exited": status}))
            .then(json!("expect_shutdown"))
            .then(json!({"exit": 0}))
    }

    /// The file that the fake VMM reads.
    pub fn text(&self) -> String {
        self.0.iter().map(|step| format!("{step}\n")).collect()
    }
}
