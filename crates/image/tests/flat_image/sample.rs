//! Trees with everything that a layer can hold, archived by GNU tar. Needs root: owners, devices, file capabilities.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::tool;

/// A source tree in the making.
pub struct Source {
    root: PathBuf,
}

impl Source {
    pub fn new(root: PathBuf) -> Self {
        fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    pub fn at(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.root.join(OsStr::from_bytes(path.as_ref()))
    }

    pub fn file(&self, path: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> PathBuf {
        let full = self.at(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, contents).unwrap();
        full
    }

    pub fn directory(&self, path: &str, mode: u32) {
        fs::create_dir_all(self.at(path)).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn symlink(&self, path: &str, target: &str) {
        symlink(target, self.at(path)).unwrap();
    }

    pub fn node(&self, path: &str, kind: FileType, major: u32, minor: u32) {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(CWD, self.at(path), kind, Mode::from_raw_mode(0o620), device).unwrap();
    }

    pub fn xattr(&self, path: &str, name: &str, value: &[u8]) {
        rustix::fs::lsetxattr(self.at(path), name, value, XattrFlags::empty()).unwrap();
    }

    pub fn mtime(&self, path: &str, seconds: i64, nanoseconds: i64) {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, self.at(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    pub fn owner(&self, path: &str, uid: u32, gid: u32) {
        lchown(self.at(path), Some(uid), Some(gid)).unwrap();
    }

    /// A file of `bytes` bytes with short runs of data and holes between them.
    pub fn sparse(&self, path: &str, bytes: u64, runs: &[u64]) {
        let file = File::create(self.at(path)).unwrap();
        file.set_len(bytes).unwrap();
        for offset in runs {
            file.write_all_at(b"not a hole", *offset).unwrap();
        }
    }

    /// Archives `paths` with GNU tar.
    pub fn archive<S: AsRef<OsStr>>(
        &self,
        name: &str,
        options: &[&str],
        paths: impl IntoIterator<Item = S>,
    ) -> PathBuf {
        let archive = self.root.with_file_name(name);
        let mut arguments: Vec<std::ffi::OsString> = vec!["-cf".into(), archive.clone().into()];
        arguments.extend(options.iter().map(Into::into));
        arguments.push("--".into());
        arguments.extend(paths.into_iter().map(|path| path.as_ref().to_owned()));
        tool::run_in(&self.root, "tar", arguments);
        archive
    }
}

/// The lowest layer: every type, attribute and odd name.
pub fn base(directory: &Path) -> PathBuf {
    let source = Source::new(directory.join("base"));
    contents(&source);
    names_and_links(&source);
    attributes(&source);
    source.archive(
        "base.tar",
        &["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse"],
        ["."],
    )
}

fn contents(source: &Source) {
    source.file("empty", "");
    for (at, bytes) in [1, 511, 512, 513, 4095, 4096, 4097, 1 << 20, (3 << 20) + 17]
        .into_iter()
        .enumerate()
    {
        let byte = u8::try_from(at).unwrap();
        source.file(format!("sizes/{bytes}"), vec![byte; bytes]);
        source.file(format!("sizes/again{bytes}"), vec![byte; bytes]);
        source.file(
            format!("sizes/other{bytes}"),
            [vec![byte; bytes - 1], vec![byte + 1]].concat(),
        );
    }
    source.sparse("holes", 9_000_000, &[0, 70_000, 5_000_000, 8_999_990]);
    source.sparse(
        "manyholes",
        4_000_000,
        &(0..90).map(|at| at * 40_000).collect::<Vec<_>>(),
    );
    source.sparse("onlyhole", 5_000_000, &[]);
    for at in 0..1000 {
        source.file(format!("crowd/a-name-of-some-length-{at}"), "");
    }
}

fn names_and_links(source: &Source) {
    for name in [
        &b"\xff\xfe non-utf8 \xe9"[..],
        b"new\nline",
        b"!bang",
        b"-dash",
        b"...",
        b"\\back\"quote",
    ] {
        source.file([b"odd/", name].concat(), name);
    }
    source.file(format!("odd/{}", "n".repeat(255)), "long name");
    source.file(
        format!("{}/prefix", ["p".repeat(90).as_str(); 2].join("/")),
        "fits ustar's prefix",
    );
    source.file(
        format!("{}/deep", ["d".repeat(120).as_str(); 8].join("/")),
        "fits PAX only",
    );
    source.symlink("link", "sizes/1");
    source.symlink("absolute", "/usr/lib");
    source.symlink("dangling", "../no/where");
    source.symlink("longlink", &"t/".repeat(2000));
    source.file("usr/lib/libc.so", "library");
    source.symlink("lib", "usr/lib");
    let first = source.file("linked/first", "many names");
    for name in ["linked/second", "third"] {
        fs::hard_link(&first, source.at(name)).unwrap();
    }
    fs::hard_link(source.at("link"), source.at("linked/link")).unwrap();
    for path in [
        "gone/file",
        "gone/sub/file",
        "partly/gone",
        "partly/stays",
        "opaque/a",
        "opaque/sub/b",
        "d2f/x",
        "f2d",
    ] {
        source.file(path, path);
    }
}

fn attributes(source: &Source) {
    source.directory("sticky", 0o1777);
    source.directory("setgid", 0o2755);
    source.directory("closed", 0o000);
    for (path, mode) in [
        ("suid", 0o4755),
        ("none", 0o000),
        ("owned", 0o640),
        ("acl", 0o664),
        ("caps", 0o755),
    ] {
        source.file(path, path);
        fs::set_permissions(source.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    source.owner("owned", 70_000, 4_000_000_000);
    source.owner("setgid", 0, 65_536);
    source.owner("link", 33, 33);
    source.node("null", FileType::CharacterDevice, 1, 3);
    source.node("disk", FileType::BlockDevice, 259, 1_048_575);
    source.node("pipe", FileType::Fifo, 0, 0);
    // cap_net_bind_service=ep, as setcap writes it (capabilities(7), VFS_CAP_REVISION_2).
    source.xattr(
        "caps",
        "security.capability",
        &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    source.xattr("owned", "user.binary", b"\0=\n\xff");
    source.xattr("owned", "user.large", &[7; 3000]);
    source.xattr("sticky", "trusted.note", b"directory");
    source.xattr("dangling", "trusted.note", b"symlink");
    // u::rw-,u:70000:r--,g::rw-,m::rw-,o::r-- (Linux, posix_acl_xattr.h).
    let acl: Vec<u8> = [
        (1, 6, u32::MAX),
        (2, 4, 70_000),
        (4, 6, u32::MAX),
        (16, 6, u32::MAX),
        (32, 4, u32::MAX),
    ]
    .into_iter()
    .flat_map(|(tag, permissions, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    })
    .collect();
    source.xattr(
        "acl",
        "system.posix_acl_access",
        &[&2_u32.to_le_bytes()[..], &acl].concat(),
    );
    source.mtime("suid", -86_400, 0);
    source.mtime("none", -1, 999_999_999);
    source.mtime("link", 1_600_000_000, 1);
    source.mtime("sticky", 1, 500_000_000);
    source.mtime("empty", 0, 0);
}

/// Layers that change what is below, each in another dialect.
pub fn changes(directory: &Path) -> Vec<PathBuf> {
    vec![
        whiteouts(directory),
        replacements(directory),
        through_a_link(directory),
        more_sparse(directory),
    ]
}

/// GNU's dialect with its long names; whiteouts before and behind what their layer adds.
fn whiteouts(directory: &Path) -> PathBuf {
    let source = Source::new(directory.join("whiteouts"));
    for path in [
        ".wh.gone",
        "partly/.wh.gone",
        "opaque/.wh..wh..opq",
        "partly/.wh.never-there",
    ] {
        source.file(path, "");
    }
    source.file("partly/new", "new");
    source.file("opaque/sub/c", "c");
    source.file(format!("long/{}", "g".repeat(200)), "a GNU long name");
    source.symlink("long/link", &"g".repeat(300));
    // The marker comes first because `umoci unpack` lets what it hides touch the time of the directory it was in.
    let paths = ["opaque/.wh..wh..opq", "opaque/sub", "partly", ".wh.gone", "long"];
    source.archive("whiteouts.tar.gz", &["--format=gnu", "--gzip"], paths)
}

/// Types change, metadata changes, and a hard link leads to a file of the layer below.
fn replacements(directory: &Path) -> PathBuf {
    let source = Source::new(directory.join("replacements"));
    source.file("d2f", "now a file");
    source.file("f2d/inside", "now a directory");
    source.directory("crowd", 0o711);
    source.directory("sticky", 0o755);
    source.file("third", "a name of its own again");
    source.file("linked/first", "");
    fs::hard_link(source.at("linked/first"), source.at("linked-to-lower")).unwrap();
    let archive = source.archive(
        "replacements.tar",
        &["--format=posix", "--pax-option=globexthdr.name=g,exthdr.name=x"],
        [
            "d2f",
            "f2d",
            "crowd",
            "sticky",
            "third",
            "linked/first",
            "linked-to-lower",
        ],
    );
    // Only the link stays: its target is in the layer below.
    tool::run(
        "tar",
        [
            OsStr::new("--delete"),
            OsStr::new("-f"),
            archive.as_os_str(),
            OsStr::new("linked/first"),
        ],
    );
    archive
}

/// A path that leads through the symbolic link of a lower layer.
fn through_a_link(directory: &Path) -> PathBuf {
    let source = Source::new(directory.join("through"));
    source.file("lib/added.so", "through the link");
    source.archive("through.tar", &["--format=ustar"], ["lib/added.so"])
}

/// The older ways to tell a PAX sparse file, each in its archive, joined to one layer.
fn more_sparse(directory: &Path) -> PathBuf {
    let source = Source::new(directory.join("sparse"));
    for version in ["0.0", "0.1"] {
        source.sparse(
            version,
            2_000_000,
            &(0..40).map(|at| 123 + at * 40_000).collect::<Vec<_>>(),
        );
    }
    let options = |version| ["--format=posix", "--sparse", version];
    let layer = source.archive("sparse.tar", &options("--sparse-version=0.0"), ["0.0"]);
    let second = source.archive("sparse01.tar", &options("--sparse-version=0.1"), ["0.1"]);
    tool::run(
        "tar",
        [
            OsStr::new("--concatenate"),
            OsStr::new("-f"),
            layer.as_os_str(),
            second.as_os_str(),
        ],
    );
    layer
}
