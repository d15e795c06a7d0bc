//! Loads, stores and atomics in every state space.

use orchestrator_ptx_interpreter::{Launch, Memory, Module, launch};

use crate::support::{entry_of, run_entry, shape};

fn ramp(bytes: u8) -> Vec<u8> {
    (0..bytes).map(|byte| byte.wrapping_mul(37) ^ 0x85).collect()
}

/// What a body leaves in `%d0`, with 32 bytes at `%i`.
fn result(declarations: &str, body: &str) -> u64 {
    let text = entry_of(declarations, &format!("{body}\nst.global.b64 [%o], %d0;"));
    let out = run_entry(&text, &shape(1, 1, 0), &ramp(32), 8).unwrap_or_else(|fault| panic!("{body}: {fault}"));
    u64::from_le_bytes(out.try_into().unwrap())
}

/// Sub-word loads fill wider registers with the sign or with zeros, as the type says.
#[test]
fn loads_extend() {
    let word = |at: usize| u64::from_le_bytes(ramp(32)[at..at + 8].try_into().unwrap());
    let cases: [(&str, u64); 12] = [
        ("ld.global.b64 %d0, [%i+8];", word(8)),
        ("ld.global.s32 %d0, [%i+4];", word(4) as u32 as i32 as u64),
        ("ld.global.u32 %d0, [%i+4];", u64::from(word(4) as u32)),
        ("ld.global.b32 %d0, [%i+4];", u64::from(word(4) as u32)),
        ("ld.global.s16 %d0, [%i+2];", word(2) as i16 as u64),
        ("ld.global.u16 %d0, [%i+2];", u64::from(word(2) as u16)),
        ("ld.global.s8 %d0, [%i];", word(0) as i8 as u64),
        ("ld.global.u8 %d0, [%i];", u64::from(word(0) as u8)),
        ("ld.global.s8 %w1, [%i];\ncvt.u64.u32 %d0, %w1;", u64::from(word(0) as i8 as u32)),
        ("ld.global.s8 %h1, [%i];\ncvt.u64.u16 %d0, %h1;", u64::from(word(0) as i8 as u16)),
        ("ld.global.b8 %h1, [%i];\ncvt.s64.s16 %d0, %h1;", u64::from(word(0) as u8)),
        ("add.s64 %d1, %i, 24;\nld.global.b64 %d0, [%d1+-16];", word(8)),
    ];
    for (body, expected) in cases {
        assert_eq!(result("", body), expected, "{body}");
    }
}

#[test]
fn spellings_of_loads() {
    let expected = u64::from_le_bytes(ramp(32)[..8].try_into().unwrap());
    for spelling in [
        "ld",
        "ld.weak",
        "ld.volatile",
        "ld.relaxed.gpu",
        "ld.acquire.sys",
        "ld.global",
        "ld.weak.global",
        "ld.volatile.global",
        "ld.relaxed.cta.global",
        "ld.acquire.gpu.global",
        "ld.global.nc",
        "ld.global.ca.nc",
        "ld.global.cg",
        "ld.global.cv",
        "ld.cs",
    ] {
        assert_eq!(result("", &format!("{spelling}.u64 %d0, [%i];")), expected, "{spelling}");
    }
}

#[test]
fn stores_cut_and_their_spellings() {
    for spelling in ["st", "st.weak", "st.volatile.global", "st.relaxed.sys.global", "st.release.gpu", "st.global.wt"] {
        let body = format!("mov.b64 %d1, 0x1122334455667788;\n{spelling}.b16 [%o+2], %d1;\n{spelling}.u8 [%o], -1;");
        let out = run_entry(&entry_of("", &body), &shape(1, 1, 0), &[0], 8).unwrap();
        assert_eq!(out, [0xff, 0, 0x88, 0x77, 0, 0, 0, 0], "{spelling}");
    }
}

#[test]
fn vectors() {
    let bytes = ramp(32);
    let copy = |body: &str| run_entry(&entry_of("", body), &shape(1, 1, 0), &bytes, 16).unwrap();
    let whole = copy("ld.global.v2.b64 {%d1, %d2}, [%i+16];\nst.global.v2.b64 [%o], {%d1, %d2};");
    assert_eq!(whole, bytes[16..]);
    let words = copy("ld.global.nc.v4.u32 {%w1, %w2, %w3, %w4}, [%i];\nst.v4.b32 [%o], {%w4, %w3, %w2, %w1};");
    let reversed: Vec<u8> = bytes[..16].chunks(4).rev().flatten().copied().collect();
    assert_eq!(words, reversed);
    let sunk = copy("ld.global.v4.b8 {_, %h1, _, %h2}, [%i+4];\nst.global.v2.b8 [%o], {%h2, %h1};");
    assert_eq!(sunk[..2], [bytes[7], bytes[5]]);
}

