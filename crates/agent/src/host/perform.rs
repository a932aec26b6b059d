//! What the life cycle decides is done here.

use protocol::guest::{Start, ToGuest};

use super::{Held, Kept, Microvm, Notice, TaskHost};
use crate::lifecycle::{Action, Event, Signal};
use crate::record::TaskRecord;
use crate::sentence::sentence;
use crate::session::SessionError;
use crate::spec;

/// Bytes of entropy that a guest starts with: the size of the kernel's seed, twice.
const ENTROPY_LEN: usize = 64;

/// The number of `SIGKILL`.
const SIGKILL: u8 = 9;

impl TaskHost {
    /// Does what `action` says, and writes into the record what clients are to know of it; the event that answers it, where there is one at once.
    pub async fn perform(&mut self, action: Action, record: &mut TaskRecord, kept: &mut Kept) -> Option<Event> {
        tracing::debug!(task = record.id, ?action);
        match action {
            Action::Reserve => self.reserve(record),
            Action::AttachNetwork => Some(self.attach_network(record, kept).await),
            Action::FetchImages => {
                let event = self.fetch(record).await;
                self.keep_signals(kept);
                event
            }
            Action::Provision => Some(self.provision(record, kept).await),
            Action::ReplaceClone => Some(self.replace_clone(record, kept).await),
            Action::StartMicrovm => self.start_microvm(record).await,
            Action::SendStart => self.send_start(record, kept),
            Action::LimitCpu => Some(self.limit_cpu()),
            Action::ReleaseContainer { process } => {
                self.pump_input(record);
                self.send(&ToGuest::Release { process })
            }
            Action::RestartContainer { container, process } => {
                self.name_process(process, container);
                let container = record.plan.containers[container].name.clone();
                self.send(&ToGuest::Restart { container, process })
            }
            Action::SendSignal {
                container,
                process,
                signal,
            } => {
                let signal = match signal {
                    Signal::Stop => kept.stop_signals.get(container).copied().unwrap_or(spec::SIGTERM),
                    Signal::Kill => SIGKILL,
                    Signal::Number(number) => number,
                };
                self.send(&ToGuest::Signal { process, signal })
            }
            Action::CheckHealth { container, process } => {
                self.check_health(record, container, process);
                None
            }
            Action::ShutDownGuest => self.send(&ToGuest::Shutdown),
            Action::KillMicrovm => {
                if let Some(microvm) = self.microvm() {
                    microvm.kill();
                }
                None
            }
            Action::DiscardOutput => {
                for outlets in &self.links.outlets {
                    outlets.discard();
                }
                None
            }
            Action::StartTimer { timer, seconds } => {
                self.start_timer(timer, seconds, kept);
                None
            }
            Action::ReleaseResources => Some(self.release(record, kept).await),
        }
    }

    /// Takes what came of work that was done beside.
    pub fn receive(&mut self, notice: Notice, record: &mut TaskRecord, kept: &mut Kept) -> Option<Event> {
        match notice {
            Notice::Fetched(Ok(fetched)) => {
                let event = self.make(fetched, record);
                self.keep_signals(kept);
                Some(event)
            }
            Notice::Fetched(Err(trouble)) => Some(Event::FetchFailed(trouble)),
            _ => None,
        }
    }

    fn keep_signals(&self, kept: &mut Kept) {
        if let Some(made) = &self.made {
            kept.stop_signals = made.specs.iter().map(|spec| spec.stop_signal).collect();
        }
    }

    fn reserve(&mut self, record: &TaskRecord) -> Option<Event> {
        self.presence.get_or_insert_with(|| self.links.activity.begin());
        let (_, need) = match super::need(&record.plan) {
            Ok(need) => need,
            // It was accepted, so it has a size.
            Err(error) => return Some(Event::ActionFailed(sentence(&error))),
        };
        let has_room = self.shared.rooms.ask(&record.id, need, &self.links.notices);
        has_room.then_some(Event::Reserved)
    }

    async fn attach_network(&self, record: &mut TaskRecord, kept: &mut Kept) -> Event {
        let Some(plan) = &record.plan.network else {
            return Event::NetworkAttached;
        };
        let Some(networks) = &self.shared.networks else {
            return Event::NetworkFailed("this host agent has no network".to_owned());
        };
        match networks.attach(&record.name, plan).await {
            Ok(attached) => {
                record.network = Some(attached.record);
                kept.network = Some(attached.network);
                Event::NetworkAttached
            }
            Err(error) => Event::NetworkFailed(sentence(&*error)),
        }
    }

    fn limit_cpu(&self) -> Event {
        let limited = match self.cgroup() {
            Some(cgroup) => cgroup.limit_cpu(self.sizing.cpu),
            None => Ok(()),
        };
        match limited {
            Ok(()) => Event::CpuLimited,
            Err(error) => Event::ActionFailed(sentence(&error)),
        }
    }

    /// A guest that is gone cannot be told, and its end tells why.
    fn send(&self, message: &ToGuest) -> Option<Event> {
        let link = self.links.guest.borrow().clone()?;
        match link.commands().send(message) {
            Ok(()) | Err(SessionError::Closed | SessionError::Duplicate(_)) => None,
            Err(error) => Some(Event::ActionFailed(sentence(&error))),
        }
    }

    fn send_start(&self, record: &TaskRecord, kept: &Kept) -> Option<Event> {
        if let Some(template) = self.microvm().and_then(Microvm::template) {
            template.clone_succeeded();
        }
        let mut entropy = vec![0; ENTROPY_LEN];
        if let Err(error) = rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty()) {
            return Some(Event::ActionFailed(format!(
                "cannot get random bytes for the guest: {error}"
            )));
        }
        let plan = &record.plan;
        let specs = self.made.as_ref().map_or(&[][..], |made| &made.specs);
        let start = Start {
            hostname: spec::hostname(plan, &record.id),
            entropy,
            vcpus: self.sizing.vcpus,
            waits_for_vcpus: plan.waits_for_vcpus,
            growth_mib: self.sizing.growth_mib,
            network: kept.network.clone(),
            sysctls: plan
                .sysctls
                .iter()
                .map(|(name, value)| (name.replace('.', "/"), value.clone()))
                .collect(),
            volumes: (plan.volumes.iter())
                .filter(|volume| volume.host_path.is_none())
                .map(|volume| volume.name.clone())
                .collect(),
            containers: specs.iter().map(|spec| spec.container.clone()).collect(),
        };
        if let Some(microvm) = self.microvm() {
            // A host agent after this one cannot know otherwise whether the guest has heard of the containers.
            microvm.held().close_door();
        }
        self.send(&ToGuest::Start(Box::new(start)))
    }

    async fn release(&mut self, record: &TaskRecord, kept: &mut Kept) -> Event {
        self.work.abort_all();
        kept.timers.clear();
        self.start = None;
        self.links.whereabouts.send_replace(None);
        self.links.guest.send_replace(None);
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Vmm(vmm, _) => vmm.end().await,
            Held::Microvm(microvm) => drop(microvm.release().await),
        }
        kept.microvm = None;
        self.made = None;
        if let (Some(network), Some(networks)) = (&record.network, &self.shared.networks)
            && let Err(error) = networks.detach(network).await
        {
            tracing::error!(
                task = record.id,
                "something of its network is left over: {}",
                sentence(&*error)
            );
        }
        kept.network = None;
        self.shared.rooms.give_back(&record.id);
        self.presence = None;
        Event::Released
    }
}
