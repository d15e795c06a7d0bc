# What the core costs on microcontrollers, beside the limits of ci/budgets.txt.
#
# Sizes are those of the agent's firmware without logs. Instructions are counted in the emulator, where `-icount shift=0`
# lets each take a nanosecond: on RISC-V by `minstret`, one by one; on Cortex-M by SysTick, in steps of 40. The stack is
# painted and looked at afterwards.
# shellcheck shell=bash disable=SC2154 # Variables of ci/targets.sh and of the files beside this one.

budgets=ci/budgets.txt

run_budgets() {
    local triple
    exceeded=0
    printf '%-29s %-15s %9s %9s\n' target cost now limit
    for triple in "${bare_triples[@]}"; do
        measure_sizes "$triple"
        measure_run "$triple"
        measure_decisions "$triple"
    done
    if [ "$exceeded" -gt 0 ]; then
        echo "error: $exceeded costs are above their limits, or have none in $budgets" >&2
        return 1
    fi
    for triple in "${bare_triples[@]}"; do
        check_symbols "$triple"
    done
    check_planted_panic thumbv6m-none-eabi
    read_logs thumbv7em-none-eabihf
}

measure_sizes() {
    local triple=$1 sections section size
    build_firmware "$triple" agent
    sections=$(size -A "$(firmware_path "$triple" agent)")
    statics=0
    for section in text rodata data bss; do
        size=$(awk -v name=".$section" '$1 == name { print $2 }' <<<"$sections")
        budget "$triple" "$section" "$size"
        case $section in data | bss) statics=$((statics + size)) ;; esac
    done
}

# The agent's run: it ends with another status where what came of it is not what should.
measure_run() {
    local triple=$1 output cost
    output=$(run_firmware "$triple" "$(firmware_path "$triple" agent)" -icount shift=0)
    for cost in start_stack run_stack worst_message; do
        budget "$triple" "$cost" "$(value_of "$cost" "$output")"
    done
    budget "$triple" ram $((statics + $(value_of run_stack "$output")))
}

measure_decisions() {
    local triple=$1 output cost instructions
    build_firmware "$triple" costs
    output=$(run_firmware "$triple" "$(firmware_path "$triple" costs)" -icount shift=0)
    # Fleets of 64 pools only where the agent has room for one.
    while read -r cost instructions; do
        budget "$triple" "$cost" "$instructions"
    done < <(grep '^decide_' <<<"$output")
}

value_of() {
    awk -v name="$1" '$1 == name { print $2 }' <<<"$2"
}

# budget TRIPLE COST VALUE: one row of the table.
budget() {
    local triple=$1 cost=$2 value=$3 limit note=
    limit=$(awk -v triple="$triple" -v cost="$cost" '$1 == triple && $2 == cost { print $3 }' "$budgets")
    if [ -z "$limit" ] || [ -z "$value" ] || [ "$value" -gt "$limit" ]; then
        note="  TOO MUCH"
        exceeded=$((exceeded + 1))
    fi
    printf '%-29s %-15s %9s %9s%s\n' "$triple" "$cost" "$value" "${limit:-none}" "$note"
}

# The agent's firmware has no allocator, nothing in it can panic, and no float is computed with: the functions that do are
# not there.
check_symbols() {
    local triple=$1 elf names
    elf=$(firmware_path "$triple" agent)
    names=$(nm -C "$elf")
    if forbidden_among "$names"; then
        echo "error: forbidden symbols in $elf, see above" >&2
        return 1
    fi
    # A firmware without names would pass too.
    if ! grep -q 'orchestrator_core::scheduler' <<<"$names"; then
        echo "error: $elf has no names" >&2
        return 1
    fi
    printf '%-29s no allocator, no panic, no floats\n' "$triple"
}

# The negative control: the same firmware with a panic in the midst of a decision. Of one target: the check is the same for
# all, and this one's firmware is the smallest.
check_planted_panic() {
    local triple=$1 elf names
    build_firmware "$triple" agent --features plant_panic --target-dir "$cache/firmware-planted"
    elf=$cache/firmware-planted/$triple/release/agent
    names=$(nm -C "$elf")
    if ! grep -q 'panicking' <<<"$(forbidden_among "$names")"; then
        echo "error: the check of symbols does not find the panic that was planted in $elf: it proves nothing" >&2
        return 1
    fi
    printf '%-29s a planted panic is found\n' "$triple"
}

# forbidden_among NAMES: those that panic, allocate or compute with floats; fails where there are none.
forbidden_among() {
    local allocates='__rust_alloc|__rdl_|__rg_|alloc::' panics='panick|unwrap_failed|expect_failed|_fail'
    # Of f32 and f64, as the compiler's library calls them.
    local computes='builtins::float|__aeabi_[df]|__[a-z]*[sd]f([0-9]|si|di)'
    grep -iE "$allocates|$panics|$computes" <<<"$1"
}

# The same firmware with logs: the frames are read by the decoder, and name what the agent did.
read_logs() {
    local triple=$1 elf lines
    install_defmt_print
    DEFMT_LOG=debug build_firmware "$triple" agent --features defmt --target-dir "$cache/firmware-logs"
    elf=$cache/firmware-logs/$triple/release/agent
    lines=$(run_firmware "$triple" "$elf" 2>/dev/null | "$cache/tools/bin/defmt-print" -e "$elf")
    printf '%-29s %s lines of logs decoded, %s of them dispatches\n' "$triple" \
        "$(wc -l <<<"$lines")" "$(grep -c 'Dispatch' <<<"$lines")"
    grep -q 'Dispatch' <<<"$lines"
}

install_defmt_print() {
    if ! [ -x "$cache/tools/bin/defmt-print" ]; then
        echo "building defmt-print"
        CARGO_TARGET_DIR=$cache/tools-build cargo install --quiet --debug --locked --root "$cache/tools" defmt-print
        rm -rf "$cache/tools-build"
    fi
}
