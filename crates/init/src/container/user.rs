//! Who the container's process is: names and numbers against the image's own databases.

use std::io;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read};

/// The largest database that is read, in bytes: bounds the memory that an image can make the guest agent use.
pub const DATABASE_LEN_MAX: usize = 1 << 20;

/// Bytes read at once, at least: what most databases are shorter than.
const READ_LEN: usize = 4096;

/// The largest user and group number; the kernel keeps the one above 2³²-2 for "none", and Docker stops here.
const ID_MAX: u32 = i32::MAX.cast_unsigned();

/// Where a user without an entry is at home.
const HOME_WITHOUT_ENTRY: &str = "/";

/// Why the user of a container cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A database cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The database.
        path: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A database is too large.
    #[error("{path} is longer than {DATABASE_LEN_MAX} bytes")]
    TooLong {
        /// The database.
        path: &'static str,
    },
    /// A name without an entry.
    #[error("there is no {kind} {name} in the image's {path}")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        path: &'static str,
    },
    /// A number that is too large.
    #[error("the {kind} number {number} is larger than {ID_MAX}")]
    TooLarge {
        /// `user` or `group`.
        kind: &'static str,
        /// The number.
        number: String,
    },
}

/// One line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// One line of `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    name: &'a str,
    gid: u32,
    /// Separated by commas.
    members: &'a str,
}

/// The identity of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: String,
}

/// The image's databases, as they are in their files: of what may be thousands of entries, few are asked for.
#[derive(Clone, Debug, Default)]
pub struct Databases {
    accounts: Vec<u8>,
    groups: Vec<u8>,
}

impl Databases {
    /// Reads both databases of the file system that this process has as its root; a missing one is empty.
    ///
    /// # Errors
    /// [`UserError::Unreadable`] and [`UserError::TooLong`].
    pub fn read() -> Result<Self, UserError> {
        Ok(Self {
            accounts: read_bounded("/etc/passwd")?,
            groups: read_bounded("/etc/group")?,
        })
    }

    /// Who `user` is: `user[:group]`, each a name or a number, empty for root.
    ///
    /// # Errors
    /// [`UserError::Unknown`] and [`UserError::TooLarge`].
    pub fn resolve(&self, user: &str) -> Result<Identity, UserError> {
        let (user, group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (user, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let named = accounts(&self.accounts).find(|account| account.name == user);
        let account = named.or_else(|| {
            let uid: u32 = user.parse().ok()?;
            accounts(&self.accounts).find(|account| account.uid == uid)
        });
        let uid = match &account {
            Some(account) => account.uid,
            None => number("user", user, "/etc/passwd")?,
        };
        let (gid, groups) = match (group, &account) {
            (Some(group), _) => (self.group_number(group)?, Vec::new()),
            (None, Some(account)) => (account.gid, self.groups_of(account.name)),
            (None, None) => (0, Vec::new()),
        };
        let home = account.map_or(HOME_WITHOUT_ENTRY, |account| account.home);
        Ok(Identity {
            uid,
            gid,
            groups,
            home: home.to_owned(),
        })
    }

    /// The number of a group that was asked for by name or number.
    fn group_number(&self, group: &str) -> Result<u32, UserError> {
        match groups(&self.groups).find(|entry| entry.name == group) {
            Some(entry) => Ok(entry.gid),
            None => number("group", group, "/etc/group"),
        }
    }

    /// The groups that list `user` as a member.
    fn groups_of(&self, user: &str) -> Vec<u32> {
        let has_user = |group: &Group<'_>| group.members.split(',').any(|member| member.trim() == user);
        groups(&self.groups).filter(has_user).map(|group| group.gid).collect()
    }
}

/// The number that `text` is, where no entry has it as a name.
fn number(kind: &'static str, text: &str, path: &'static str) -> Result<u32, UserError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UserError::Unknown {
            kind,
            name: text.to_owned(),
            path,
        });
    }
    let number = text.parse().ok().filter(|number| *number <= ID_MAX);
    number.ok_or_else(|| UserError::TooLarge {
        kind,
        number: text.to_owned(),
    })
}

/// Reads a whole database, or nothing where it does not exist.
fn read_bounded(path: &'static str) -> Result<Vec<u8>, UserError> {
    let unreadable = |source: io::Error| UserError::Unreadable { path, source };
    // A fifo in the file's place must not make this wait.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(Path::new(path), flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.into())),
    };
    let mut bytes = Vec::new();
    loop {
        bytes.reserve(READ_LEN);
        match read(&file, spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() > DATABASE_LEN_MAX => return Err(UserError::TooLong { path }),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(unreadable(error.into())),
        }
    }
}

/// The entries of `/etc/passwd` (passwd(5)). Lines that are not entries are passed over, as the C library does.
pub fn accounts(bytes: &[u8]) -> impl Iterator<Item = Account<'_>> {
    lines(bytes).filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_comment, home) = (fields.next(), fields.next().unwrap_or_default());
        let home = if home.is_empty() { HOME_WITHOUT_ENTRY } else { home };
        Some(Account { name, uid, gid, home })
    })
}

/// The entries of `/etc/group` (group(5)). Lines that are not entries are passed over.
pub fn groups(bytes: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(bytes).filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        let members = fields.next().unwrap_or_default();
        Some(Group { name, gid, members })
    })
}

/// The lines that are text and no comment.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| str::from_utf8(line).ok())
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
}

#[cfg(test)]
mod tests;
