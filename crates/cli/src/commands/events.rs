//! `mote events`: what happens, as it happens.

use anyhow::{Result, anyhow};
use api::event::{Event, EventsQuery};

use super::task_name::short_id;
use crate::args::Events;
use crate::session::Interruptions;
use crate::value::{Format, matches, rfc3339};
use crate::{host, output};

/// `mote events`.
pub async fn events(host: Option<String>, arguments: Events) -> Result<u8> {
    let client = host::connect(host).await?;
    let query = EventsQuery {
        since_ms: arguments.since.map(|moment| moment.unix_ms),
        until_ms: arguments.until.map(|moment| moment.unix_ms),
        follow: true,
    };
    let mut interruptions = Interruptions::listen()?;
    let mut events = client.events(&query).await?;
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            _ = interruptions.next() => None,
        };
        let Some(event) = event else {
            return Ok(0);
        };
        let fits = |key: &str, value: &str| Some(has(&event, key, value));
        if matches(&arguments.filter, fits).map_err(|sentence| anyhow!(sentence))? {
            match &arguments.listing.format {
                Format::Table => output::line(&line(&event))?,
                other => output::streamed(other, &event)?,
            }
        }
    }
}

fn has(event: &Event, key: &str, value: &str) -> bool {
    match key {
        "subject" | "type" => event.subject.name() == value,
        "action" | "event" => event.action == value,
        "id" => event.id.starts_with(value),
        "name" => event.name.as_deref() == Some(value),
        "task" => event.id.starts_with(value) || event.name.as_deref() == Some(value),
        attribute => event.attributes.get(attribute).is_some_and(|found| found == value),
    }
}

fn line(event: &Event) -> String {
    let id = if event.id.len() == 32 {
        short_id(&event.id)
    } else {
        event.id.clone()
    };
    let mut text = format!(
        "{} {} {} {id}",
        rfc3339(event.time_ms),
        event.subject.name(),
        event.action
    );
    let name = event.name.iter().map(|name| format!("name={name}"));
    let attributes = event.attributes.iter().map(|(key, value)| format!("{key}={value}"));
    let further: Vec<_> = name.chain(attributes).collect();
    if !further.is_empty() {
        text.push_str(&format!(" ({})", further.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use api::event::EventSubject;

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = Event {
            time_ms: 1500,
            subject: EventSubject::Container,
            action: "stopped".into(),
            id: "3f2a".repeat(8),
            name: Some("web".into()),
            attributes: [("exit_code".to_owned(), "0".to_owned())].into(),
        };
        assert_eq!(
            line(&event),
            "1970-01-01T00:00:01.500Z container stopped 3f2a3f2a3f2a (name=web, exit_code=0)"
        );
        assert!(has(&event, "subject", "container") && has(&event, "exit_code", "0"));
        assert!(!has(&event, "exit_code", "1") && !has(&event, "colour", "red"));
    }
}
