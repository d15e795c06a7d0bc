#!/usr/bin/env bash
# Facts and figures from a machine with a GPU, into a folder.
#
# It has not been run on a GPU yet: no figure in this repository is from one.
#
# The machine needs a CUDA driver and a carried `orchestrator` (built elsewhere: `cargo build --release`; it needs glibc and
# opens libcuda by its name). It needs no Rust, no CUDA toolkit; compute-sanitizer and nvidia-smi are used where they are.
#
#   tests/gpu/evidence.sh target/release/orchestrator [FOLDER]
#
# Run it in this repository's root, for its examples. Everything is tried, whatever fails; what failed is said at the end,
# and by the exit code.
set -uo pipefail

orchestrator=${1:?usage: evidence.sh ORCHESTRATOR [FOLDER]}
folder=${2:-gpu-evidence}
mkdir -p "$folder"
failed=()

# note NAME COMMAND…: the command's output and exit code in a file of that name.
note() {
    local name=$1 code=0
    shift
    printf '%s: %s\n' "$name" "$*"
    {
        printf '$ %s\n' "$*"
        "$@"
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

place() {
    "$orchestrator" place --fleet examples/fleet.json --backend cuda --cross-check full --output /dev/null "$@"
}

if command -v nvidia-smi >/dev/null; then
    note smi nvidia-smi
    note smi-facts nvidia-smi --format=csv \
        --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current,mig.mode.current
fi
note version "$orchestrator" --version
note backends "$orchestrator" backends
grep -Eq '^cuda +available' "$folder/backends.txt" || failed+=("backends: cuda is not available")

note place-trace place --jobs examples/jobs.jsonl
same_digest place-trace 407294eac1cdc950
note place-mixed place --jobs examples/mixed-jobs.jsonl
same_digest place-mixed efd25c8dcb5c6187

# Every answer of the device beside the core's: worlds of varied sizes, then some with several parts.
note verify "$orchestrator" verify --backends scalar,cuda --cases 400
note verify-blocks "$orchestrator" verify --backends scalar,cuda --fleet 1025 --jobs 64 --cases 40 --seed 7
note verify-parts "$orchestrator" verify --backends scalar,cuda --fleet 20011 --jobs 32 --cases 4 --seed 9

note bench "$orchestrator" bench --sizes 1000x1000,10000x1000,100000x1000,100000x10000,1000000x1000
note bench-json "$orchestrator" bench --format json \
    --sizes 1000x1000,10000x1000,100000x1000,100000x10000,1000000x1000

if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        note "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$orchestrator" verify --backends cuda --fleet 257 --jobs 8 --cases 4
    done
fi

if [ "${#failed[@]}" -eq 0 ]; then
    echo "all passed" | tee "$folder/outcome.txt"
else
    printf 'FAILED: %s\n' "${failed[@]}" | tee "$folder/outcome.txt"
    exit 1
fi
