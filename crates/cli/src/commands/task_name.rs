//! Names of tasks, and what is done for several of them.

use std::future::Future;

use anyhow::Result;

use crate::output;

/// Characters of an id that a table shows.
const SHORT_ID_LEN: usize = 12;

/// The exit code where something was done for some tasks and not for others.
const EXIT_SOME_FAILED: u8 = 1;

/// The beginning of an id that tables show.
pub fn short_id(id: &str) -> String {
    id.get(..SHORT_ID_LEN).unwrap_or(id).to_owned()
}

/// `TASK` or `TASK/CONTAINER`; the container that is named by itself comes first.
pub fn split_container(text: &str, container: Option<String>) -> (String, Option<String>) {
    match (text.split_once('/'), container) {
        (Some((task, named)), None) => (task.to_owned(), Some(named.to_owned())),
        (_, container) => (text.to_owned(), container),
    }
}

/// Does `work` for each name, and prints what comes of it. A failure does not keep the others from it.
///
/// # Errors
/// The failure, where there is only one name.
pub async fn for_each<F: Future<Output = Result<String>>>(
    names: &[String],
    mut work: impl FnMut(String) -> F,
) -> Result<u8> {
    if let [name] = names {
        output::line(&work(name.clone()).await?)?;
        return Ok(0);
    }
    let mut code = 0;
    for name in names {
        match work(name.clone()).await {
            Ok(line) => output::line(&line)?,
            Err(error) => {
                output::error(&error);
                code = EXIT_SOME_FAILED;
            }
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_named_behind_its_task_or_by_itself() {
        let check = |text, container: Option<&str>, expected: (&str, Option<&str>)| {
            let found = split_container(text, container.map(str::to_owned));
            assert_eq!((found.0.as_str(), found.1.as_deref()), expected);
        };
        check("web", None, ("web", None));
        check("web/proxy", None, ("web", Some("proxy")));
        check("web", Some("proxy"), ("web", Some("proxy")));
    }
}
