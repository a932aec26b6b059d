//! Where files are copied from and to, and how tar is told.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::commands::task_name::split_container;

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a container of a task.
    Task {
        /// The task.
        task: String,
        /// The container.
        container: Option<String>,
        /// The path there.
        path: String,
    },
    /// On this host.
    Host(PathBuf),
    /// An archive, by standard input or output.
    Archive,
}

impl Place {
    /// `TASK:PATH`, `TASK/CONTAINER:PATH`, a path, or `-`. A path of this host that has a colon begins with `/` or `.`.
    pub fn parse(text: &str, container: Option<&str>) -> Self {
        if text == "-" {
            return Self::Archive;
        }
        match text.split_once(':') {
            Some((task, path)) if !text.starts_with(['/', '.']) && !task.is_empty() => {
                let (task, container) = split_container(task, container.map(str::to_owned));
                let path = if path.starts_with('/') {
                    path.to_owned()
                } else {
                    format!("/{path}")
                };
                Self::Task { task, container, path }
            }
            _ => Self::Host(PathBuf::from(text)),
        }
    }
}

/// A path as a copy sees it: the directory it is in, its name there, and whether only what is in it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The directory.
    pub parent: String,
    /// The name; `.` for the directory itself.
    pub name: String,
    /// Whether it is named as the directory's content: `PATH/.`.
    pub is_content: bool,
}

/// Takes an absolute path of a container apart.
pub fn named(path: &str) -> Named {
    let is_content = path.ends_with("/.");
    let trimmed = path.strip_suffix("/.").unwrap_or(path).trim_end_matches('/');
    let (parent, name) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
    if is_content || name.is_empty() {
        let parent = if trimmed.is_empty() { "/" } else { trimmed };
        return Named {
            parent: parent.to_owned(),
            name: ".".to_owned(),
            is_content: true,
        };
    }
    let parent = if parent.is_empty() { "/" } else { parent };
    Named {
        parent: parent.to_owned(),
        // Not an option of tar's.
        name: if name.starts_with('-') {
            format!("./{name}")
        } else {
            name.to_owned()
        },
        is_content: false,
    }
}

/// Where an archive of this host's `source` is to be unpacked in a container, and what its first name is to be, where `destination` is or is
/// not a directory there.
pub fn arrival(source: &Path, destination: &str, is_directory: bool) -> Result<Named> {
    let is_content = source.as_os_str().as_encoded_bytes().ends_with(b"/.");
    let into = destination.trim_end_matches('/');
    let into = if into.is_empty() { "/" } else { into };
    if !is_directory {
        let at = named(destination);
        return Ok(Named { is_content, ..at });
    }
    let name = if is_content {
        ".".to_owned()
    } else {
        let whole = source.canonicalize().unwrap_or_else(|_| source.to_owned());
        let name = source.file_name().or_else(|| whole.file_name());
        let name = name.with_context(|| {
            format!(
                "{} has no name: write {}/. for what is in it",
                source.display(),
                source.display()
            )
        })?;
        name.to_string_lossy().into_owned()
    };
    Ok(Named {
        parent: into.to_owned(),
        name,
        is_content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_a_task_or_on_this_host() {
        let task = |task: &str, container: Option<&str>, path: &str| Place::Task {
            task: task.into(),
            container: container.map(str::to_owned),
            path: path.into(),
        };
        assert_eq!(Place::parse("web:/etc", None), task("web", None, "/etc"));
        assert_eq!(Place::parse("web:etc", None), task("web", None, "/etc"));
        assert_eq!(Place::parse("web/proxy:/etc", None), task("web", Some("proxy"), "/etc"));
        assert_eq!(
            Place::parse("web:/etc", Some("proxy")),
            task("web", Some("proxy"), "/etc")
        );
        assert_eq!(Place::parse("-", None), Place::Archive);
        for text in ["/a:b", "./a:b", "a", ":a"] {
            assert_eq!(Place::parse(text, None), Place::Host(text.into()));
        }
    }

    fn check_named(path: &str, parent: &str, name: &str, is_content: bool) {
        let expected = Named {
            parent: parent.into(),
            name: name.into(),
            is_content,
        };
        assert_eq!(named(path), expected, "{path}");
    }

    #[test]
    fn a_path_has_a_parent_and_a_name() {
        check_named("/etc/passwd", "/etc", "passwd", false);
        check_named("/etc/", "/", "etc", false);
        check_named("/etc/.", "/etc", ".", true);
        check_named("/", "/", ".", true);
        check_named("/.", "/", ".", true);
        check_named("/a/-x", "/a", "./-x", false);
    }

    #[test]
    fn a_copy_lands_in_a_directory_or_under_a_new_name() {
        let check = |source: &str, destination, is_directory, expected: (&str, &str)| {
            let at = arrival(Path::new(source), destination, is_directory).unwrap();
            assert_eq!(
                (at.parent.as_str(), at.name.as_str()),
                expected,
                "{source} {destination}"
            );
        };
        check("site", "/srv", true, ("/srv", "site"));
        check("site", "/srv/www", false, ("/srv", "www"));
        check("site/", "/srv/", true, ("/srv", "site"));
        check("site/.", "/srv", true, ("/srv", "."));
        check("site/.", "/srv/www", false, ("/srv", "www"));
        check("a", "/", true, ("/", "a"));
    }
}
