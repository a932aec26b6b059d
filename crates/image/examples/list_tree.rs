//! Prints the listing of a directory tree, to be compared with another: `list_tree DIRECTORY`.

use std::io::Write;

#[path = "../tests/listing/mod.rs"]
mod listing;

fn main() -> std::io::Result<()> {
    let root = std::env::args_os()
        .nth(1)
        .ok_or_else(|| std::io::Error::other("usage: list_tree DIRECTORY"))?;
    let items = listing::collect(root.as_ref())?;
    std::io::stdout().write_all(listing::render(&items).as_bytes())
}
