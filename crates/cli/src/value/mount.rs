//! What is mounted: file systems in memory and empty volumes.

use api::task::Tmpfs;

use super::MemoryMib;

/// `PATH[:OPTION,…]`; the option `size=` takes a unit.
///
/// # Errors
/// One sentence.
pub fn parse_tmpfs(text: &str) -> Result<Tmpfs, String> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    check_path(path)?;
    let mut tmpfs = Tmpfs {
        path: path.to_owned(),
        size_mib: None,
        options: Vec::new(),
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.strip_prefix("size=") {
            Some(size) => {
                let size = size_mib(size).ok_or_else(|| format!("'{size}' is no size: write 64m or 1g"))?;
                tmpfs.size_mib = Some(size);
            }
            None => tmpfs.options.push(option.to_owned()),
        }
    }
    Ok(tmpfs)
}

/// A size of tmpfs: bytes, or with a unit; rounded up to whole MiB.
fn size_mib(text: &str) -> Option<u32> {
    match text.parse::<u64>() {
        Ok(bytes) => u32::try_from(bytes.div_ceil(1 << 20)).ok().filter(|&mib| mib > 0),
        Err(_) => text.parse::<MemoryMib>().ok().map(|size| size.0),
    }
}

/// The path of an empty volume.
///
/// # Errors
/// One sentence; in particular for a directory of the host, of which a task sees none.
pub fn parse_volume(text: &str) -> Result<String, String> {
    if text.contains(':') {
        return Err(
            "a task sees no directories of its host and keeps no volumes: give the path of an empty volume alone, and copy files with `mote cp`"
                .to_owned(),
        );
    }
    check_path(text)?;
    Ok(text.to_owned())
}

fn check_path(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        Ok(())
    } else {
        Err(format!("'{path}' is no path in the container: begin it with /"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_taken_out_of_the_options() {
        let tmpfs = parse_tmpfs("/run:size=64m,noexec,mode=755").unwrap();
        assert_eq!((tmpfs.path.as_str(), tmpfs.size_mib), ("/run", Some(64)));
        assert_eq!(tmpfs.options, ["noexec", "mode=755"]);
        assert_eq!(parse_tmpfs("/run:size=1048577").unwrap().size_mib, Some(2));
        assert_eq!(parse_tmpfs("/run").unwrap().size_mib, None);
        for text in ["run", "/run:size=x", "/run:size=0", ""] {
            assert!(parse_tmpfs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_an_empty_volume_can_be_had() {
        assert_eq!(parse_volume("/data").unwrap(), "/data");
        for text in ["/srv:/data", "name:/data:ro", "data", ""] {
            assert!(parse_volume(text).is_err(), "{text}");
        }
    }
}
