#!/usr/bin/env bash
# The freestanding proof: at opt-level 3 and "s" the program links without a panic and without an allocator, runs, and
# decides as expected; with a planted panic it must not link. Where it does not link, the panics are located.
set -euo pipefail
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-target}
planted_symbol=orchestrator_core_can_panic

# Prints every call of a panic function in a program linked with feature `locate_panics`, with its inlined frames.
locate() {
    objdump -d --no-show-raw-insn "$1" |
        sed -nE 's/^ *([0-9a-f]+):.*(call|jmp) .*<([^>]*(panic|unwrap_failed|expect_failed|index_fail|_fail)[^>]*)>$/\1 \3/p' |
        while read -r address callee; do
            echo "-- calls $callee"
            addr2line -Cfipe "$1" "0x$address" | head -12
        done
}

for profile in release small; do
    echo "freestanding, profile $profile"
    program=$target/$profile/freestanding
    if ! cargo build --quiet --profile "$profile"; then
        echo "error: a panic is reachable; these calls are why:" >&2
        cargo build --quiet --profile "$profile" --features locate_panics
        locate "$program" >&2
        exit 1
    fi
    if nm -C "$program" | grep -iE '__rust_alloc|__rdl_|__rg_|alloc::|panick|unwrap_failed|expect_failed'; then
        echo "error: forbidden symbols, see above" >&2
        exit 1
    fi
    if [ -n "$(nm --undefined-only "$program")" ]; then
        echo "error: undefined symbols" >&2
        exit 1
    fi
    status=0
    "$program" || status=$?
    if [ "$status" -ne 0 ]; then
        echo "error: exit status $status; below 128 it is the number of the probe that decided otherwise" >&2
        exit 1
    fi
    size "$program"

    # The negative control: otherwise the proof would also hold for a build that drops everything.
    if planted=$(cargo build --quiet --profile "$profile" --features plant_panic 2>&1); then
        echo "error: the planted panic linked: the proof proves nothing" >&2
        exit 1
    fi
    if ! grep -q "$planted_symbol" <<<"$planted"; then
        echo "error: the planted panic failed for another reason:" >&2
        echo "$planted" >&2
        exit 1
    fi
done
echo "freestanding: no panic, no allocator; the planted panic does not link"
