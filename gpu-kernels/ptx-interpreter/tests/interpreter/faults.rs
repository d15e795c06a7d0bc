//! Each fault, with its line and its thread.

use orchestrator_ptx_interpreter::{
    Fault, FaultKind, Launch, Memory, MemorySpace, Module, Place, launch, launch_within,
};

use crate::support::{entry_of, run_entry, shape};

/// The fault of a body, with eight bytes at `%i` and at `%o`; its line must be the one that ends in `// here`.
fn fault_of(declarations: &str, body: &str, launch: &Launch) -> FaultKind {
    let text = entry_of(declarations, body);
    let fault = run_entry(&text, launch, &[0; 8], 8).expect_err(body);
    let here = text.lines().position(|line| line.ends_with("// here")).expect("a line is marked") as u32 + 1;
    assert_eq!(fault.at.line, Some(here), "{body}: {fault}");
    assert_eq!(fault.entry, "e");
    fault.kind
}

fn one(body: &str) -> FaultKind {
    fault_of("", body, &shape(1, 1, 0))
}

#[test]
fn unset_registers() {
    let unset = |name: &str| FaultKind::UnsetRegister(name.to_owned());
    assert_eq!(one("add.s32 %w1, %w2, 1; // here"), unset("%w2"));
    assert_eq!(one("@%p4 ret; // here"), unset("%p4"));
    assert_eq!(one("st.global.b64 [%o], %d7; // here"), unset("%d7"));
    assert_eq!(one("ld.global.b64 %d1, [%d2]; // here"), unset("%d2"));
    // A copy moves the absence on.
    assert_eq!(one("mov.b64 %d1, %d2;\nnot.b64 %d3, %d1; // here"), unset("%d1"));
    assert_eq!(one("addc.u32 %w1, 0, 0; // here"), FaultKind::UnsetCarry);
    // What one call left in its registers is gone in the next.
    let declarations = ".func f(.param .b32 f_0) { .reg .pred %q; .reg .b32 %x, %y; ld.param.b32 %x, [f_0];
        setp.eq.u32 %q, %x, 0; @%q mov.b32 %y, 1;
        add.u32 %y, %y, 1; // here
        ret; }";
    let call = |value: u32| format!("{{ .param .b32 a; st.param.b32 [a], {value}; call.uni f, (a); }}\n");
    assert_eq!(fault_of(declarations, &(call(0) + &call(1)), &shape(1, 1, 0)), unset("%y"));
}

#[test]
fn stray_addresses() {
    use MemorySpace::{Const, Global, Local, Param, Shared};
    let cases: [(&str, MemorySpace, usize); 13] = [
        ("ld.global.b64 %d1, [%i+8]; // here", Global, 8),
        ("ld.global.b8 %h1, [%i+-1]; // here", Global, 1),
        ("st.global.b32 [%o+8], 1; // here", Global, 4),
        ("mov.b64 %d1, 0;\nld.b64 %d1, [%d1]; // here", Global, 8),
        ("mov.b64 %d1, -8;\nld.b64 %d1, [%d1]; // here", Global, 8),
        ("mov.b64 %d1, 0;\nld.shared.b32 %w1, [%d1]; // here", Shared, 4),
        ("st.shared.b32 [tile+16], 1; // here", Shared, 4),
        ("cvta.shared.u64 %d1, tile;\nst.b32 [%d1+16], 1; // here", Shared, 4),
        (".local .align 4 .b8 mine[8];\nst.local.b32 [mine+8], 1; // here", Local, 4),
        ("ld.const.b32 %w1, [powers+8]; // here", Const, 4),
        ("ld.local.b32 %w1, [4]; // here", Local, 4),
        ("ld.param.b64 %d1, [e_1+8]; // here", Param, 8),
        ("mov.b64 %d1, powers;\ncvta.to.shared.u64 %d1, %d1;\natom.shared.add.u32 %w1, [%d1], 1; // here", Shared, 4),
    ];
    // Behind the variable lies a gap, and behind that another variable.
    let declarations = ".shared .align 16 .b8 tile[16];\n.shared .b32 other;\n.const .u32 powers[2] = {1, 2};";
    for (body, space, bytes) in cases {
        let kind = fault_of(declarations, body, &shape(1, 1, 0));
        assert!(
            matches!(kind, FaultKind::Stray { space: s, bytes: b, .. } if s == space && b == bytes),
            "{body}: {kind}"
        );
    }
    // Local memory of a call is gone with it.
    let declarations = ".func (.param .b64 r) f() { .local .align 8 .b8 x[8]; .reg .b64 %a; cvta.local.u64 %a, x;
        st.b64 [%a], 1; st.param.b64 [r], %a; ret; }";
    let body = "{ .param .b64 r; call.uni (r), f; ld.param.b64 %d1, [r]; }\nld.b64 %d2, [%d1]; // here";
    assert!(matches!(fault_of(declarations, body, &shape(1, 1, 0)), FaultKind::Stray { space: Local, .. }));
    let kind = one("mov.b64 %d1, 3377699720527872;\natom.add.u32 %w1, [%d1], 1; // here");
    assert!(matches!(kind, FaultKind::Stray { .. }), "{kind}");
}

