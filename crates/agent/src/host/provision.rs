//! From a task to its microVM: where the VMM comes from, and what follows where a clone fails.

use std::path::PathBuf;
use std::sync::Arc;

use api::task::Origin;
use protocol::vmm::{self, Boot};

use super::microvm::{self, Watch};
use super::output::{Destination, Outputs};
use super::shape::{Files, shape};
use super::{Held, Kept, Notice, TaskHost, has_usual_scratch};
use crate::launch::{Launch, LaunchError, Vmm};
use crate::lifecycle::Event;
use crate::pool::Member;
use crate::record::TaskRecord;
use crate::sentence::sentence;
use crate::template::{Choice, ScratchDisk, ScratchError, Template};

/// Why there is no VMM.
#[derive(Debug, thiserror::Error)]
enum ProvisionError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error("the work was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl TaskHost {
    /// The one way to a VMM: one that waits, or a clone that is made now, or a full boot.
    pub(super) async fn provision(&mut self, record: &mut TaskRecord, kept: &mut Kept) -> Event {
        self.start.get_or_insert_with(|| self.shared.pool.begin_start());
        if let Err(error) = self.prepare_scratch(record).await {
            return Event::ProvisionFailed(sentence(&error));
        }
        // What a guest's kernel says is only heard from its boot on.
        if self.shared.config.consoles.is_some() {
            return self.provision_boot(record, kept).await;
        }
        // A clone that waits has given up what it takes to serve directories.
        let member = if self.serves_directories() {
            None
        } else {
            self.shared.pool.take()
        };
        if let Some(member) = member {
            match self.accept(&member) {
                Ok(()) => return self.provisioned(member.vmm, Some(member.template), Origin::Pool, (record, kept)),
                Err(reason) => {
                    tracing::warn!(task = record.id, "a clone of the pool is of no use: {reason}");
                    member.vmm.end().await;
                }
            }
        }
        match self.shared.templates.choose() {
            Choice::Clone(template) => match self.launch(template.origin()) {
                Ok(vmm) => self.provisioned(vmm, Some(template), Origin::Clone, (record, kept)),
                Err(error) => Event::ProvisionFailed(sentence(&error)),
            },
            Choice::Boot(reason) => {
                tracing::warn!(
                    task = record.id,
                    "there is no template, so this task boots in full: {reason}"
                );
                self.provision_boot(record, kept).await
            }
            Choice::Pending => {
                let (settled, notices) = (self.shared.templates.settled(), self.links.notices.clone());
                self.work.spawn(async move {
                    settled.await;
                    // A task that is over takes no notices.
                    let _ = notices.send(Notice::Event(Event::TemplateSettled)).await;
                });
                Event::TemplatePending
            }
        }
    }

    /// Gives a member of the pool what this task may take; the reason where it cannot become this task.
    fn accept(&self, Member { vmm, template }: &Member) -> Result<(), String> {
        if !template.is_untouched() {
            self.shared.templates.distrust(template);
            return Err("somebody has changed the files of its template".to_owned());
        }
        let limited = vmm.held.cgroup.limit_memory(self.sizing.vmm_memory_bytes);
        limited.map_err(|error| sentence(&error))
    }

    fn serves_directories(&self) -> bool {
        self.made.as_ref().is_some_and(|made| !made.directories.is_empty())
    }

    async fn provision_boot(&mut self, record: &mut TaskRecord, kept: &mut Kept) -> Event {
        match self.boot(record).await {
            Ok(vmm) => self.provisioned(vmm, None, Origin::Boot, (record, kept)),
            Err(error) => Event::ProvisionFailed(sentence(&error)),
        }
    }

    fn provisioned(
        &mut self,
        vmm: Vmm,
        template: Option<Arc<Template>>,
        origin: Origin,
        (record, kept): (&mut TaskRecord, &mut Kept),
    ) -> Event {
        tracing::debug!(task = record.id, microvm = vmm.id, origin = origin.name());
        record.origin = Some(origin);
        kept.microvm = Some(vmm.id.clone());
        self.held = Held::Vmm(Box::new(vmm), template);
        Event::Provisioned
    }

    fn launch(&self, origin: vmm::Origin) -> Result<Vmm, LaunchError> {
        self.shared.launcher.launch(Launch {
            origin,
            shape: None,
            memory_bytes_max: self.sizing.vmm_memory_bytes,
            serves_directories: self.serves_directories(),
        })
    }

    /// Starts a VMM that boots the guest kernel.
    async fn boot(&self, record: &TaskRecord) -> Result<Vmm, ProvisionError> {
        let scratch = self.shared.scratch.clone();
        // The first one formats it.
        tokio::task::spawn_blocking(move || scratch.base()).await??;
        let config = &self.shared.config;
        let console = |directory: &PathBuf| directory.join(format!("{}.log", record.id));
        let boot = Boot {
            kernel: config.kernel.clone(),
            initramfs: config.initramfs.clone(),
            // A guest that is not to be cloned has no use for more possible CPUs than it gets: each takes time and memory.
            command_line: format!("nr_cpus={}", self.sizing.vcpus),
            serial: config.consoles.as_ref().map(console),
            save: None,
        };
        Ok(self.launch(vmm::Origin::Boot(boot))?)
    }

    /// Has the scratch disk of the task's size formatted, where it has another than the usual one. A template's guest has the usual one mounted, so
    /// the other is a further disk, which the guest mounts when it hears of the containers.
    async fn prepare_scratch(&mut self, record: &TaskRecord) -> Result<(), ProvisionError> {
        let plan = &record.plan;
        if has_usual_scratch(plan) {
            return Ok(());
        }
        let directory = self.shared.scratch.directory().to_owned();
        let disk = ScratchDisk::new(directory, plan.scratch_mib, plan.scratch_inodes);
        let base = tokio::task::spawn_blocking(move || disk.base()).await??;
        if let Some(made) = &mut self.made {
            made.scratch_base = Some(base.to_path_buf());
        }
        Ok(())
    }

    /// Makes the VMM that is held the task's microVM.
    pub(super) async fn start_microvm(&mut self, record: &TaskRecord) -> Option<Event> {
        let Held::Vmm(vmm, template) = std::mem::replace(&mut self.held, Held::Nothing) else {
            return Some(Event::MicrovmNotStarted("no VMM was started".to_owned()));
        };
        let scratch_base = match &template {
            Some(template) => Ok(template.scratch()),
            None => self.shared.scratch.base().map(|path| path.to_path_buf()),
        };
        let prepared = scratch_base
            .map_err(|error| sentence(&error))
            .and_then(|base| Ok((base, self.outputs(record)?)));
        let (scratch_base, outputs) = match prepared {
            Ok(prepared) => prepared,
            Err(message) => {
                self.held = Held::Vmm(vmm, template);
                return Some(Event::MicrovmNotStarted(message));
            }
        };
        let mut vmm = *vmm;
        let nothing = super::Made::default();
        let made = self.made.as_ref().unwrap_or(&nothing);
        let files = Files {
            vsock: vmm.held.vsock(),
            scratch_base,
            sized_scratch: made.scratch_slot.zip(made.scratch_base.clone()),
            scratch_directory: self.shared.scratch.directory().to_owned(),
        };
        let shape = shape(&self.sizing, record.plan.limits, made, record.network.as_ref(), files);
        if let Err(error) = vmm.run(shape).await {
            self.held = Held::Vmm(Box::new(vmm), template);
            return Some(Event::MicrovmNotStarted(sentence(&error)));
        }
        let whereabouts = vmm.whereabouts();
        let watch = self.watch(outputs);
        self.held = Held::Microvm(microvm::start(vmm, template, watch));
        self.links.whereabouts.send_replace(Some(whereabouts));
        None
    }

    pub(super) fn watch(&mut self, outputs: Outputs) -> Watch {
        Watch {
            outputs,
            link: self.links.guest.clone(),
            notices: self.links.notices.clone(),
            start: self.start.take(),
        }
    }

    /// Where the output of the first processes goes.
    pub(super) fn outputs(&self, record: &TaskRecord) -> Result<Outputs, String> {
        let mut destinations = vec![];
        for (index, plan) in record.plan.containers.iter().enumerate() {
            let sink = self
                .shared
                .sinks
                .open(record, index)
                .map_err(|error| format!("cannot keep the output of container {}: {error}", plan.name))?;
            destinations.push(Destination {
                sink: sink.into(),
                outlets: self.links.outlets[index].clone(),
                has_terminal: plan.terminal.is_some(),
            });
        }
        let count = destinations.len();
        let mut outputs = Outputs::new(destinations, self.named.clone(), self.links.notices.clone());
        for (process, container) in (0..).zip(0..count) {
            outputs.add(process, container);
        }
        Ok(outputs)
    }

    /// After a clone that failed: a full boot, once.
    pub(super) async fn replace_clone(&mut self, record: &mut TaskRecord, kept: &mut Kept) -> Event {
        let Held::Microvm(microvm) = std::mem::replace(&mut self.held, Held::Nothing) else {
            return Event::ProvisionFailed("there is no clone that failed".to_owned());
        };
        if let Some(template) = microvm.template() {
            self.shared.templates.clone_failed(template);
        }
        let reason = microvm.release().await;
        tracing::warn!(task = record.id, reason, "a clone failed, so its task boots in full");
        self.start.get_or_insert_with(|| self.shared.pool.begin_start());
        self.provision_boot(record, kept).await
    }
}
