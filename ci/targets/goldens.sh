# The goldens on eight targets: each line is computed there and then, and compared with what is committed.
# shellcheck shell=bash disable=SC2154 # Variables of ci/targets.sh and of the files beside this one.

run_goldens() {
    local triple
    differences=0
    for triple in "${linux_triples[@]}" "$wasm_triple"; do
        build_program "$triple"
        compare "$triple" "$(run_program "$triple")"
    done
    for triple in "${bare_triples[@]}"; do
        build_firmware "$triple" goldens
        compare "$triple" "$(run_firmware "$triple" "$(firmware_path "$triple" goldens)")"
    done
    if [ "$differences" -gt 0 ]; then
        echo "error: $differences goldens differ from those of core-nostd/golden" >&2
        return 1
    fi
}

build_program() {
    (cd tests/targets && CARGO_TARGET_DIR=$cache/programs cargo_for "$1" build --quiet --locked --release)
}

run_program() {
    local triple=$1 program
    program=$cache/programs/$triple/release/targets
    case $triple in
    x86_64-*) "$program" ;;
    i686-*) emulate qemu-i386 "$program" ;;
    aarch64-*) emulate qemu-aarch64 "$program" ;;
    s390x-*) emulate qemu-s390x "$program" ;;
    wasm32-*) node ci/targets/goldens.mjs "$program.wasm" ;;
    esac
}

# committed NAME: the constant NAME_DIGEST.
committed() {
    sed -nE "s/^pub const ${1^^}_DIGEST: u64 = 0x([0-9a-f_]+);$/\1/p" "core-nostd/golden/src/$1.rs" | tr -d _
}

# compare TRIPLE OUTPUT: one line for each golden.
compare() {
    local triple=$1 output=$2 golden digest expected note
    for golden in placement scheduler; do
        digest=$(sed -nE "s/^$golden ([0-9a-f]{16})$/\1/p" <<<"$output")
        expected=$(committed "$golden")
        note=
        if [ -z "$digest" ] || [ "$digest" != "$expected" ]; then
            note="  DIFFERS: committed is $expected"
            differences=$((differences + 1))
        fi
        printf '%-29s %-9s %16s%s\n' "$triple" "$golden" "${digest:-none}" "$note"
    done
}