/// Local variables, by their own addresses and by generic ones; a call has its own, and its arguments.
#[test]
fn local_memory_and_calls() {
    let declarations = "
        .func (.param .b64 back) twice(.param .b64 twice_0, .param .align 8 .b8 twice_1[12])
        {
            .local .align 8 .b8 depot[16];
            .reg .b64 %a<4>;
            .reg .b32 %b<2>;
            mov.b64 %a1, depot;
            ld.param.b64 %a2, [twice_0];
            st.local.b64 [%a1+8], %a2;
            ld.param.b32 %b1, [twice_1+8];
            cvta.local.u64 %a3, %a1;
            ld.b64 %a2, [%a3+8];
            cvt.u64.u32 %a3, %b1;
            add.s64 %a2, %a2, %a3;
            st.param.b64 [back], %a2;
            ret;
        }";
    let body = "
        .local .align 8 .b8 depot[16];
        mov.b64 %d1, depot;
        st.local.b32 [depot], 7;
        st.local.b32 [%d1+4], 9;
        { // callseq
        .param .b64 a;
        .param .align 8 .b8 b[12];
        .param .b64 r;
        st.param.b64 [a], 1000;
        st.param.b64 [b], 0;
        st.param.b32 [b+8], 23;
        call.uni (r), twice, (a, b);
        ld.param.b64 %d2, [r];
        }
        ld.local.b64 %d3, [depot];
        cvta.local.u64 %d4, depot;
        cvta.to.local.u64 %d5, %d4;
        ld.local.u32 %d6, [%d5+4];
        add.s64 %d0, %d2, %d3;
        add.s64 %d0, %d0, %d6;";
    assert_eq!(result(declarations, body), 1023 + (9 << 32 | 7) + 9);
}

/// Calls through pointers, from a register and from a table of the module.
#[test]
fn calls_through_pointers() {
    let declarations = "
        .func (.param .b64 r) triple(.param .b64 triple_0) { .reg .b64 %a; ld.param.b64 %a, [triple_0];
            mul.lo.s64 %a, %a, 3; st.param.b64 [r], %a; ret; }
        .func (.param .b64 r) square(.param .b64 square_0) { .reg .b64 %a; ld.param.b64 %a, [square_0];
            mul.lo.s64 %a, %a, %a; st.param.b64 [r], %a; ret; }
        .global .align 8 .u64 table[2] = {triple, square};";
    let call = "{ .param .b64 a; .param .b64 r; st.param.b64 [a], 7;
        PROTO: .callprototype (.param .b64 _) _ (.param .b64 _);
        call (r), %d1, (a), PROTO; ld.param.b64 %d0, [r]; }";
    assert_eq!(result(declarations, &format!("mov.u64 %d1, triple;\n{call}")), 21);
    assert_eq!(result(declarations, &format!("ld.global.b64 %d1, [table+8];\n{call}")), 49);
}

/// Module variables: first values, zeros where there are none, addresses as values, constants.
#[test]
fn variables_of_the_module() {
    let declarations = "
        .global .align 4 .b8 table[8] = {1, 2, 255, 4};
        .global .u32 counter;
        .const .align 8 .u64 powers[3] = {10, 100, 1000};
        .visible .global .align 8 .u64 pointers[3] = {generic(table)+2, table, generic(powers)+8};";
    assert_eq!(result(declarations, "ld.global.u64 %d0, [table];"), 0x04ff_0201);
    assert_eq!(result(declarations, "ld.global.u32 %d0, [counter];"), 0);
    assert_eq!(result(declarations, "ld.const.u64 %d0, [powers+8];"), 100);
    assert_eq!(result(declarations, "mov.u64 %d1, powers+8;\nld.const.b64 %d0, [%d1+8];"), 1000);
    assert_eq!(result(declarations, "ld.global.b64 %d1, [pointers];\nld.u8 %d0, [%d1];"), 255);
    assert_eq!(result(declarations, "ld.global.b64 %d1, [pointers+8];\nld.global.u8 %d0, [%d1+1];"), 2);
    assert_eq!(result(declarations, "ld.global.b64 %d1, [pointers+16];\nld.b64 %d0, [%d1];"), 100);
    assert_eq!(result(declarations, "cvta.const.u64 %d1, powers;\nld.u64 %d0, [%d1];"), 10);
    assert_eq!(result(declarations, "cvta.global.u64 %d1, table;\nld.u16 %d0, [%d1];"), 0x201);
}

/// A module's variables keep their values from launch to launch, in each memory for itself.
#[test]
fn variables_live_as_long_as_the_memory() {
    let text = entry_of(
        ".global .u32 counter = 5;",
        "red.global.add.u32 [counter], 1;\nld.global.u32 %w1, [counter];\nst.global.b32 [%o], %w1;",
    );
    let module = Module::parse(&text).unwrap();
    let count = |memory: &mut Memory| {
        let out = memory.alloc(4).unwrap();
        let params: Vec<u8> = [out, out].iter().flat_map(|address| address.to_le_bytes()).collect();
        launch(&module, "e", &shape(1, 1, 0), &params, memory).unwrap();
        let mut back = [0; 4];
        memory.read(out, &mut back).unwrap();
        u32::from_le_bytes(back)
    };
    let mut memory = Memory::new(1 << 20);
    assert_eq!([count(&mut memory), count(&mut memory)], [6, 7]);
    assert_eq!(count(&mut Memory::new(1 << 20)), 6);
    assert_eq!((memory.live_allocations(), memory.live_bytes()), (2, 8));
}

