# Compilers for targets that the host is not.
#
# Where rustup has a target, its toolchain builds for it. Otherwise Debian's Rust does, which lives under /usr and leaves
# rustup's alone: it has the library's sources, from which `core` is built once into a sysroot of our own. Linked is with
# rustup's own lld, which knows all these targets.
# shellcheck shell=bash disable=SC2154 # Variables of ci/targets.sh and of the files beside this one.

linux_triples=(x86_64-unknown-linux-gnu i686-unknown-linux-gnu aarch64-unknown-linux-gnu s390x-unknown-linux-gnu)
wasm_triple=wasm32-unknown-unknown
bare_triples=(thumbv7em-none-eabihf thumbv6m-none-eabi riscv32imac-unknown-none-elf)

# The second Rust, and where its libraries for other targets are.
debian_rustc=/usr/bin/rustc
debian_cargo=/usr/bin/cargo
sysroot=$cache/sysroot

prepare_toolchain() {
    local host
    host=$(rustc --version --verbose | sed -n 's/^host: //p')
    lld=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
    if ! [ -x "$lld" ]; then
        echo "error: no $lld" >&2
        return 1
    fi
    local triple missing=()
    for triple in "${linux_triples[@]}" "$wasm_triple" "${bare_triples[@]}"; do
        is_installed "$triple" || missing+=("$triple")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        install_debian_rust
        build_sysroot "${missing[@]}"
    fi
}

# Whether rustup has the target.
is_installed() {
    rustup target list --installed 2>/dev/null | grep -qx "$1"
}

# Builds `core` for the targets for which the sysroot has none of this compiler's. As rustup's is built: optimised for
# speed, with the memory functions, and with bitcode for link-time optimisation.
build_sysroot() {
    local triple missing=() version
    version=$("$debian_rustc" --version)
    if [ "$(cat "$sysroot/version" 2>/dev/null)" != "$version" ]; then
        rm -rf "$sysroot"
        mkdir -p "$sysroot"
        printf '%s\n' "$version" >"$sysroot/version"
    fi
    for triple in "$@"; do
        [ -d "$sysroot/lib/rustlib/$triple" ] || missing+=(--target "$triple")
    done
    if [ "${#missing[@]}" -eq 0 ]; then
        return
    fi
    local source=$cache/sysroot-source
    mkdir -p "$source/src"
    printf '[package]\nname = "sysroot"\nedition = "2024"\n\n[workspace]\n' >"$source/Cargo.toml"
    printf '#![no_std]\n' >"$source/src/lib.rs"
    echo "building core: ${missing[*]}"
    # A folder without a configuration of cargo's above it: flags for firmware are none for libraries.
    (
        cd "$source" || exit
        RUSTC=$debian_rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_PROFILE_RELEASE_PANIC=abort \
            CARGO_TARGET_DIR=$cache/sysroot-build "$debian_cargo" build --quiet --release "${missing[@]}" \
            -Zbuild-std=core -Zbuild-std-features=compiler-builtins-mem
    )
    local library
    for triple in "$@"; do
        library=$sysroot/lib/rustlib/$triple/lib
        [ -d "$library" ] && continue
        mkdir -p "$library"
        cp "$cache/sysroot-build/$triple/release/deps"/lib{core,compiler_builtins}-*.rlib "$library/"
    done
    rm -rf "$cache/sysroot-build"
}

# Flags of the linker, and of the library where it is our own.
flags_for() {
    local triple=$1 flags="-Clinker=$lld"
    case $triple in
    *-linux-*) flags+=" -Clinker-flavor=ld.lld -Crelocation-model=static -Clink-arg=-static" ;;
    wasm32-*) flags+=" -Clinker-flavor=wasm-ld" ;;
    *) flags+=" -Clinker-flavor=ld.lld" ;;
    esac
    is_installed "$triple" || flags+=" --sysroot=$sysroot"
    printf '%s' "$flags"
}

# cargo_for TRIPLE COMMAND…: cargo with the toolchain that knows the target. Runs in a folder of the caller's choice.
cargo_for() {
    local triple=$1 command=$2 flags variable
    shift 2
    variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$triple")_RUSTFLAGS
    flags=$(flags_for "$triple")${extra_flags:+ $extra_flags}
    if is_installed "$triple"; then
        env "$variable=$flags" cargo "$command" --target "$triple" "$@"
    else
        env "$variable=$flags" "RUSTC=$debian_rustc" "$debian_cargo" "$command" --target "$triple" "$@"
    fi
}