#[test]
fn misaligned_addresses() {
    for body in [
        "ld.global.b64 %d1, [%i+4]; // here",
        "ld.global.v2.b32 {%w1, %w2}, [%i+4]; // here",
        "st.global.b16 [%o+1], 1; // here",
        "ld.param.b32 %w1, [e_0+2]; // here",
        "atom.global.add.u64 %d1, [%o+4], 1; // here",
    ] {
        assert!(matches!(one(body), FaultKind::Misaligned { .. }), "{body}");
    }
}

#[test]
fn unwritten_memory() {
    let declarations = ".shared .align 8 .b8 tile[16];";
    for (body, space) in [
        ("ld.shared.b32 %w1, [tile]; // here", MemorySpace::Shared),
        ("st.shared.b32 [tile], 1;\nld.shared.b64 %d1, [tile]; // here", MemorySpace::Shared),
        (".local .b32 mine;\nld.local.b32 %w1, [mine]; // here", MemorySpace::Local),
        ("{ .param .b32 a;\nld.param.b32 %w1, [a]; // here\n}", MemorySpace::Param),
        ("atom.shared.add.u32 %w1, [tile], 1; // here", MemorySpace::Shared),
    ] {
        let kind = fault_of(declarations, body, &shape(1, 1, 0));
        assert!(matches!(kind, FaultKind::Unwritten { space: s, .. } if s == space), "{body}: {kind}");
    }
    // Global memory that the host never wrote; and shared memory of the block before is not this block's.
    let module = Module::parse(&entry_of("", "ld.global.b32 %w1, [%i];")).unwrap();
    let mut memory = Memory::new(1 << 20);
    let address = memory.alloc(8).unwrap();
    let params = [address.to_le_bytes(), address.to_le_bytes()].concat();
    let fault = launch(&module, "e", &shape(1, 1, 0), &params, &mut memory).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unwritten { space: MemorySpace::Global, address, bytes: 4 });
    let body = "atom.global.add.u32 %w1, [%o], 1;\nsetp.eq.u32 %p1, %w1, 0;\n@%p1 st.shared.b32 [tile], 1;\n\
                ld.shared.b32 %w2, [tile]; // here";
    assert!(matches!(fault_of(declarations, body, &shape(2, 1, 0)), FaultKind::Unwritten { .. }));
}

