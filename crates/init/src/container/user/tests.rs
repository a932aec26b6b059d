//! Tests of the user databases.

use super::*;
use proptest::prelude::*;

const PASSWD: &[u8] =
    b"root:x:0:0:root:/root:/bin/sh\n# comment\nbroken line\nwww-data:x:33:34:www:/var/www:/bin/false\n\
    7:x:1007:1007::/seven:\nnohome:x:50:50\nlatin:x:60:60:\xe9:/:\n";
const GROUP: &[u8] =
    b"root:x:0:\nwww-data:x:34:\naudio:x:29:www-data, pulse\nvideo:x:44:pulse,www-data\nbroken:x:y:www-data\n";

/// Resolves `user` and shows it as `uid:gid groups home`, or the error.
#[track_caller]
fn check(user: &str, expected: &str) {
    let databases = Databases {
        accounts: PASSWD.to_vec(),
        groups: GROUP.to_vec(),
    };
    let shown = match databases.resolve(user) {
        Ok(Identity { uid, gid, groups, home }) => format!("{uid}:{gid} {groups:?} {home}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected);
}

#[test]
fn nobody_asked_for_is_root() {
    check("", "0:0 [] /root");
    check(":", "0:0 [] /root");
}

#[test]
fn a_name_brings_its_group_its_groups_and_its_home() {
    check("www-data", "33:34 [29, 44] /var/www");
}

#[test]
fn a_number_with_an_entry_is_that_user() {
    check("33", "33:34 [29, 44] /var/www");
}

#[test]
fn a_number_without_an_entry_is_in_the_root_group() {
    check("4711", "4711:0 [] /");
}

#[test]
fn a_group_asked_for_is_the_only_one() {
    check("www-data:audio", "33:29 [] /var/www");
    check("33:4712", "33:4712 [] /var/www");
    check(":audio", "0:29 [] /root");
}

#[test]
fn a_name_of_digits_is_a_name_first() {
    check("7", "1007:1007 [] /seven");
}

#[test]
fn a_missing_home_is_the_root_directory() {
    check("nohome", "50:50 [] /");
}

#[test]
fn an_unknown_name_is_told_with_the_place_it_was_looked_for() {
    check("nobody", "there is no user nobody in the image's /etc/passwd");
    check("latin", "there is no user latin in the image's /etc/passwd");
    check("root:wheel", "there is no group wheel in the image's /etc/group");
    check("-1", "there is no user -1 in the image's /etc/passwd");
}

#[test]
fn a_number_that_means_none_to_the_kernel_is_refused() {
    check("4294967295", "the user number 4294967295 is larger than 2147483647");
    check(
        "0:99999999999999999999",
        "the group number 99999999999999999999 is larger than 2147483647",
    );
}

proptest! {
    #[test]
    fn arbitrary_databases_and_users_never_panic(passwd in prop::collection::vec(any::<u8>(), 0..200),
                                                 group in prop::collection::vec(any::<u8>(), 0..200), user in ".{0,12}") {
        let databases = Databases { accounts: passwd, groups: group };
        let _ = databases.resolve(&user);
    }

    #[test]
    fn whoever_is_in_the_database_is_found(name in "[a-z][a-z0-9_-]{0,10}", uid in 0..ID_MAX, gid in 0..ID_MAX) {
        let accounts = format!("{name}:x:{uid}:{gid}::/home:").into_bytes();
        let identity = Databases { accounts, groups: Vec::new() }.resolve(&name).unwrap();
        prop_assert_eq!((identity.uid, identity.gid), (uid, gid));
    }
}
