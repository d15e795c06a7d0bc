#!/usr/bin/env bash
# evidence.sh, tried on a machine without a GPU, in a small way: the device is the stub driver, the twin runs by host_shim.hpp,
# the libraries that are here compute on the processor. It shows that everything runs and that all answers are equal; its
# times say nothing of a GPU.
#
#   cargo build --release && cargo build --release --example gpu_peers
#   cargo build --release --package orchestrator-stub-driver
#   tests/gpu/check.sh target/release/orchestrator target/release/examples/gpu_peers \
#       target/release/liborchestrator_stub_driver.so [FOLDER [SECTION…]]
set -euo pipefail

usage="usage: check.sh ORCHESTRATOR GPU_PEERS STUB_DRIVER [FOLDER [SECTION…]]"
orchestrator=${1:?$usage}
gpu_peers=${2:?$usage}
stub=${3:?$usage}
folder=${4:-gpu-check}
if [ "$#" -gt 4 ]; then sections=("${@:5}"); else sections=(facts place bench pairs peers); fi

mkdir -p "$folder/library"
cp "$stub" "$folder/library/libcuda.so"
cp "$stub" "$folder/library/libcuda.so.1"
peers=tests/gpu/peers
g++ -O2 -Wall -Wextra -Wno-unknown-pragmas -std=c++20 -x c++ -include "$peers/host_shim.hpp" "$peers/twin.cu" \
    -o "$folder/twin" -pthread

library_path=$(realpath "$folder/library")
LD_LIBRARY_PATH=$library_path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} TWIN=$folder/twin PEER_DEVICE=cpu \
    BENCH_SIZES="65x10 130x20" PEER_SIZES=${PEER_SIZES:-"300x400"} PAIRS_SIZE=300x500 \
    tests/gpu/evidence.sh "$orchestrator" "$gpu_peers" "$folder" "${sections[@]}"
