//! What the API says and does about templates.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use api::error::{ApiError, ErrorCode};
use api::template::{Template as Listed, TemplateState};

use super::{Phase, State, Template, Templates, manifest};

impl Templates {
    /// Every template that is there or being made, the one in use first.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let state = self.state.borrow();
        let current = current(&state);
        let retired = state.retired.iter().filter_map(Weak::upgrade);
        let retired = retired.map(|template| listed(&template, TemplateState::Stale));
        current.into_iter().chain(retired).collect()
    }

    /// Has the template that is needed now made, and waits until it is. One that is there already does, unless `force` is given.
    ///
    /// # Errors
    /// [`ErrorCode::HostUnable`] with the reason where it cannot be made.
    pub async fn build(self: &Arc<Self>, force: bool) -> Result<Listed, ApiError> {
        self.recheck().await;
        let mut receiver = self.state.subscribe();
        let made = |state: &State| !matches!(state.phase, Phase::Making { .. });
        let mut forces = force;
        loop {
            // The sender lives as long as this value.
            let _ = receiver.wait_for(made).await;
            let mut begun = false;
            self.state.send_if_modified(|state| {
                // Asked for by a person: no failure before counts.
                begun = !matches!(state.phase, Phase::Making { .. }) && (forces || state.ready().is_none());
                if begun {
                    self.begin(state, false, forces);
                }
                begun
            });
            forces &= !begun;
            let _ = receiver.wait_for(made).await;
            let state = self.state.borrow();
            match &state.phase {
                Phase::Ready(template) if !forces => return Ok(listed(template, TemplateState::Ready)),
                Phase::Failed { reason, .. } if begun => {
                    return Err(ApiError {
                        code: ErrorCode::HostUnable,
                        message: reason.clone(),
                    });
                }
                _ => {}
            }
        }
    }

    /// Removes the template whose key begins with `query`; the next task has another one made.
    ///
    /// # Errors
    /// [`ErrorCode::TemplateNotFound`], and [`ErrorCode::Conflict`] while it is being made.
    pub fn remove(&self, query: &str) -> Result<(), ApiError> {
        let mut result = Err(ApiError {
            code: ErrorCode::TemplateNotFound,
            message: format!("no template has a key that begins with {query:?}"),
        });
        self.state.send_if_modified(|state| {
            let listed = current(state).filter(|listed| !query.is_empty() && listed.key.starts_with(query));
            match listed.map(|listed| listed.state) {
                None => false,
                Some(TemplateState::Building) => {
                    result = Err(ApiError {
                        code: ErrorCode::Conflict,
                        message: "the template is being made: remove it when it is ready".to_owned(),
                    });
                    false
                }
                Some(TemplateState::Ready | TemplateState::Stale | TemplateState::Failed) => {
                    state.replace(Phase::Absent);
                    state.trouble.clear();
                    result = Ok(());
                    true
                }
            }
        });
        result
    }
}

fn current(state: &State) -> Option<Listed> {
    let without_files = |key: &Option<String>, template_state, reason: Option<&String>| Listed {
        key: key.clone().unwrap_or_default(),
        state: template_state,
        reason: reason.cloned(),
        size_bytes: 0,
        created_unix_ms: None,
        clones: 0,
        fallbacks: state.fallbacks,
    };
    match &state.phase {
        Phase::Absent => None,
        Phase::Making { key, .. } => Some(without_files(key, TemplateState::Building, None)),
        Phase::Ready(template) => {
            let listed = listed(template, TemplateState::Ready);
            let fallbacks = listed.fallbacks + state.fallbacks;
            Some(Listed { fallbacks, ..listed })
        }
        Phase::Failed { key, reason } => Some(without_files(key, TemplateState::Failed, Some(reason))),
    }
}

fn listed(template: &Template, state: TemplateState) -> Listed {
    Listed {
        key: template.made.key.clone(),
        state,
        reason: None,
        size_bytes: manifest::size_bytes(&template.made.directory),
        created_unix_ms: Some(template.made.created_unix_ms),
        clones: template.clones.load(Ordering::Relaxed),
        fallbacks: template.fallbacks.load(Ordering::Relaxed),
    }
}
