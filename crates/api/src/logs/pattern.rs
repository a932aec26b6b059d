//! Filter patterns: which events are wanted.
//!
//! The simple syntax for text: words that an event has to contain, `"phrases"` in quotes, `-without`, and `?any ?of ?these`, which count only where
//! there is nothing else. Letters' case matters. Patterns for JSON, for columns and regular expressions are refused.

use super::error::LogsError;

/// The most bytes of a pattern.
pub const PATTERN_LEN_MAX: usize = 1024;

/// What an event has to contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    wanted: Vec<String>,
    unwanted: Vec<String>,
    /// Of these, one is enough.
    optional: Vec<String>,
}

impl Pattern {
    /// Whether `message` is wanted.
    #[must_use]
    pub fn matches(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
        if self.wanted.is_empty() && self.unwanted.is_empty() {
            return self.optional.is_empty() || self.optional.iter().any(has);
        }
        self.wanted.iter().all(has) && !self.unwanted.iter().any(has)
    }
}

/// Reads a pattern.
///
/// # Errors
/// Where it is none, or of a kind that is not supported.
pub fn parse(text: &str) -> Result<Pattern, LogsError> {
    if text.len() > PATTERN_LEN_MAX {
        return Err(LogsError::invalid(format!(
            "the filter pattern is longer than {PATTERN_LEN_MAX} bytes"
        )));
    }
    let refuse = |kind: &str| {
        Err(LogsError::invalid(format!(
            "filterPattern {text:?} is {kind}, which mote does not support; give words, phrases in double quotes, -word or ?word"
        )))
    };
    match text.trim().chars().next() {
        Some('{') => return refuse("a pattern for JSON"),
        Some('[') => return refuse("a pattern for columns"),
        Some('%') => return refuse("a regular expression"),
        _ => {}
    }
    let mut pattern = Pattern::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (terms, after) = if let Some(after) = rest.strip_prefix('-') {
            (&mut pattern.unwanted, after)
        } else if let Some(after) = rest.strip_prefix('?') {
            (&mut pattern.optional, after)
        } else {
            (&mut pattern.wanted, rest)
        };
        let (term, after) = parse_term(after)?;
        if !term.is_empty() {
            terms.push(term);
        }
        rest = after.trim_start();
    }
    Ok(pattern)
}

/// The first term of `text`, and what comes after it.
fn parse_term(text: &str) -> Result<(String, &str), LogsError> {
    if let Some(quoted) = text.strip_prefix('"') {
        return parse_quoted(quoted);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (term, rest) = text.split_at(end);
    let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_';
    if term.is_empty() || !term.chars().all(is_plain) {
        return Err(LogsError::invalid(format!(
            "Invalid character(s) in term '{term}' of filterPattern: put what is not only letters, digits and underscores in double quotes"
        )));
    }
    Ok((term.to_owned(), rest))
}

/// A phrase up to its closing quote; a backslash takes away a quote's or a backslash's meaning.
fn parse_quoted(text: &str) -> Result<(String, &str), LogsError> {
    let mut term = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((term, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, escaped @ ('"' | '\\'))) => term.push(escaped),
                Some((_, other)) => term.extend(['\\', other]),
                None => break,
            },
            letter => term.push(letter),
        }
    }
    Err(LogsError::invalid("a double quote in filterPattern is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, wanted: &[&str], unwanted: &[&str]) {
        let parsed = parse(pattern).unwrap();
        for message in wanted {
            assert!(parsed.matches(message), "{pattern} wants {message}");
        }
        for message in unwanted {
            assert!(!parsed.matches(message), "{pattern} does not want {message}");
        }
    }

    #[test]
    fn no_pattern_wants_everything() {
        check("", &["", "a"], &[]);
        check("  ", &["a"], &[]);
        check("\"\"", &["a"], &[]);
    }

    #[test]
    fn all_words_are_wanted_in_any_order() {
        check("ERROR code", &["code ERRORS"], &["ERROR", "error code"]);
    }

    #[test]
    fn phrases_and_exclusions() {
        check(
            "\"exit 1\" -\"a b\" -c",
            &["exit 1 a"],
            &["exit 1 a b", "exit 1 c", "exit", "1 exit"],
        );
        check(r#""say \"hi\" \n""#, &[r#"say "hi" \n"#], &["say hi"]);
        check("-a", &["b"], &["ab"]);
    }

    #[test]
    fn one_of_the_optional_is_enough_where_there_is_nothing_else() {
        check("?WARN ?\"E R\"", &["WARN", "xE R"], &["INFO"]);
        check("?WARN a", &["a"], &["WARN"]);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (pattern, named) in [
            ("{ $.a = 1 }", "JSON"),
            ("[a, b]", "columns"),
            ("%a+%", "regular"),
            ("a:b", "'a:b'"),
            ("\"a", "closed"),
            ("- a", "''"),
        ] {
            let error = parse(pattern).unwrap_err();
            assert!(error.message.contains(named), "{pattern}: {error}");
        }
        parse(&"x".repeat(2000)).unwrap_err();
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,60}", message in ".{0,60}") {
            if let Ok(pattern) = parse(&text) {
                let _ = pattern.matches(&message);
            }
        }
    }
}
