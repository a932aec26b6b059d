//! What a host agent says of itself, as `mote` prints it for programs.

use serde_json::Value;

use crate::host::Host;
use crate::patience::until;

impl Host {
    /// The document that `mote` with these arguments prints.
    #[track_caller]
    fn document(&self, arguments: &[&str]) -> Value {
        let ran = self.ran(arguments).ended_with(0);
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// Everything about one task.
    ///
    /// # Panics
    /// Where there is none of that name.
    #[must_use]
    #[track_caller]
    pub fn task(&self, name: &str) -> Value {
        self.document(&["inspect", name])[0].take()
    }

    /// What one running task uses.
    ///
    /// # Panics
    /// Where none of that name runs.
    #[must_use]
    #[track_caller]
    pub fn stats(&self, name: &str) -> Value {
        self.document(&["stats", "--format", "json", name])[0].take()
    }

    /// What tasks have reserved and used, as `mote usage` with these options tells it.
    ///
    /// # Panics
    /// Where `mote` fails.
    #[must_use]
    #[track_caller]
    pub fn usage(&self, options: &[&str]) -> Vec<Value> {
        let list = self.document(&[&["usage", "--format", "json"], options].concat());
        list.as_array().unwrap().clone()
    }

    /// The templates, the one in use first.
    ///
    /// # Panics
    /// Where `mote` fails.
    #[must_use]
    #[track_caller]
    pub fn template_list(&self) -> Vec<Value> {
        let list = self.document(&["template", "ls", "--format", "json"]);
        list.as_array().unwrap().clone()
    }

    /// How many clones wait.
    ///
    /// # Panics
    /// Where `mote` fails.
    #[must_use]
    #[track_caller]
    pub fn waiting(&self) -> u64 {
        self.document(&["info", "--format", "json"])["pool"]["waiting"]
            .as_u64()
            .unwrap()
    }

    /// Waits until `count` clones wait.
    ///
    /// # Panics
    /// Where they never do.
    #[track_caller]
    pub fn wait_for_pool(&self, count: u64) {
        until("the pool fills", || (self.waiting() == count).then_some(()));
    }

    /// Runs a task that ends well; its output, and where its microVM came from.
    ///
    /// # Panics
    /// Where it ends otherwise.
    #[must_use]
    #[track_caller]
    pub fn run_and_tell_origin(&self, options: &[&str], image: &str, command: &[&str]) -> (String, String) {
        const NAME: &str = "whence";
        let named = ["run", "--name", NAME];
        let ran = self.ran(&[&named, options, &[image], command].concat()).ended_with(0);
        let origin = self.task(NAME)["origin"].as_str().unwrap_or("nowhere").to_owned();
        let _ = self.ran(&["rm", NAME]).ended_with(0);
        (ran.text(), origin)
    }
}
