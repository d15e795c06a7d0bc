# The core for a microcontroller, with every set of its features.
# shellcheck shell=bash disable=SC2154 # Variables of ci/targets.sh and of the files beside this one.

run_features() {
    local triple=thumbv7em-none-eabihf hack=$cache/tools/bin/cargo-hack
    if ! [ -x "$hack" ]; then
        echo "building cargo-hack"
        CARGO_TARGET_DIR=$cache/tools-build cargo install --quiet --debug --locked --root "$cache/tools" cargo-hack
        rm -rf "$cache/tools-build"
    fi
    # cargo-hack calls the cargo that it is told to: the one that knows the target.
    CARGO_TARGET_DIR=$cache/features PATH=$cache/tools/bin:$PATH \
        cargo_for "$triple" hack check --quiet --package orchestrator-core --feature-powerset
    echo "features: every set of the core's builds for $triple"
}