#[test]
fn read_only_memory() {
    let declarations = ".const .u32 two = 2;";
    let body = "cvta.const.u64 %d1, two;\nst.b32 [%d1], 1; // here";
    assert_eq!(fault_of(declarations, body, &shape(1, 1, 0)), FaultKind::ReadOnly(MemorySpace::Const));
    let body = "st.global.b32 [%o], 1;\nld.global.nc.b32 %w1, [%o]; // here";
    assert!(matches!(one(body), FaultKind::NonCoherent { bytes: 4, .. }));
    // What an earlier launch stored, or the host, may be read so.
    let module = Module::parse(&entry_of("", "ld.global.nc.b32 %w1, [%i];\nst.global.b32 [%o], %w1;")).unwrap();
    let mut memory = Memory::new(1 << 20);
    let [first, second] = [8, 8].map(|bytes| memory.alloc(bytes).unwrap());
    memory.write(first, &[0; 8]).unwrap();
    for (from, to) in [(first, second), (second, first)] {
        let params = [from.to_le_bytes(), to.to_le_bytes()].concat();
        launch(&module, "e", &shape(1, 1, 0), &params, &mut memory).unwrap();
    }
}

#[test]
fn control_flow() {
    assert_eq!(one("trap; // here"), FaultKind::Trap);
    assert_eq!(one("div.u32 %w1, 1, 0; // here"), FaultKind::DivisionByZero);
    assert_eq!(one("rem.s64 %d1, 1, 0; // here"), FaultKind::DivisionByZero);
    let body = "$t: .branchtargets $a, $a;\n$a:\nbrx.idx %w1, $t; // here";
    let body = format!("mov.b32 %w1, 2;\n{body}");
    assert_eq!(one(&body), FaultKind::BranchIndex { index: 2, targets: 2 });
    let declarations = ".func f();\n.func f() {\ncall.uni f; // here\nret; }";
    assert_eq!(fault_of(declarations, "call.uni f, ();", &shape(1, 1, 0)), FaultKind::CallDepth(256));
    let declarations = ".func f(.param .b32 f_0) { ret; }";
    let proto = "P: .callprototype ()_ ();\n";
    for pointer in
        ["mov.u64 %d1, f;\n", "mov.b64 %d1, 0;\n", "mov.u64 %d1, f;\nadd.s64 %d1, %d1, 1;\n", "mov.u64 %d1, e;\n"]
    {
        let body = format!("{pointer}{proto}call %d1, (), P; // here");
        let kind = fault_of(declarations, &body, &shape(1, 1, 0));
        assert!(matches!(kind, FaultKind::CallTarget(_)), "{kind}");
    }
    let module = Module::parse(&entry_of("", "$again:\nbra.uni $again;")).unwrap();
    let fault = launch_within(&module, "e", &shape(1, 2, 0), &[0; 16], &mut Memory::new(0), 100_000).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Budget(100_000));
}

#[test]
fn races_on_shared_memory() {
    let tile = ".shared .align 4 .b32 tile[2];";
    let race = |body: &str| {
        for order in 0..20 {
            let text = entry_of(tile, &format!("mov.u32 %w8, %tid.x;\n{body}"));
            let fault = run_entry(&text, &shape(1, 2, order), &[0; 8], 8).expect_err(body);
            assert!(matches!(fault.kind, FaultKind::Race { .. }), "{body}: {fault}");
        }
    };
    let fine = |body: &str| {
        for order in 0..20 {
            let text = entry_of(tile, &format!("mov.u32 %w8, %tid.x;\n{body}"));
            run_entry(&text, &shape(1, 2, order), &[0; 8], 8).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        }
    };
    race("st.shared.b32 [tile], %w8;");
    race("st.volatile.shared.b32 [tile], %w8;");
    race("st.shared.b32 [tile], 1;\nbar.sync 0;\nld.shared.b32 %w1, [tile];\nst.shared.b32 [tile], 2;");
    race("st.shared.b32 [tile], 0;\nbar.sync 0;\nadd.u32 %w1, %w8, 1;\nst.shared.b32 [tile], %w1;");
    race("st.shared.b32 [tile], 0;\nbar.sync 0;\natom.shared.add.u32 %w1, [tile], 1;\nld.shared.b32 %w2, [tile];");
    fine("st.shared.b32 [tile], 7;");
    fine(
        "st.shared.b32 [tile], 0;\nbar.sync 0;\natom.shared.add.u32 %w1, [tile], 1;\nbar.sync 0;\nld.shared.b32 %w2, [tile];",
    );
    fine(
        "setp.eq.u32 %p1, %w8, 0;\n@%p1 st.shared.b32 [tile], 3;\nbar.sync 0;\nld.shared.b32 %w1, [tile];\nbar.sync 0;\n@!%p1 st.shared.b32 [tile], 4;",
    );
    // The bytes stored are the same, whatever else the register holds.
    fine("shl.b32 %w1, %w8, 8;\nst.shared.b8 [tile], %w1;");
    // Neighbouring bytes are no one's but their own.
    fine("mov.u32 %w1, tile;\nadd.u32 %w1, %w1, %w8;\nst.shared.b8 [%w1], %w8;\nld.shared.b8 %h1, [%w1];");
}

