//! What is mounted: file systems in memory, empty volumes and directories of the host.

use api::task::{HostVolume, Tmpfs};

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

/// What is mounted at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Volume {
    /// An empty volume, at this path.
    Empty(String),
    /// A directory of the host.
    Host(HostVolume),
}

/// `PATH`, or `HOST-PATH:PATH[:ro]`.
///
/// # Errors
/// One sentence; in particular for a volume with a name, of which none is kept.
pub fn parse_volume(text: &str) -> Result<Volume, String> {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let Some(path) = parts.next() else {
        check_path(first)?;
        return Ok(Volume::Empty(first.to_owned()));
    };
    if !first.starts_with('/') {
        return Err(format!(
            "'{first}' is no path on the host: begin it with /; no volume is kept under a name"
        ));
    }
    check_path(path)?;
    let read_only = match parts.next() {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(option) => return Err(format!("'{option}' is no option of a volume: there are ro and rw")),
    };
    if parts.next().is_some() {
        return Err(format!(
            "'{text}' is no volume: write HOST-PATH:PATH or HOST-PATH:PATH:ro"
        ));
    }
    Ok(Volume::Host(HostVolume {
        host_path: first.to_owned(),
        path: path.to_owned(),
        read_only,
    }))
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
    fn a_volume_is_empty_or_the_hosts() {
        assert_eq!(parse_volume("/data").unwrap(), Volume::Empty("/data".to_owned()));
        for (text, read_only) in [("/srv:/data", false), ("/srv:/data:rw", false), ("/srv:/data:ro", true)] {
            let volume = HostVolume {
                host_path: "/srv".to_owned(),
                path: "/data".to_owned(),
                read_only,
            };
            assert_eq!(parse_volume(text).unwrap(), Volume::Host(volume));
        }
        for text in [
            "name:/data:ro",
            "data",
            "",
            "/srv:data",
            "/srv:/data:z",
            "/srv:/data:ro:x",
            "/srv:",
        ] {
            assert!(parse_volume(text).is_err(), "{text}");
        }
    }
}
