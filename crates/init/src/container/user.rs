//! Who the container's process is: names and numbers against the image's own databases.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// The largest database that is read, in bytes: bounds the memory that an image can make the guest agent use.
pub const DATABASE_LEN_MAX: u64 = 1 << 20;

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
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// One line of `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
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

/// The image's databases.
#[derive(Clone, Debug, Default)]
pub struct Databases {
    accounts: Vec<Account>,
    groups: Vec<Group>,
}

impl Databases {
    /// Reads both databases of the file system that this process has as its root; a missing one is empty.
    ///
    /// # Errors
    /// [`UserError::Unreadable`] and [`UserError::TooLong`].
    pub fn read() -> Result<Self, UserError> {
        Ok(Self {
            accounts: parse_accounts(&read_bounded("/etc/passwd")?),
            groups: parse_groups(&read_bounded("/etc/group")?),
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
        let named = self.accounts.iter().find(|account| account.name == user);
        let account = named.or_else(|| self.accounts.iter().find(|account| is_number(user, account.uid)));
        let uid = match account {
            Some(account) => account.uid,
            None => number("user", user, "/etc/passwd")?,
        };
        let (gid, groups) = match (group, account) {
            (Some(group), _) => (self.group_number(group)?, Vec::new()),
            (None, Some(account)) => (account.gid, self.groups_of(&account.name)),
            (None, None) => (0, Vec::new()),
        };
        let home = account.map_or(HOME_WITHOUT_ENTRY, |account| &account.home);
        Ok(Identity {
            uid,
            gid,
            groups,
            home: home.to_owned(),
        })
    }

    /// The number of a group that was asked for by name or number.
    fn group_number(&self, group: &str) -> Result<u32, UserError> {
        match self.groups.iter().find(|entry| entry.name == group) {
            Some(entry) => Ok(entry.gid),
            None => number("group", group, "/etc/group"),
        }
    }

    /// The groups that list `user` as a member.
    fn groups_of(&self, user: &str) -> Vec<u32> {
        let has_user = |group: &&Group| group.members.iter().any(|member| member == user);
        self.groups.iter().filter(has_user).map(|group| group.gid).collect()
    }
}

/// Whether `text` is the number `id`.
fn is_number(text: &str, id: u32) -> bool {
    text.parse() == Ok(id)
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
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.into())),
    };
    let mut bytes = Vec::new();
    file.take(DATABASE_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= DATABASE_LEN_MAX) {
        Ok(bytes)
    } else {
        Err(UserError::TooLong { path })
    }
}

/// The entries of `/etc/passwd` (passwd(5)). Lines that are not entries are passed over, as the C library does.
pub fn parse_accounts(bytes: &[u8]) -> Vec<Account> {
    lines(bytes)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _password) = (fields.next()?, fields.next()?);
            let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let (_comment, home) = (fields.next(), fields.next().unwrap_or_default());
            let home = if home.is_empty() { HOME_WITHOUT_ENTRY } else { home };
            Some(Account {
                name: name.to_owned(),
                uid,
                gid,
                home: home.to_owned(),
            })
        })
        .collect()
}

/// The entries of `/etc/group` (group(5)). Lines that are not entries are passed over.
pub fn parse_groups(bytes: &[u8]) -> Vec<Group> {
    lines(bytes)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
            let members = fields.next().unwrap_or_default().split(',').map(str::trim);
            let members = members.filter(|member| !member.is_empty()).map(str::to_owned).collect();
            Some(Group {
                name: name.to_owned(),
                gid,
                members,
            })
        })
        .collect()
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