#[test]
fn barriers_that_not_all_reach() {
    let launch = shape(1, 32, 4);
    let body = "mov.u32 %w8, %tid.x;\nsetp.lt.u32 %p1, %w8, 16;\n@%p1 bra $low;\n%\nbra.uni $done;\n$low:\n&\n$done:";
    let with = |high: &str, low: &str| {
        let text = entry_of(
            "",
            &body
                .replace('%', "\u{0}")
                .replace("\n\u{0}\n", &format!("\n{high}\n"))
                .replace('\u{0}', "%")
                .replace('&', low),
        );
        run_entry(&text, &launch, &[0; 8], 8).unwrap_err()
    };
    // Aligned barriers of one number at two places.
    let fault = with("bar.sync 0;", "bar.sync 0;");
    assert!(matches!(fault.kind, FaultKind::DivergentBarrier { .. }), "{fault}");
    // Two numbers; a barrier against a shuffle; two shuffles with each other's lanes.
    for (high, low) in [
        ("bar.sync 0;", "bar.sync 1;"),
        ("bar.sync 0;", "shfl.sync.idx.b32 %w1, %w8, 0, 31, -1;"),
        ("shfl.sync.idx.b32 %w1, %w8, 0, 31, -1;", "shfl.sync.up.b32 %w1, %w8, 0, 31, -1;"),
        ("shfl.sync.up.b32 %w1, %w8, 0, 31, -1;", "shfl.sync.up.b32 %w1, %w8, 0, 31, 0x7fffffff;"),
        ("bar.warp.sync -1;", "vote.sync.any.pred %p2, %p1, -1;"),
        ("bar.sync 0, 64;", "bar.sync 0, 64;"),
    ] {
        let fault = with(high, low);
        assert_eq!(fault.kind, FaultKind::Deadlock { waiting: 32 }, "{high} {low}: {fault}");
    }
    let fault = with("bar.sync 0, 32;", "bar.sync 0, 64;");
    assert!(matches!(fault.kind, FaultKind::BarrierCount { id: 0, .. }), "{fault}");
    let fault = with("bar.sync 0, 5;", "bar.sync 0, 5;");
    assert_eq!(fault.kind, FaultKind::BarrierCount { id: 0, count: 5 });
    let fault = with("bar.sync %w8;", "ret;");
    assert!(matches!(fault.kind, FaultKind::BarrierCount { id: 16.., .. }), "{fault}");
    // The unaligned form may meet itself elsewhere.
    let text = entry_of("", &body.replace("\n%\n", "\nbarrier.sync 0;\n").replace('&', "barrier.sync 0;"));
    run_entry(&text, &launch, &[0; 8], 8).unwrap();
}

