//! Which name stands for which image, and what a user's word for an image can mean. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::reference::Reference;

/// The fewest digits of a digest that can stand for it.
pub const SHORT_ID_LEN_MIN: usize = 4;

/// The names of all images: their only mutable part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Names(BTreeMap<String, Digest>);

/// What a user's word for an image means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This image.
    Image(Digest),
    /// The start of several images' digests.
    Ambiguous,
    /// No image of this store.
    Nothing,
}

impl Names {
    /// Lets `name` stand for the image `digest`, and for no other from now on.
    pub fn set(&mut self, name: &Reference, digest: Digest) {
        self.0.insert(key(name), digest);
    }

    /// Drops one name. Answers which image it stood for.
    pub fn remove(&mut self, name: &Reference) -> Option<Digest> {
        self.0.remove(&key(name))
    }

    /// Drops all names of an image.
    pub fn remove_image(&mut self, digest: Digest) {
        self.0.retain(|_, named| *named != digest);
    }

    /// Drops the names of all but `images`.
    pub fn retain_images(&mut self, images: &[Digest]) {
        self.0.retain(|_, named| images.contains(named));
    }

    /// The image that `name` stands for.
    #[must_use]
    pub fn get(&self, name: &Reference) -> Option<Digest> {
        self.0.get(&key(name)).copied()
    }

    /// The names of an image, sorted.
    #[must_use]
    pub fn of(&self, digest: Digest) -> Vec<String> {
        self.0
            .iter()
            .filter(|(_, named)| **named == digest)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// What `word` means among `images`: a name, a manifest's digest, or the start of its hexadecimal digits.
    #[must_use]
    pub fn meaning(&self, word: &str, images: &[Digest]) -> Meaning {
        if let Ok(reference) = Reference::parse(word) {
            let of_digest = || reference.digest().filter(|digest| images.contains(digest));
            if let Some(digest) = self.get(&reference).or_else(of_digest) {
                return Meaning::Image(digest);
            }
        }
        let hex = word.strip_prefix("sha256:").unwrap_or(word);
        if hex.len() < SHORT_ID_LEN_MIN {
            return Meaning::Nothing;
        }
        let mut matches = images.iter().filter(|digest| digest.hex().starts_with(hex));
        match (matches.next(), matches.next()) {
            (Some(digest), None) => Meaning::Image(*digest),
            (Some(_), Some(_)) => Meaning::Ambiguous,
            (None, _) => Meaning::Nothing,
        }
    }
}

/// A name is a repository with a tag, or with a digest: where a reference has both, the digest decided what was pulled.
fn key(name: &Reference) -> String {
    match name.digest() {
        Some(digest) => format!("{}/{}@{digest}", name.domain(), name.path()),
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        Reference::parse(text).unwrap()
    }

    #[test]
    fn a_name_stands_for_one_image_at_a_time() {
        let mut names = Names::default();
        names.set(&reference("a"), Digest::of(b"1"));
        names.set(&reference("b"), Digest::of(b"1"));
        names.set(&reference("a"), Digest::of(b"2"));
        assert_eq!(names.of(Digest::of(b"1")), ["docker.io/library/b:latest"]);
        assert_eq!(
            names.get(&reference("docker.io/library/a:latest")),
            Some(Digest::of(b"2"))
        );
    }

    #[test]
    fn an_image_has_many_words() {
        let digest = Digest::of(b"image");
        let mut names = Names::default();
        names.set(&reference("a:1"), digest);
        let images = [digest, Digest::of(b"other")];
        let short = &digest.hex()[..12];
        for word in [
            "a:1",
            "library/a:1",
            short,
            &digest.to_string(),
            &digest.hex(),
            &format!("x@{digest}"),
        ] {
            assert_eq!(names.meaning(word, &images), Meaning::Image(digest), "{word}");
        }
        for word in ["a", "a:2", "", &digest.hex()[..3], "0000"] {
            assert_eq!(names.meaning(word, &images), Meaning::Nothing, "{word}");
        }
    }

    #[test]
    fn the_start_of_two_digests_means_neither() {
        let first = Digest::from_hex(&format!("abcd{}", "0".repeat(60))).unwrap();
        let second = Digest::from_hex(&format!("abcd{}", "1".repeat(60))).unwrap();
        let names = Names::default();
        assert_eq!(names.meaning("abcd", &[first, second]), Meaning::Ambiguous);
        assert_eq!(names.meaning("abcd1", &[first, second]), Meaning::Image(second));
    }

    #[test]
    fn an_image_pulled_by_an_indexs_digest_is_found_by_it() {
        let (index, image) = (Digest::of(b"index"), Digest::of(b"image"));
        let mut names = Names::default();
        names.set(&reference(&format!("a:1@{index}")), image);
        assert_eq!(names.meaning(&format!("a@{index}"), &[image]), Meaning::Image(image));
    }
}
