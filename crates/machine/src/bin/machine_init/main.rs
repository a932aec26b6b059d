//! machine init
fn main() {}
