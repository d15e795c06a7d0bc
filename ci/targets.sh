#!/usr/bin/env bash
# Other machines: the goldens computed on eight targets, and what the core costs on microcontrollers.
#
#   ci/targets.sh            everything
#   ci/targets.sh goldens    one part: goldens, features, budgets
#
# Emulators, and the parts of a toolchain where rustup has no such targets, come from Debian's archive into
# $CARGO_TARGET_DIR/targets; a second run finds them there. rustup is never allowed to download.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

export RUSTUP_AUTO_INSTALL=0 RUSTUP_DIST_SERVER=file:///nonexistent
cache=$(realpath -m "${CARGO_TARGET_DIR:-target}")/targets
mkdir -p "$cache"

part=tools
trap 'echo "FAILED: $part" >&2' ERR

# shellcheck source=ci/packages.sh
. ci/packages.sh
# shellcheck source=ci/targets/toolchain.sh
. ci/targets/toolchain.sh
# shellcheck source=ci/targets/emulators.sh
. ci/targets/emulators.sh
# shellcheck source=ci/targets/firmware.sh
. ci/targets/firmware.sh
# shellcheck source=ci/targets/goldens.sh
. ci/targets/goldens.sh
# shellcheck source=ci/targets/features.sh
. ci/targets/features.sh
# shellcheck source=ci/targets/budgets.sh
. ci/targets/budgets.sh

parts=("$@")
if [ "${#parts[@]}" -eq 0 ]; then
    parts=(goldens features budgets)
fi
prepare_toolchain
prepare_emulators
for part in "${parts[@]}"; do
    "run_$part"
done
