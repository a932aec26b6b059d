//! Templates: the booted guest that microVMs are cloned from; found, made, given out, and replaced when it is of no use any more.
//!
//! At any time at most one template is given out. Who has it holds an [`Arc`] of it, and the files of one that was replaced go with the
//! last of these.

mod build;
mod key;
mod listing;
mod made;
mod manifest;
mod mount;
mod saved;
mod scratch;
mod touched;
mod trouble;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use build::BuildError;
pub use saved::Template;
pub use scratch::{ScratchDisk, ScratchError};

use crate::clock;
use crate::config::Config;
use crate::launch::Launcher;
use crate::sentence::sentence;
use build::Workshop;
use made::Made;
use trouble::Trouble;

/// So many clones that fail one after the other tell that it is the template's fault.
const CLONE_FAILURES_MAX: u32 = 3;

/// The templates of one host agent.
pub struct Templates {
    workshop: Arc<Workshop>,
    state: watch::Sender<State>,
    closing: watch::Sender<bool>,
    // What makes a template now. Shared by whoever finds that there is none; locked for moments, never while waiting.
    making: Mutex<JoinSet<()>>,
}

/// What microVMs are made from.
#[derive(Debug)]
pub enum Choice {
    /// This template.
    Clone(Arc<Template>),
    /// A full boot, since there is no template; why, for a person.
    Boot(String),
    /// Not known before [`Templates::settled`].
    Pending,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    trouble: Trouble,
    /// Tasks that got a full boot since there was no template, or one that was replaced by now.
    fallbacks: u64,
    /// Templates that were replaced while somebody had them.
    retired: Vec<Weak<Template>>,
}

#[derive(Debug, Default)]
enum Phase {
    /// Nobody needed one yet.
    #[default]
    Absent,
    /// It is looked for, or made.
    Making {
        /// Whether it failed before: then nobody waits for it.
        is_retry: bool,
        /// Its key, once that is known.
        key: Option<String>,
    },
    /// It is there.
    Ready(Arc<Template>),
    /// It cannot be had; why, for a person.
    Failed {
        /// The key, where it is known.
        key: Option<String>,
        reason: String,
    },
}

impl Templates {
    /// No template yet. Disks of templates are copies of `scratch`.
    #[must_use]
    pub fn new(config: Config, launcher: Arc<Launcher>, scratch: Arc<ScratchDisk>) -> Arc<Self> {
        let closing = watch::Sender::new(false);
        Arc::new(Self {
            workshop: Arc::new(Workshop::new(config, launcher, scratch, closing.subscribe())),
            closing,
            state: watch::Sender::default(),
            making: Mutex::default(),
        })
    }

    fn making(&self) -> MutexGuard<'_, JoinSet<()>> {
        // Nothing that holds the lock leaves a change half-done.
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The template that is given out now.
    #[must_use]
    pub fn ready(&self) -> Option<Arc<Template>> {
        self.state.borrow().ready().cloned()
    }

