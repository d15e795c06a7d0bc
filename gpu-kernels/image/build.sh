#!/usr/bin/env bash
# Builds the kernel image from the sources: image/build.sh [FILE], by default the committed image/orchestrator.ptx.
#
# The same compiler makes the same bytes, in any folder. Of the compilers for the device's target it takes, in this
# order: the one that the committed image was made with, if it is the second Rust from Debian (under /usr); rustup's
# nightly with rust-src; Debian's, which it installs. rustup is never allowed to download.
set -Eeuo pipefail
export RUSTUP_AUTO_INSTALL=0 LC_ALL=C
out=$(realpath -m "${1:-"$(dirname "$0")/orchestrator.ptx"}")
cd "$(dirname "$0")/../.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/kernel-image
committed=gpu-kernels/image/orchestrator.ptx
triple=nvptx64-nvidia-cuda

# shellcheck source=ci/packages.sh
. ci/packages.sh

# What a stamp says: stamped KEY FILE.
stamped() {
    sed -n "s|^// $1: ||p" "$2" 2>/dev/null || true
}

has_nightly() {
    local sysroot
    sysroot=$(rustc +nightly --print sysroot 2>/dev/null) && [ -d "$sysroot/lib/rustlib/src/rust/library" ]
}

debian=(env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo)
if has_debian_rust && [ "$(/usr/bin/rustc --version)" = "$(stamped compiler "$committed")" ]; then
    cargo=("${debian[@]}")
    compiler=$(/usr/bin/rustc --version)
elif has_nightly; then
    cargo=(cargo +nightly)
    compiler=$(rustc +nightly --version)
else
    install_debian_rust
    cargo=("${debian[@]}")
    compiler=$(/usr/bin/rustc --version)
fi

# The sources that the image is made of. tests/kernels/image.rs works out the same.
sources=$(find core-nostd/src gpu-kernels/src gpu-kernels/shell -name target -prune -o -type f -print | sort |
    xargs sha256sum | sha256sum | cut -d ' ' -f 1)
contract=$(sed -n 's/^ *contract_version: \([0-9]*\),$/\1/p' gpu-kernels/src/contract.rs)
semantics=$(sed -n 's/^pub const SEMANTICS_VERSION: u32 = \([0-9]*\);$/\1/p' core-nostd/src/lib.rs)

# An image needs no link: its code is what the compiler prints.
CARGO_TARGET_DIR=$target RUSTFLAGS="-Ctarget-cpu=sm_75" "${cargo[@]}" rustc --quiet --locked --release \
    --manifest-path gpu-kernels/shell/Cargo.toml --target "$triple" -Zbuild-std=core -- \
    --emit=asm -Zunstable-options -Clinker-flavor=llbc -Clinker=/bin/true
code=$target/$triple/release/deps/orchestrator_kernel_shell.s

{
    echo "// The kernels of orchestrator for NVIDIA GPUs, made by gpu-kernels/image/build.sh."
    echo "// compiler: $compiler"
    echo "// sources: $sources"
    echo "// contract: $contract"
    echo "// semantics: $semantics"
    # Names of constants hold a hash of the folder.
    sed 's/anon_\$_[0-9a-f]*_\$_/constant_/g' "$code"
} >"$out.new"
mv "$out.new" "$out"
