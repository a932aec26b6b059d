#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154 # recipe.sh reads these variables and sets $work
# A server on Debian, in three layers: Debian, nginx, and a site that removes the packaged one.

packages=(nginx ca-certificates)
config='{"Entrypoint": ["/docker-entrypoint.sh"], "Cmd": ["nginx", "-g", "daemon off;"], "ExposedPorts": {"80/tcp": {}},
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "StopSignal": "SIGQUIT"}'

layers() {
    local base site=$work/site
    base=$(debian_base)
    debian_tree "$work/full.tar" ca-certificates nginx
    mkdir -p "$site"/{etc/nginx/sites-enabled,etc/nginx/conf.d,var/www/html,var/log/nginx}
    # Whiteouts: the packaged site goes, and with it all that the packaged document root holds.
    touch "$site/etc/nginx/sites-enabled/.wh.default" "$site/var/www/html/.wh..wh..opq"
    printf '<!doctype html><title>mote</title><p>hello from nginx\n' >"$site/var/www/html/index.html"
    cat >"$site/etc/nginx/conf.d/site.conf" <<'END'
server {
    listen 80 default_server;
    root /var/www/html;
}
END
    ln -s /dev/stdout "$site/var/log/nginx/access.log"
    ln -s /dev/stderr "$site/var/log/nginx/error.log"
    # shellcheck disable=SC2016 # for the container's shell
    printf '#!/bin/sh\nset -e\nexec "$@"\n' >"$site/docker-entrypoint.sh"
    chmod 0755 "$site/docker-entrypoint.sh"
    add_tree "$work/site.tar" "$site"
    printf '%s\n' --layer "$base" --onto "$base" "$work/full.tar" --layer "$work/site.tar"
}

# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"
