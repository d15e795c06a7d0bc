#!/usr/bin/env bash
# Facts and figures from a machine with a GPU, into a folder.
#
# It has not been run on a GPU yet: no figure in this repository is from one.
#
# The machine needs a CUDA driver and two carried programs (built elsewhere: `cargo build --release`, then the same with
# `--example gpu_peers`; they need glibc and open libcuda by its name). It needs no Rust. Python with numpy, torch, jax and
# cupy, nvcc, compute-sanitizer and nvidia-smi are used where they are; what is not there is said, and is no failure.
#
#   tests/gpu/evidence.sh target/release/orchestrator target/release/examples/gpu_peers [FOLDER [SECTION…]]
#
# Sections: facts, place, verify, bench, pairs, sanitizer, peers; without one all of them. No command runs for more than
# SECONDS_MAX (by default 120) seconds, and none begins after SECONDS_ALL (by default 570). Run it in this repository's
# root, for its examples. Everything is tried, whatever fails; what failed is said at the end, and by the exit code. A line
# of JSON for each figure is in the folder's files, and a table of them in summary.txt.
#
# For a machine without a GPU (`check.sh`): BENCH_SIZES, PEER_SIZES and PAIRS_SIZE make it small; PEER_DEVICE=cpu has the
# peers on the processor, TWIN names a twin.cu that is compiled already.
set -uo pipefail

usage="usage: evidence.sh ORCHESTRATOR GPU_PEERS [FOLDER [SECTION…]]"
orchestrator=${1:?$usage}
gpu_peers=${2:?$usage}
folder=${3:-gpu-evidence}
sections=" ${*:4} "
seconds_max=${SECONDS_MAX:-120}
seconds_all=${SECONDS_ALL:-570}
device=${PEER_DEVICE:-cuda}
peers=tests/gpu/peers
mkdir -p "$folder"
failed=()
missing=()

# wanted SECTION: whether it is to run.
wanted() {
    [ "$sections" = "  " ] || [[ "$sections" == *" $1 "* ]]
}

# note NAME COMMAND…: the command's output and exit code in a file of that name.
note() {
    local name=$1 code=0
    shift
    # What stands there is of another run.
    rm -f "$folder/$name.txt"
    if [ "$SECONDS" -ge "$seconds_all" ]; then
        failed+=("$name: no time was left")
        return
    fi
    printf '%s s: %s: %s\n' "$SECONDS" "$name" "$*"
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
    note date date -u
    if git rev-parse HEAD >/dev/null 2>&1; then
        note commit git rev-parse HEAD
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
    # Of the default plan the digest is known (tests/verify.rs): three backends, for the device counts twice.
    verify verify-golden
    [ "$(grep -c ' 3a79f5c1e5c166c2$' "$folder/verify-golden.txt")" -eq 3 ] || failed+=("verify-golden: another digest")
    verify verify-blocks --pools 1025 --jobs 64 --cases 40 --seed 7
    # Several parts of the pools; then several whole groups of jobs.
    verify verify-parts --pools 20011 --jobs 32 --cases 4 --seed 9
    verify verify-groups --pools 700 --jobs 3000 --cases 3 --seed 11
fi

if wanted bench; then
    # Around the size from which `auto` takes the device; then sizes with many jobs of each class, and large fleets.
    for size in ${BENCH_SIZES:-256x256 1000x1000 1000x4096 4096x4096 10000x10000 100000x100000 1000000x1000}; do
        note "bench-$size" "$orchestrator" bench --sizes "$size" --at-least-ms 300 --format json
        grep -q '"backend":"cuda' "$folder/bench-$size.txt" || failed+=("bench-$size: not by the device")
        digests=$(grep -o '"digest":"[0-9a-f]*"' "$folder/bench-$size.txt" | sort -u | wc -l)
        [ "$digests" -eq 1 ] || failed+=("bench-$size: $digests digests")
    done
fi

# The lists of the device beside those of the vector units: two whole keys and a count for every job.
if wanted pairs; then
    note pairs "$gpu_peers" "${PAIRS_SIZE:-1000000x100000}"
    grep -q '"answer":"0 lists differ"' "$folder/pairs.txt" || failed+=("pairs: not compared")
fi

if wanted sanitizer && ! command -v compute-sanitizer >/dev/null; then
    missing+=("compute-sanitizer")
fi
if wanted sanitizer && command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        note "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$orchestrator" verify --backends cuda --case-out "$folder/case-$tool" --pools 257 --jobs 8 --cases 4
    done
fi

# python_peer SIZE SCRIPT ARGUMENT…: a formulation, where its library is.
python_peer() {
    local size=$1 script=$2 library
    shift 2
    library=${LIBRARY:-${script%_peer.py}}
    if python3 -c "import numpy, $library" 2>/dev/null; then
        note "peer-$size-$library-${1:-jit}" python3 -B "$peers/$script" "$folder/columns-$size" "$@"
    else
        missing+=("python: $library")
    fi
}

twin_is_there() {
    twin=${TWIN:-$folder/twin}
    if [ -n "${TWIN:-}" ]; then
        return 0
    fi
    if ! command -v nvcc >/dev/null; then
        missing+=("nvcc")
        return 1
    fi
    note twin-build nvcc -O3 -std=c++17 -arch=native "$peers/twin.cu" -o "$twin"
    [ -x "$twin" ]
}

if wanted peers; then
    has_twin=0
    twin_is_there && has_twin=1
    for size in ${PEER_SIZES:-10000x10000 100000x16384}; do
        mkdir -p "$folder/columns-$size"
        note "peer-$size-ours" "$gpu_peers" "$size" "$folder/columns-$size"
        [ "$has_twin" -eq 1 ] && note "peer-$size-twin" "$twin" "$folder/columns-$size"
        for form in eager compiled; do
            python_peer "$size" torch_peer.py "$form" "$device"
        done
        python_peer "$size" jax_peer.py
        if [ "$device" = cpu ]; then
            LIBRARY=numpy python_peer "$size" cupy_peer.py arrays numpy
        else
            for form in arrays fused; do
                python_peer "$size" cupy_peer.py "$form"
            done
        fi
        # Large, and made again by anybody who wants them.
        rm -r "$folder/columns-$size"
    done
fi

if command -v python3 >/dev/null; then
    python3 -B "$peers/summary.py" "$folder" >"$folder/summary.txt" 2>&1 || failed+=("summary")
    cat "$folder/summary.txt"
fi
if [ "${#missing[@]}" -gt 0 ]; then
    printf 'not here: %s\n' "${missing[@]}" | sort -u | tee "$folder/missing.txt"
fi
if [ "${#failed[@]}" -eq 0 ]; then
    echo "all passed in $SECONDS s" | tee "$folder/outcome.txt"
else
    printf 'FAILED: %s\n' "${failed[@]}" | tee "$folder/outcome.txt"
    exit 1
fi
