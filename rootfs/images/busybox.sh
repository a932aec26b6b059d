#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154 # recipe.sh reads these variables and sets $work
# The smallest useful image: one static program under all its names, and the files that say who is who.

packages=(busybox-static)
config='{"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}'

layers() {
    local tree=$work/tree applet
    mkdir -p "$work/package" "$tree"/{bin,dev,etc,home/app,proc,root,sys,tmp,usr/bin,usr/sbin,sbin,var/www}
    (cd "$work/package" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" busybox-static >&2 && dpkg -x busybox-static_*.deb .)
    cp "$work/package/bin/busybox" "$tree/bin/busybox"
    # Hard links, as in the image that everybody knows: all names are one file.
    for applet in $("$tree/bin/busybox" --list); do
        [[ -e $tree/bin/$applet ]] || ln "$tree/bin/busybox" "$tree/bin/$applet"
    done
    cat >"$tree/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
app:x:1000:1000:an ordinary user:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
END
    cat >"$tree/etc/group" <<'END'
root:x:0:
daemon:x:1:
tty:x:5:
audio:x:29:app
www-data:x:33:app
app:x:1000:
nogroup:x:65534:
END
    printf 'root:*:::::::\napp:*:::::::\n' >"$tree/etc/shadow"
    printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$tree/etc/nsswitch.conf"
    chmod 0755 "$tree" "$tree/bin/busybox"
    chmod 1777 "$tree/tmp"
    chmod 0700 "$tree/root"
    chmod 0640 "$tree/etc/shadow"
    add_tree "$work/tree.tar" "$tree"
    # The later entry of the same name counts.
    add_tree "$work/tree.tar" "$tree" home/app 1000
    printf '%s\n' --layer "$work/tree.tar"
}

# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"
