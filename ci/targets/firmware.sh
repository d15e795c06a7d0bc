# The firmware of examples/node-agent.
# shellcheck shell=bash disable=SC2154 # Variables of ci/targets.sh and of the files beside this one.

firmware_path() {
    printf '%s' "$cache/firmware/$1/release/$2"
}

# build_firmware TRIPLE BINARY OPTION…
build_firmware() {
    local triple=$1 binary=$2
    shift 2
    (cd examples/node-agent && CARGO_TARGET_DIR=$cache/firmware \
        cargo_for "$triple" build --quiet --locked --release --bin "$binary" "$@")
}