    /// Tells of each change of [`Self::ready`]: whoever listens asks then.
    pub(crate) fn changes(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut receiver = self.state.subscribe();
        async move {
            // A sender that is gone changes nothing any more.
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Begins to check what an earlier host agent left, so that the first task finds it checked.
    pub fn adopt(self: &Arc<Self>) {
        if self.workshop.has_any() {
            self.state.send_if_modified(|state| {
                let is_absent = matches!(state.phase, Phase::Absent);
                if is_absent {
                    self.begin(state, false, false);
                }
                is_absent
            });
        }
    }

    /// What the next microVM is made from; begins to make a template where there is none.
    ///
    /// Whoever needs the first template waits for it. That takes little longer than a full boot, since it is one, with tens of megabytes
    /// written to memory behind it; so who runs one container on a fresh host loses little, and who runs fifty at once waits for one boot instead of
    /// fifty that compete. Where a template could not be made, nobody waits again: the next attempt is made beside full boots.
    pub fn choose(self: &Arc<Self>) -> Choice {
        if let Some(template) = self.ready() {
            if template.is_untouched() {
                return Choice::Clone(template);
            }
            self.distrust(&template);
        }
        let now_ns = clock::monotonic_ns();
        let mut choice = Choice::Pending;
        self.state.send_if_modified(|state| match &state.phase {
            Phase::Ready(template) => {
                choice = Choice::Clone(template.clone());
                false
            }
            Phase::Making { is_retry: false, .. } => false,
            Phase::Making { is_retry: true, .. } => {
                state.fallbacks += 1;
                choice = Choice::Boot("the template is still being made".to_owned());
                false
            }
            Phase::Absent => {
                self.begin(state, false, false);
                true
            }
            Phase::Failed { reason, .. } => {
                choice = Choice::Boot(reason.clone());
                state.fallbacks += 1;
                let retries = state.trouble.may_retry(now_ns);
                if retries {
                    self.begin(state, true, false);
                }
                retries
            }
        });
        choice
    }

    /// Waits until a [`Choice::Pending`] is decided.
    pub fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut receiver = self.state.subscribe();
        async move {
            let decided = |state: &State| !matches!(state.phase, Phase::Making { is_retry: false, .. });
            let _ = receiver.wait_for(decided).await;
        }
    }

    /// A clone of `template` ended before its guest answered, and its task got a full boot.
    pub fn clone_failed(&self, template: &Arc<Template>) {
        template.fallbacks.fetch_add(1, Ordering::Relaxed);
        let failures = template.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let is_stale = self.workshop.key().is_ok_and(|key| key != template.made.key);
        if is_stale || failures >= CLONE_FAILURES_MAX {
            let now_ns = clock::monotonic_ns();
            self.change_where_current(template, |state| {
                tracing::warn!("clones of the template failed {failures} times one after the other: it is dropped");
                state.trouble.add(now_ns);
                let reason = "clones of the last template failed".to_owned();
                let key = Some(template.made.key.clone());
                state.replace(if is_stale {
                    Phase::Absent
                } else {
                    Phase::Failed { key, reason }
                });
            });
        }
    }

    /// Somebody has touched the files of `template`: nothing that runs is made from it any more, and another is made.
    pub fn distrust(self: &Arc<Self>, template: &Arc<Template>) {
        self.change_where_current(template, |state| {
            tracing::warn!("somebody has changed the files of the template: another is made");
            self.begin(state, false, false);
        });
    }

    /// Has `change` go over to another phase, if `template` is the one that is given out.
    fn change_where_current(&self, template: &Arc<Template>, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let is_current = state.ready().is_some_and(|ready| Arc::ptr_eq(ready, template));
            if is_current {
                change(state);
            }
            is_current
        });
    }

    /// Has another template made where something that this one depends on has changed.
    pub async fn recheck(self: &Arc<Self>) {
        let Some(template) = self.ready() else { return };
        let workshop = self.workshop.clone();
        let Ok(Ok(key)) = tokio::task::spawn_blocking(move || workshop.key()).await else {
            return;
        };
        if key != template.made.key {
            self.change_where_current(&template, |state| {
                tracing::info!("the template is stale: the kernel, the initramfs or the VMM was replaced");
                self.begin(state, false, false);
            });
        }
    }

    /// Begins to make a template; a sound one of an earlier host agent does, unless it is to be `new`.
    fn begin(self: &Arc<Self>, state: &mut State, is_retry: bool, new: bool) {
        state.replace(Phase::Making { is_retry, key: None });
        let this = self.clone();
        let mut making = self.making();
        // Those that are over.
        while making.try_join_next().is_some() {}
        making.spawn(async move { this.make(new).await });
    }

    async fn make(&self, new: bool) {
        let result = self.find_or_build(new).await;
        let now_ns = clock::monotonic_ns();
        let mut unsealed = None;
        self.state.send_modify(|state| {
            let key = match &state.phase {
                Phase::Making { key, .. } => key.clone(),
                _ => None,
            };
            state.phase = match result {
                Ok((made, is_sealed)) => {
                    tracing::info!(key = made.key, is_new = !is_sealed, "the template is ready");
                    state.trouble.clear();
                    let template = Template::new(made);
                    unsealed = (!is_sealed).then(|| template.clone());
                    Phase::Ready(template)
                }
                Err(error) => {
                    let reason = sentence(&error);
                    tracing::warn!("there is no template, so microVMs boot in full: {reason}");
                    state.trouble.add(now_ns);
                    Phase::Failed { key, reason }
                }
            };
        });
        if let Some(template) = unsealed {
            // Not before it is given out: who waits for it does not wait for checksums, which only a later host agent needs.
            let sealed = tokio::task::spawn_blocking(move || made::seal(&template.made)).await;
            if let Ok(Err(error)) = sealed {
                tracing::warn!("a later host agent will not use this template: {}", sentence(&error));
            }
        }
    }

    /// The template, and whether its checksums are written.
    async fn find_or_build(&self, new: bool) -> Result<(Made, bool), BuildError> {
        let used = self.used();
        let workshop = self.workshop.clone();
        let found = tokio::task::spawn_blocking(move || {
            let key = workshop.key()?;
            let found = workshop.find(&key, &used)?;
            Ok::<_, BuildError>((key, found))
        });
        let (key, found) = found.await??;
        self.state.send_if_modified(|state| {
            if let Phase::Making { key: known, .. } = &mut state.phase {
                *known = Some(key.clone());
            }
            false
        });
        match found {
            Some(made) if !new => Ok((made, true)),
            _ => Ok((self.workshop.build(&key).await?, false)),
        }
    }

    /// The directories of templates that somebody still has.
    fn used(&self) -> BTreeSet<PathBuf> {
        let state = self.state.borrow();
        let retired = state.retired.iter().filter_map(Weak::upgrade);
        retired.map(|template| template.made.directory.clone()).collect()
    }

    /// The host agent ends, and no microVM is left: none is made any more, and all are removed, and where they were, unless they are to be
    /// `kept` for the next host agent.
    pub async fn end(&self, kept: bool) {
        self.closing.send_replace(true);
        let mut making = std::mem::take(&mut *self.making());
        // To its end, which is near: what it has begun to write would be written beside what is removed.
        while making.join_next().await.is_some() {}
        if kept {
            return;
        }
        self.state.send_modify(|state| state.replace(Phase::Absent));
        let workshop = self.workshop.clone();
        match tokio::task::spawn_blocking(move || workshop.clear()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("templates are left over: {}", sentence(&error)),
            Err(error) => tracing::error!("templates may be left over: {error}"),
        }
    }
}

impl State {
    const fn ready(&self) -> Option<&Arc<Template>> {
        match &self.phase {
            Phase::Ready(template) => Some(template),
            _ => None,
        }
    }

    /// Goes over to `phase`; a template that was given out until now goes as soon as nobody has it.
    fn replace(&mut self, phase: Phase) {
        if let Phase::Ready(template) = std::mem::replace(&mut self.phase, phase) {
            template.retire();
            self.fallbacks += template.fallbacks.load(Ordering::Relaxed);
            self.retired.retain(|retired| retired.strong_count() > 0);
            self.retired.push(Arc::downgrade(&template));
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}
