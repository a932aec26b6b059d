//! `mote template`: what microVMs are cloned from.

use anyhow::Result;
use api::template::{BuildRequest, Template, TemplateState};

use super::task_name::short_id;
use crate::args::{self, TemplateBuild, TemplateLs, TemplateRm};
use crate::value::Moment;
use crate::{host, output};

/// `mote template`.
pub async fn template(host: Option<String>, verb: args::Template) -> Result<u8> {
    match verb {
        args::Template::Build(arguments) => build(host, arguments).await,
        args::Template::Ls(arguments) => list(host, arguments).await,
        args::Template::Rm(arguments) => remove(host, arguments).await,
    }
}

async fn build(host: Option<String>, arguments: TemplateBuild) -> Result<u8> {
    let client = host::connect(host).await?;
    let request = BuildRequest { force: arguments.force };
    let template = client.build_template(request).await?;
    output::line(&template.key)?;
    Ok(0)
}

async fn list(host: Option<String>, arguments: TemplateLs) -> Result<u8> {
    let templates = host::connect(host).await?.templates().await?.templates;
    let header = ["KEY", "STATE", "SIZE", "AGE", "CLONES", "FALLBACKS", "REASON"];
    let now = Moment::now();
    let name = |template: &Template| template.key.clone();
    output::quiet_list(
        &arguments.listing,
        &templates,
        &header,
        |template| row(template, now.unix_ms),
        name,
    )?;
    Ok(0)
}

async fn remove(host: Option<String>, arguments: TemplateRm) -> Result<u8> {
    let client = host::connect(host).await?;
    let keys = if arguments.all {
        let templates = client.templates().await?.templates;
        // Stale ones go by themselves, with the last that has them.
        let removable = templates
            .into_iter()
            .filter(|template| template.state != TemplateState::Stale);
        removable.map(|template| template.key).collect()
    } else {
        arguments.templates
    };
    for key in &keys {
        client.remove_template(key).await?;
        output::line(key)?;
    }
    Ok(0)
}

fn row(template: &Template, now_unix_ms: u64) -> Vec<String> {
    let age = template
        .created_unix_ms
        .map(|created| output::age(now_unix_ms.saturating_sub(created) / 1000));
    vec![
        short_id(&template.key),
        state(template.state).to_owned(),
        output::memory(template.size_bytes),
        age.unwrap_or_default(),
        template.clones.to_string(),
        template.fallbacks.to_string(),
        template.reason.clone().unwrap_or_default(),
    ]
}

/// A state's name, as documents have it.
pub const fn state(state: TemplateState) -> &'static str {
    match state {
        TemplateState::Building => "building",
        TemplateState::Ready => "ready",
        TemplateState::Stale => "stale",
        TemplateState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_template_says_why() {
        let template = Template {
            key: "3f2a".repeat(16),
            state: TemplateState::Failed,
            reason: Some("no room on the tmpfs".into()),
            size_bytes: 0,
            created_unix_ms: None,
            clones: 0,
            fallbacks: 3,
        };
        assert_eq!(
            row(&template, 0),
            ["3f2a3f2a3f2a", "failed", "0 B", "", "0", "3", "no room on the tmpfs"]
        );
    }
}
