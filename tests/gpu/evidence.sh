#!/usr/bin/env bash
# Facts and figures from a machine with a GPU, into a folder.
#
# It has not been run on a GPU yet: no figure in this repository is from one.
#
# The machine needs a CUDA driver and a carried `orchestrator` (built elsewhere: `cargo build --release`; it needs glibc and
# opens libcuda by its name). It needs no Rust, no CUDA toolkit; compute-sanitizer and nvidia-smi are used where they are.
#
#   tests/gpu/evidence.sh target/release/orchestrator [FOLDER [SECTION…]]
#
# Sections: facts, place, verify, bench, sanitizer; without one all of them. No command runs for more than SECONDS_MAX
# (by default 500) seconds. Run it in this repository's root, for its examples. Everything is tried, whatever fails; what failed is said at the end,
# and by the exit code.
set -uo pipefail

orchestrator=${1:?usage: evidence.sh ORCHESTRATOR [FOLDER]}
folder=${2:-gpu-evidence}
sections=" ${*:3} "
seconds_max=${SECONDS_MAX:-500}
mkdir -p "$folder"
failed=()

# wanted SECTION: whether it is to run.
wanted() {
    [ "$sections" = "  " ] || [[ "$sections" == *" $1 "* ]]
}

# note NAME COMMAND…: the command's output and exit code in a file of that name.
note() {
    local name=$1 code=0
    shift
    printf '%s: %s\n' "$name" "$*"
    {
        printf '$ %s\n' "$*"
        timeout "$seconds_max" "$@"
    } >"$folder/$name.txt" 2>&1 || code=$?
    printf 'exit code %d\n' "$code" >>"$folder/$name.txt"
    if [ "$code" -ne 0 ]; then
        failed+=("$name")
    fi
}

# same_digest NAME DIGEST: what `place` said is what every machine says.
same_digest() {
    grep -q "decision digest: $2" "$folder/$1.txt" || failed+=("$1: another digest")
    grep -q "backend cuda" "$folder/$1.txt" || failed+=("$1: not by the device")
}

# place NAME DIGEST ARGUMENT…: placed by the device, every list compared with the core's.
place() {
    local name=$1 digest=$2
    shift 2
    note "$name" "$orchestrator" place --fleet examples/fleet.json --backend cuda --cross-check full --output /dev/null "$@"
    same_digest "$name" "$digest"
}

# verify NAME ARGUMENT…: every answer of the device beside the core's.
verify() {
    local name=$1
    shift
    note "$name" "$orchestrator" verify --backends scalar,cuda --case-out "$folder/case-$name" "$@"
}

if wanted facts; then
    if command -v nvidia-smi >/dev/null; then
        note smi nvidia-smi
        note smi-clocks nvidia-smi -q -d CLOCK
        note smi-facts nvidia-smi --format=csv \
            --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current,mig.mode.current
    fi
    note version "$orchestrator" --version
    note backends "$orchestrator" backends
    grep -Eq '^cuda +available' "$folder/backends.txt" || failed+=("backends: cuda is not available")
fi

if wanted place; then
    place place-trace 407294eac1cdc950 --jobs examples/jobs.jsonl
    place place-mixed efd25c8dcb5c6187 --jobs examples/mixed-jobs.jsonl
fi

if wanted verify; then
    verify verify-varied --cases 400
    verify verify-blocks --pools 1025 --jobs 64 --cases 40 --seed 7
    # Several parts of the pools; then several whole groups of jobs.
    verify verify-parts --pools 20011 --jobs 32 --cases 4 --seed 9
    verify verify-groups --pools 700 --jobs 3000 --cases 3 --seed 11
fi

if wanted bench; then
    # Around the size from which `auto` takes the device; then sizes with many jobs of each class, and large fleets.
    for size in 1000x4096 4096x4096 16384x1024 10000x10000 10000x65536 100000x65536 1000000x1000; do
        note "bench-$size" "$orchestrator" bench --sizes "$size" --format json
        grep -q '"backend":"cuda' "$folder/bench-$size.txt" || failed+=("bench-$size: not by the device")
        digests=$(grep -o '"digest":"[0-9a-f]*"' "$folder/bench-$size.txt" | sort -u | wc -l)
        [ "$digests" -eq 1 ] || failed+=("bench-$size: $digests digests")
    done
fi

if wanted sanitizer && command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        note "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$orchestrator" verify --backends cuda --case-out "$folder/case-$tool" --pools 257 --jobs 8 --cases 4
    done
fi

if [ "${#failed[@]}" -eq 0 ]; then
    echo "all passed" | tee "$folder/outcome.txt"
else
    printf 'FAILED: %s\n' "${failed[@]}" | tee "$folder/outcome.txt"
    exit 1
fi
