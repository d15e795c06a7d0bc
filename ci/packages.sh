# Packages of Debian, for scripts that source this file.
# shellcheck shell=bash

# install_packages PACKAGE…: also the lists of packages, where there are none; without a package nothing else.
install_packages() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Whether the second Rust is there: under /usr, with the sources of its library.
has_debian_rust() {
    dpkg --status rustc-web cargo-web rust-web-src >/dev/null 2>&1
}

install_debian_rust() {
    has_debian_rust || install_packages rustc-web cargo-web rust-web-src
}
