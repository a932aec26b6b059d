//! From a task to its microVM: where the VMM comes from, and what follows where a clone fails.

use std::path::PathBuf;
use std::sync::Arc;

use api::task::Origin;
use protocol::vmm::{self, Boot};
use tokio::sync::mpsc;

use super::microvm::{self, Parts};
use super::{Held, Input, TaskHost};
use crate::launch::{Launch, LaunchError, Vmm};
use crate::lifecycle::Event;
use crate::pool::Member;
use crate::sentence::sentence;
use crate::task::Notice;
use crate::template::{Choice, ScratchError, Template};

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
    pub(super) async fn provision(&mut self) -> Event {
        self.presence.get_or_insert_with(|| self.links.activity.begin());
        self.start.get_or_insert_with(|| self.shared.pool.begin_start());
        if let Some(Member { vmm, template }) = self.shared.pool.take() {
            match vmm.held.cgroup.limit_memory(self.plan.sizing.vmm_memory_bytes) {
                Ok(()) => return self.provisioned(vmm, Some(template), Origin::Pool),
                Err(error) => {
                    tracing::warn!(
                        task = self.plan.id,
                        "a clone of the pool is of no use: {}",
                        sentence(&error)
                    );
                    vmm.end().await;
                }
            }
        }
        // What a guest's kernel says is only heard from its boot on.
        let choice = match self.shared.config.consoles {
            None => self.shared.templates.choose(),
            Some(_) => return self.provision_boot().await,
        };
        match choice {
            Choice::Clone(template) => match self.launch(template.origin()) {
                Ok(vmm) => self.provisioned(vmm, Some(template), Origin::Clone),
                Err(error) => Event::ProvisionFailed(sentence(&error)),
            },
            Choice::Boot(reason) => {
                tracing::warn!(
                    task = self.plan.id,
                    "there is no template, so this task boots in full: {reason}"
                );
                self.provision_boot().await
            }
            Choice::Pending => {
                let (settled, notices) = (self.shared.templates.settled(), self.links.notices.clone());
                self.timers.spawn(async move {
                    settled.await;
                    // A task that is over takes no notices.
                    let _ = notices.send(Notice::Event(Event::TemplateSettled)).await;
                });
                Event::TemplatePending
            }
        }
    }

    async fn provision_boot(&mut self) -> Event {
        match self.boot().await {
            Ok(vmm) => self.provisioned(vmm, None, Origin::Boot),
            Err(error) => Event::ProvisionFailed(sentence(&error)),
        }
    }

    fn provisioned(&mut self, vmm: Vmm, template: Option<Arc<Template>>, origin: Origin) -> Event {
        tracing::debug!(task = self.plan.id, microvm = vmm.id, origin = origin.name());
        // Only a task that does not read its notices has no room for this, and we are what it waits for.
        let _ = self.links.notices.try_send(Notice::Came(origin));
        self.held = Held::Vmm(Box::new(vmm), template);
        Event::Provisioned
    }

    fn launch(&self, origin: vmm::Origin) -> Result<Vmm, LaunchError> {
        let memory_bytes_max = self.plan.sizing.vmm_memory_bytes;
        self.shared.launcher.launch(Launch {
            origin,
            shape: None,
            is_spare: false,
            memory_bytes_max,
        })
    }

    /// Starts a VMM that boots the guest kernel.
    async fn boot(&self) -> Result<Vmm, ProvisionError> {
        let scratch = self.shared.scratch.clone();
        // The first one formats it.
        tokio::task::spawn_blocking(move || scratch.base()).await??;
        let config = &self.shared.config;
        let console = |directory: &PathBuf| directory.join(format!("{}.log", self.plan.id));
        let boot = Boot {
            kernel: config.kernel.clone(),
            initramfs: config.initramfs.clone(),
            // A guest that is not to be cloned has no use for more possible CPUs than it gets: each takes time and memory.
            command_line: format!("nr_cpus={}", self.plan.sizing.vcpus),
            serial: config.consoles.as_ref().map(console),
            save: None,
        };
        Ok(self.launch(vmm::Origin::Boot(boot))?)
    }

    /// Makes the VMM that is held the task's microVM.
    pub(super) async fn start_microvm(&mut self, input: Option<mpsc::Receiver<Input>>) -> Option<Event> {
        let Held::Vmm(vmm, template) = std::mem::replace(&mut self.held, Held::Nothing) else {
            return Some(Event::MicrovmNotStarted("no VMM was started".to_owned()));
        };
        let scratch_base = match &template {
            Some(template) => Ok(template.scratch()),
            None => self.shared.scratch.base().map(|path| path.to_path_buf()),
        };
        let scratch_base = match scratch_base {
            Ok(path) => path,
            Err(error) => {
                self.held = Held::Vmm(vmm, template);
                return Some(Event::MicrovmNotStarted(sentence(&error)));
            }
        };
        let whereabouts = vmm.whereabouts();
        let parts = Parts {
            vmm: *vmm,
            plan: &self.plan,
            template,
            scratch_base,
            scratch_directory: self.shared.scratch.directory().to_owned(),
            outlets: self.links.outlets.clone(),
            input,
            notices: self.links.notices.clone(),
        };
        self.held = Held::Microvm(microvm::start(parts).await);
        self.links.whereabouts.send_replace(Some(whereabouts));
        None
    }

    /// After a clone that failed: a full boot, once.
    pub(super) async fn boot_microvm(&mut self) -> Option<Event> {
        let Held::Microvm(microvm) = std::mem::replace(&mut self.held, Held::Nothing) else {
            return Some(Event::MicrovmNotStarted("there is no clone that failed".to_owned()));
        };
        if let Some(template) = microvm.template() {
            self.shared.templates.clone_failed(template);
        }
        let failure = microvm.release().await;
        let reason = failure.as_ref().map(|failure| &failure.message);
        tracing::warn!(task = self.plan.id, reason, "a clone failed, so its task boots in full");
        let input = failure.and_then(|failure| failure.input);
        match self.provision_boot().await {
            Event::ProvisionFailed(message) => Some(Event::MicrovmNotStarted(message)),
            _ => self.start_microvm(input).await,
        }
    }
}
