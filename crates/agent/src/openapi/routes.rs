//! The routes, read from their comments: a method, what it takes, a colon, what it answers.

/// What can be done at a route.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// `get`, `post` and so on.
    pub method: String,
    /// What the comment says of it.
    pub description: String,
    /// The type of the body, or, of a `GET`, of the query.
    pub takes: Option<String>,
    /// Names of members of the query that are no type's.
    pub query: Vec<String>,
    /// The type of the answer.
    pub answers: Option<String>,
    /// Whether that comes several times, one a line.
    pub answers_lines: bool,
    /// Whether the connection becomes something else.
    pub upgrades: bool,
}

const METHODS: [&str; 4] = ["GET", "POST", "DELETE", "PUT"];

/// The operations that a route's comment tells of.
pub fn operations(comment: &str) -> Vec<Operation> {
    let mut starts: Vec<(usize, &str)> = METHODS
        .iter()
        .flat_map(|method| {
            let word = format!("`{method}`");
            comment
                .match_indices(&word)
                .map(|(at, _)| (at, *method))
                .collect::<Vec<_>>()
        })
        .collect();
    starts.sort_unstable();
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([comment.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|((at, method), end)| operation(method, comment[*at..end].trim()))
        .collect()
}

fn operation(method: &str, text: &str) -> Operation {
    let (takes, answers) = split(text);
    Operation {
        method: method.to_lowercase(),
        description: text.to_owned(),
        takes: first_type(takes),
        query: queried(text),
        answers: first_type(answers),
        answers_lines: answers.trim_start().starts_with("lines of"),
        upgrades: takes.contains("`Upgrade:"),
    }
}

/// What stands before the first colon that is in no backticks, and what behind it.
fn split(text: &str) -> (&str, &str) {
    let mut is_code = false;
    for (at, character) in text.char_indices() {
        match character {
            '`' => is_code = !is_code,
            ':' if !is_code && text[at..].starts_with(": ") => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

fn first_type(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("[`crate::")?;
    let (path, _) = rest.split_once('`')?;
    path.rsplit("::").next().map(str::to_owned)
}

fn queried(text: &str) -> Vec<String> {
    (text.split("`?").skip(1))
        .filter_map(|rest| rest.split_once('=').map(|(name, _)| name.to_owned()))
        .collect()
}

#[test]
fn a_comment_is_read() {
    let read = operations(
        "`GET` with [`crate::a::Query`]: lines of [`crate::b::Line`]. `POST` [`crate::c::Run`] with `Upgrade: mote`: a stream. `?name=` names it.",
    );
    assert_eq!([&*read[0].method, &*read[1].method], ["get", "post"]);
    assert_eq!(
        (read[0].takes.as_deref(), read[0].answers.as_deref()),
        (Some("Query"), Some("Line"))
    );
    assert!(read[0].answers_lines && !read[0].upgrades);
    assert_eq!(
        (read[1].takes.as_deref(), read[1].answers.as_deref()),
        (Some("Run"), None)
    );
    assert!(read[1].upgrades);
    assert_eq!(read[1].query, ["name"]);
}
