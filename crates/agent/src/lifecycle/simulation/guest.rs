//! The simulated guest: what it hears, does by itself and tells.

use protocol::guest::{ExitStatus, StartFailure, VERSION};

use super::Run;
use crate::lifecycle::{Action, Event, Signal};

/// What the guest knows of a process.
#[derive(Clone, Debug)]
pub struct Process {
    pub number: u32,
    pub container: usize,
    pub is_released: bool,
    pub told: Vec<Event>,
    pub output_open: bool,
    pub is_over: bool,
    pub is_forgotten: bool,
}

fn process(number: u32, container: usize) -> Process {
    Process {
        number,
        container,
        is_released: false,
        told: vec![],
        output_open: true,
        is_over: false,
        is_forgotten: false,
    }
}

impl Run {
    /// What the guest is told and does. A guest that is gone is told nothing.
    pub(super) fn tell_guest(&mut self, action: Action) {
        if !self.world.has_microvm {
            return;
        }
        if self.fails() {
            return self.failed();
        }
        match action {
            Action::SendStart => {
                self.world.has_start = true;
                let numbers = (0..).zip(0..self.rules.containers.len());
                self.world.processes = numbers.map(|(number, container)| process(number, container)).collect();
            }
            Action::RestartContainer {
                container,
                process: number,
            } => {
                let mut others = self
                    .world
                    .processes
                    .iter_mut()
                    .filter(|known| known.container == container);
                assert!(
                    others.all(|known| known.is_over && known.number != number),
                    "it runs already"
                );
                // Of earlier runs nothing is told again.
                for known in self
                    .world
                    .processes
                    .iter_mut()
                    .filter(|known| known.container == container)
                {
                    known.is_forgotten = true;
                }
                self.world.processes.push(process(number, container));
            }
            Action::ReleaseContainer { process } => {
                assert!(self.world.is_limited, "user code never runs unmetered");
                let known = self.world.processes.iter_mut().find(|known| known.number == process);
                known.expect("only what is known is released").is_released = true;
            }
            Action::SendSignal { process, signal, .. } => {
                let ignores = signal == Signal::Stop && self.chance.one_in(4);
                let dead = signal == Signal::Kill && self.faults && self.chance.one_in(10);
                let runs = self
                    .world
                    .processes
                    .iter()
                    .position(|known| known.number == process && !known.is_over);
                if let Some(index) = runs.filter(|_| !ignores && !dead) {
                    self.end_process(index, ExitStatus::Signal(if signal == Signal::Kill { 9 } else { 15 }));
                }
            }
            Action::ShutDownGuest => self.end_microvm(),
            _ => {}
        }
    }

    fn guest_says(&mut self, index: usize, event: Event) {
        self.world.processes[index].told.push(event.clone());
        self.answer(event);
    }

    fn end_process(&mut self, index: usize, status: ExitStatus) {
        let process = &mut self.world.processes[index];
        let number = process.number;
        process.is_over = true;
        let has_run = process.told.contains(&Event::Started { process: number });
        if !has_run && process.is_released {
            let failed = Event::NotStarted {
                process: number,
                failure: StartFailure::Other,
                message: "killed".into(),
            };
            return self.guest_says(index, failed);
        }
        if has_run {
            self.world.ended.push((number, status));
            let exited = Event::Exited {
                process: number,
                status,
                out_of_memory: false,
            };
            self.guest_says(index, exited);
        }
    }

    pub(super) fn end_microvm(&mut self) {
        if !std::mem::take(&mut self.world.has_microvm) {
            return;
        }
        if self.world.is_clone && !self.world.has_answered {
            return self.answer(Event::CloneFailed("by chance".into()));
        }
        self.answer(Event::MicrovmEnded("by chance".into()));
        // Output that came is delivered, or held back by a client for as long as it is not discarded.
        self.agent.owes_output = true;
        if !self.agent.output_is_held_back {
            self.let_output_through();
        }
    }

    pub(super) fn let_output_through(&mut self) {
        self.agent.output_is_held_back = false;
        if std::mem::take(&mut self.agent.owes_output) {
            self.answer(Event::OutputOver);
        }
    }

    /// One thing that the guest does by itself.
    pub(super) fn guest_acts(&mut self) {
        if !self.world.has_microvm {
            return;
        }
        if !self.world.has_answered {
            self.world.has_answered = true;
            return self.answer(Event::GuestAnswered { version: VERSION });
        }
        if self.world.processes.is_empty() {
            return;
        }
        let index = self.chance.below(self.world.processes.len());
        let process = &self.world.processes[index];
        let number = process.number;
        let said = |event: &Event| process.told.contains(event);
        if process.is_over {
            if process.output_open && said(&Event::Started { process: number }) && !self.agent.output_is_held_back {
                self.world.processes[index].output_open = false;
                self.answer(Event::OutputEnded { process: number });
            }
        } else if !said(&Event::Prepared { process: number }) {
            self.guest_says(index, Event::Prepared { process: number });
        } else if process.is_released && !said(&Event::Started { process: number }) {
            self.guest_says(index, Event::Started { process: number });
        } else if said(&Event::Started { process: number }) && self.chance.one_in(4) {
            let code = u8::try_from(self.chance.below(3)).unwrap();
            self.end_process(index, ExitStatus::Code(code));
        }
    }
}
