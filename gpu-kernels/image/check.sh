#!/usr/bin/env bash
# Checks the committed image: its sources are those of this tree, the same compiler makes the same bytes, and ptxas
# takes it for every current architecture, without a spilled register and with registers left for a second block on the
# same multiprocessor. Prints registers per kernel and architecture.
set -Eeuo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/kernel-image
committed=gpu-kernels/image/orchestrator.ptx
architectures="75 80 86 89 90 100 120"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shellcheck source=ci/packages.sh
. ci/packages.sh

# What a stamp says: stamped KEY FILE.
stamped() {
    sed -n "s|^// $1: ||p" "$2"
}

compare() {
    gpu-kernels/image/build.sh "$work/orchestrator.ptx"
    local key
    for key in sources contract semantics; do
        if [ "$(stamped "$key" "$committed")" != "$(stamped "$key" "$work/orchestrator.ptx")" ]; then
            echo "error: the image was made of other sources ($key differs): run gpu-kernels/image/build.sh" >&2
            return 1
        fi
    done
    if [ "$(stamped compiler "$committed")" != "$(stamped compiler "$work/orchestrator.ptx")" ]; then
        echo "image: not compared byte by byte, the compiler here is another one:"
        echo "  stamped: $(stamped compiler "$committed")"
        echo "  here:    $(stamped compiler "$work/orchestrator.ptx")"
    elif cmp "$committed" "$work/orchestrator.ptx"; then
        echo "image: rebuilt byte for byte by $(stamped compiler "$committed")"
    else
        echo "error: the same sources and compiler made another image" >&2
        return 1
    fi
}

# ptxas from PyPI, of a pinned version.
install_ptxas() {
    local venv=$target/nvcc-13.0.88
    if ! [ -x "$venv/bin/pip" ] && ! python3 -m venv "$venv" >/dev/null 2>&1; then
        install_packages python3 python3-venv
        python3 -m venv --clear "$venv"
    fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check nvidia-cuda-nvcc==13.0.88
    ptxas=$(find "$venv" -name ptxas -type f -print -quit)
    "$ptxas" --version | tail -2
}

assemble() {
    local architecture
    for architecture in $architectures; do
        "$ptxas" --verbose --gpu-name "sm_$architecture" --output-file "$work/cubin" "$committed" 2>"$work/log" || {
            cat "$work/log" >&2
            return 1
        }
        sed -n -E "s/.*Compiling entry function '([^']*)'.*/\1/p
            s/.* ([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads.*/\1 \2/p
            s/.*Used ([0-9]+) registers.*/\1/p" "$work/log" | paste - - - | sed "s/^/$architecture /" >>"$work/table"
    done
    awk -v architectures="$architectures" '
        # 65,536 registers of a multiprocessor are 128 for each thread of two blocks.
        $5 > 128 { greedy[$2 " for sm_" $1] = 1; bad = 1 }
        $3 + $4 > 0 { spilled[$2 " for sm_" $1] = 1; bad = 1 }
        { registers[$2, $1] = $5; spills += $3 + $4; kernels[$2] = 1 }
        END {
            count = split(architectures, list, " ")
            printf "%-24s", "registers"
            for (i = 1; i <= count; i++) printf "%8s", "sm_" list[i]
            print ""
            for (kernel in kernels) {
                line = sprintf("%-24s", kernel)
                for (i = 1; i <= count; i++) line = line sprintf("%8s", registers[kernel, list[i]])
                print line | "sort"
            }
            close("sort")
            for (where in spilled) print "error: registers spill in " where
            for (where in greedy) print "error: a block is alone with the registers of " where
            print "spilled: " spills + 0 " bytes"
            exit bad
        }' "$work/table"
}

compare
install_ptxas
assemble
