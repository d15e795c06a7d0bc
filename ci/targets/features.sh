# The core for a microcontroller, with every set of its features.
# shellcheck shell=bash
run_features() { :; }