#[test]
fn atomics() {
    let old = 0xffff_fff0u32;
    let cases: [(&str, u32); 16] = [
        ("add.u32 %w0, [%o], 0x20", 0x10),
        ("min.u32 %w0, [%o], 5", 5),
        ("min.s32 %w0, [%o], 5", old),
        ("max.u32 %w0, [%o], 5", old),
        ("max.s32 %w0, [%o], 5", 5),
        ("and.b32 %w0, [%o], 0xff", 0xf0),
        ("or.b32 %w0, [%o], 0xff", u32::MAX),
        ("xor.b32 %w0, [%o], 0xff", old ^ 0xff),
        ("exch.b32 %w0, [%o], 3", 3),
        ("cas.b32 %w0, [%o], 0xfffffff0, 9", 9),
        ("cas.b32 %w0, [%o], 1, 9", old),
        ("inc.u32 %w0, [%o], 7", 0),
        ("inc.u32 %w0, [%o], 0xfffffff8", old + 1),
        ("inc.u32 %w0, [%o], 0xfffffff0", 0),
        ("dec.u32 %w0, [%o], 7", 7),
        ("dec.u32 %w0, [%o], 0xfffffff0", old - 1),
    ];
    for prefix in ["atom.global", "atom", "atom.relaxed.gpu.global", "atom.acq_rel.sys"] {
        for (operation, new) in cases {
            let body = format!("st.global.b32 [%o], {old};\n{prefix}.{operation};\nst.global.b32 [%o+4], %w0;");
            let out = run_entry(&entry_of("", &body), &shape(1, 1, 0), &[0], 8).unwrap();
            assert_eq!(out[..4], new.to_le_bytes(), "{prefix}.{operation}");
            assert_eq!(out[4..], old.to_le_bytes(), "{prefix}.{operation}");
        }
    }
    let shared = ".shared .align 8 .u64 tile;";
    let body = "st.shared.u64 [tile], -2;\natom.shared.add.u64 %d1, [tile], 5;\nred.shared.max.s64 [tile], 4;\n\
                atom.shared.cas.b64 %d2, [tile], 4, 11;\nld.shared.b64 %d3, [tile];\nmul.lo.u64 %d0, %d3, %d2;";
    assert_eq!(result(shared, body), 44);
    assert_eq!(result("", "red.global.min.s64 [%o], -3;\nld.global.s64 %d0, [%o];"), -3i64 as u64);
}

/// Static, dynamic and generic shared memory; addresses of 32 bits will do there.
#[test]
fn shared_memory() {
    let declarations = ".shared .align 4 .b8 tile[8];\n.extern .shared .align 16 .b8 more[];";
    let body = "
        .shared .align 8 .b64 own[2];
        mov.u32 %w5, %dynamic_smem_size;
        st.shared.b32 [tile+4], 6;
        mov.u32 %w1, more;
        st.shared.b32 [%w1+60], 70;
        st.shared.b64 [own+8], 800;
        cvta.shared.u64 %d1, tile;
        ld.u32 %d2, [%d1+4];
        cvta.shared.u64 %d3, more;
        ld.u32 %d4, [%d3+60];
        cvta.shared.u64 %d5, own;
        cvta.to.shared.u64 %d6, %d5;
        ld.shared.u64 %d7, [%d6+8];
        cvt.u64.u32 %d0, %w5;
        add.s64 %d0, %d0, %d2;
        add.s64 %d0, %d0, %d4;
        add.s64 %d0, %d0, %d7;
        st.global.b64 [%o], %d0;";
    let launch = Launch { dynamic_shared_bytes: 64, ..shape(1, 1, 0) };
    let out = run_entry(&entry_of(declarations, body), &launch, &[0], 8).unwrap();
    assert_eq!(out, 940u64.to_le_bytes());
    let module = Module::parse(&entry_of(declarations, body)).unwrap();
    assert_eq!(module.entry("e").unwrap().static_shared_bytes(), 24);
}

/// Parameters keep their layout: sub-words, structs by value, what they point to.
#[test]
fn layout_of_parameters() {
    let text = ".version 8.0\n.target sm_90, debug\n.address_size 64\n
        .entry a() { ret; }
        .visible .entry b(.param .u8 x, .param .u64 .ptr .global .align 16 y, .param .align 8 .b8 z[12], .param .u16 t)
        .maxntid 64, 2, 1 .minnctapersm 2 { exit; }";
    let module = Module::parse(text).unwrap();
    let names: Vec<_> = module.entries().map(|entry| entry.name()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(module.entry("a").unwrap().param_bytes(), 0);
    let entry = module.entry("b").unwrap();
    let layout: Vec<_> = entry.params().iter().map(|param| (param.offset, param.bytes, param.align)).collect();
    assert_eq!(layout, [(0, 1, 1), (8, 8, 8), (16, 12, 8), (28, 2, 2)]);
    assert_eq!(entry.param_bytes(), 30);
    assert!(module.entry("c").is_none());
}
