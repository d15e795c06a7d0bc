# Machines to run on: QEMU for programs and for whole microcontrollers, unpacked beside the build.
#
# The packages are not installed: those of Debian 12 would remove others, and unpacked they need no root.
# shellcheck shell=bash disable=SC2154 # Variables of ci/targets.sh and of the files beside this one.

emulators=$cache/qemu

prepare_emulators() {
    if ! [ -e "$emulators/complete" ]; then
        fetch_emulators
    fi
    if ! command -v node >/dev/null; then
        install_packages nodejs
    fi
}

fetch_emulators() {
    local packages package
    # Where no package lists are, they are fetched, and nothing is installed.
    if ! apt-get --simulate install qemu-user >/dev/null 2>&1; then
        install_packages
    fi
    # All that an installation would bring, libraries included.
    packages=$(apt-get --simulate install --no-install-recommends qemu-user qemu-system-arm qemu-system-misc |
        awk '/^Inst/ { print $2 }')
    rm -rf "$emulators" "$cache/packages"
    mkdir -p "$emulators" "$cache/packages"
    echo "fetching emulators"
    # shellcheck disable=SC2086
    (cd "$cache/packages" && apt-get -qq download $packages 2>/dev/null)
    for package in "$cache/packages"/*.deb; do
        dpkg --extract "$package" "$emulators"
    done
    rm -rf "$cache/packages"
    : >"$emulators/complete"
}

# emulate NAME ARGUMENT…: one of QEMU's programs, which end by themselves; a run that does not is stopped.
emulate() {
    local name=$1
    shift
    if [ -x "$emulators/usr/bin/$name" ]; then
        LD_LIBRARY_PATH=$emulators/usr/lib/x86_64-linux-gnu:$emulators/lib/x86_64-linux-gnu \
            timeout "${emulator_seconds:-120}" "$emulators/usr/bin/$name" "$@"
    else
        timeout "${emulator_seconds:-120}" "$name" "$@"
    fi
}

# run_firmware TRIPLE ELF OPTION…: a program on a microcontroller that runs the target's code. That of thumbv6m runs on a
# Cortex-M3, because the only Cortex-M0 that QEMU 7.2 has comes with 16 KiB of RAM.
run_firmware() {
    local triple=$1 elf=$2 machine
    shift 2
    local semihosting=(-nographic -semihosting-config "enable=on,target=native")
    case $triple in
    thumbv7em-*) machine=(qemu-system-arm -M mps2-an386) ;;
    thumbv6m-*) machine=(qemu-system-arm -M mps2-an385) ;;
    riscv32*) machine=(qemu-system-riscv32 -M virt -bios none) ;;
    esac
    emulate "${machine[@]}" -L "$emulators/usr/share/qemu" "${semihosting[@]}" "$@" -kernel "$elf" </dev/null
}