#[test]
fn misuse_of_member_masks() {
    let launch = shape(1, 32, 4);
    let kind = fault_of("", "mov.b32 %w1, 1;\nshfl.sync.bfly.b32 %w0, %w1, 1, 31, 0x0000ffff; // here", &launch);
    assert!(matches!(kind, FaultKind::NotAMember { lane: 16.., members: 0xffff }), "{kind}");
    let kind = fault_of("", "mov.pred %p1, 1;\nvote.sync.all.pred %p2, %p1, 0; // here", &launch);
    assert!(matches!(kind, FaultKind::NotAMember { members: 0, .. }), "{kind}");
    // A lane outside of the mask, one that has exited, one that the block does not have.
    let foreign = [
        ("setp.gt.u32 %p1, %w8, 15;\n@%p1 exit;\nshfl.sync.down.b32 %w0, %w8, 1, 31, -1; // here", 32),
        ("setp.gt.u32 %p1, %w8, 15;\n@%p1 bra $end;\nshfl.sync.down.b32 %w0, %w8, 1, 31, 0xffff; // here\n$end:", 32),
        ("shfl.sync.down.b32 %w0, %w8, 1, 31, -1; // here", 16),
    ];
    for (body, threads) in foreign {
        let kind = fault_of("", &format!("mov.u32 %w8, %tid.x;\n{body}"), &shape(1, threads, 2));
        assert!(matches!(kind, FaultKind::ForeignLane { lane: 15, from: 16, .. }), "{body}: {kind}");
    }
}

#[test]
fn launches_that_are_refused() {
    let text = entry_of(".shared .b8 tile[1024];", "")
        + ".entry limited() .maxntid 64 { ret; }\n.entry exact() .reqntid 8, 2 { ret; }\n";
    let module = Module::parse(&text).unwrap();
    let refused = |entry: &str, launch_as: Launch, params: usize| -> Fault {
        let fault = launch(&module, entry, &launch_as, &vec![0; params], &mut Memory::new(0)).unwrap_err();
        assert_eq!(fault.at, Place::default());
        fault
    };
    assert_eq!(refused("x", shape(1, 1, 0), 0).kind, FaultKind::UnknownEntry);
    assert_eq!(refused("e", shape(1, 1, 0), 15).kind, FaultKind::Params { expected: 16, found: 15 });
    let shapes = [
        Launch { grid: [0, 1, 1], ..shape(1, 1, 0) },
        Launch { grid: [1, 65_536, 1], ..shape(1, 1, 0) },
        Launch { block: [1, 1, 65], ..shape(1, 1, 0) },
        Launch { block: [32, 33, 1], ..shape(1, 1, 0) },
        Launch { block: [1025, 1, 1], ..shape(1, 1, 0) },
        Launch { dynamic_shared_bytes: 227 << 10, ..shape(1, 1, 0) },
    ];
    for launch_as in shapes {
        let fault = refused("e", launch_as, 16);
        assert!(matches!(fault.kind, FaultKind::Geometry { .. }), "{fault}");
    }
    assert!(matches!(refused("limited", shape(1, 65, 0), 0).kind, FaultKind::Geometry { asked: 65, limit: 64, .. }));
    assert!(matches!(refused("exact", shape(1, 16, 0), 0).kind, FaultKind::Geometry { .. }));
    launch(&module, "exact", &Launch { block: [8, 2, 1], ..shape(1, 1, 0) }, &[], &mut Memory::new(0)).unwrap();
}

/// What was stored before a fault stays.
#[test]
fn memory_after_a_fault() {
    let module = Module::parse(&entry_of("", "st.global.b32 [%o], 9;\ntrap;")).unwrap();
    let mut memory = Memory::new(1 << 20);
    let out = memory.alloc(4).unwrap();
    let params = [out.to_le_bytes(), out.to_le_bytes()].concat();
    let fault = launch(&module, "e", &Launch { grid: [1, 2, 1], ..shape(1, 1, 1) }, &params, &mut memory).unwrap_err();
    let mut back = [0; 4];
    memory.read(out, &mut back).unwrap();
    assert_eq!(back, 9u32.to_le_bytes());
    assert_eq!(fault.at.thread, Some([0; 3]));
    assert!(fault.to_string().starts_with("entry e, PTX line "), "{fault}");
}
