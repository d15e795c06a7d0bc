//! What threads do together: shuffles, votes, barriers, and the order in which they run.

use orchestrator_ptx_interpreter::{FaultKind, Launch};

use crate::support::{entry_of, numbers_of, run_entry, shape};

/// What each thread of a block leaves in `%w0`; `%w8` is its number.
fn words(declarations: &str, body: &str, launch: &Launch) -> Vec<u32> {
    let body = format!("mov.u32 %w8, %tid.x;\n{body}\nmad.wide.u32 %d8, %w8, 4, %o;\nst.global.b32 [%d8], %w0;");
    let out = run_entry(&entry_of(declarations, &body), launch, &[0], 4 * launch.block[0] as usize);
    numbers_of(&out.unwrap_or_else(|fault| panic!("{body}: {fault}")), u32::from_le_bytes)
}

/// The ISA's own definition, over clamps and segments.
#[test]
fn shuffles() {
    for clamp in [0u32, 31, 15, 0x1f | 24 << 8, 24 << 8, 0x1f | 16 << 8, 7 | 16 << 8] {
        for by in [0u32, 1, 2, 5, 16, 31, 33] {
            for mode in ["up", "down", "bfly", "idx"] {
                let body = format!(
                    "add.u32 %w1, %w8, 1000;\nshfl.sync.{mode}.b32 %w2|%p1, %w1, {by}, {clamp}, -1;\n\
                     selp.b32 %w3, 0x10000, 0, %p1;\nadd.u32 %w0, %w2, %w3;"
                );
                let found = words("", &body, &shape(1, 64, 3));
                for (thread, found) in found.into_iter().enumerate() {
                    let (lane, first) = (thread as i32 % 32, thread as i32 / 32 * 32);
                    let (mask, end, by) = (clamp as i32 >> 8 & 31, clamp as i32 & 31, by as i32 & 31);
                    let max = lane & mask | end & !mask;
                    let (source, valid) = match mode {
                        "up" => (lane - by, lane - by >= max),
                        "down" => (lane + by, lane + by <= max),
                        "bfly" => (lane ^ by, lane ^ by <= max),
                        _ => (lane & mask | by & !mask, lane & mask | by & !mask <= max),
                    };
                    let from = first + if valid { source } else { lane };
                    let expected = 1000 + from as u32 + if valid { 0x10000 } else { 0 };
                    assert_eq!(found, expected, "{mode} by {by}, clamp {clamp:#x}, thread {thread}");
                }
            }
        }
    }
}

/// Two halves of a warp shuffle on their own, on either side of a branch.
#[test]
fn shuffles_of_a_part() {
    let body = "
        setp.lt.u32 %p1, %w8, 16;
        @%p1 bra $low;
        shfl.sync.bfly.b32 %w0, %w8, 3, 31, 0xffff0000;
        bra.uni $done;
    $low:
        shfl.sync.idx.b32 %w0, %w8, 5, 31, 0x0000ffff;
    $done:";
    let found = words("", body, &shape(1, 32, 9));
    let expected: Vec<u32> = (0..32).map(|lane| if lane < 16 { 5 } else { lane ^ 3 }).collect();
    assert_eq!(found, expected);
}

#[test]
fn votes() {
    let cases: [(&str, [u32; 2]); 4] = [
        ("all.pred %p2, %p1", [0, 1]),
        ("any.pred %p2, %p1", [1, 1]),
        ("uni.pred %p2, %p1", [0, 1]),
        ("any.pred %p2, !%p1", [1, 0]),
    ];
    for (vote, expected) in cases {
        // True in lanes 3 and up of the first warp, in all of the second.
        let body = format!("setp.gt.u32 %p1, %w8, 2;\nvote.sync.{vote}, 0xffffffff;\nselp.b32 %w0, 1, 0, %p2;");
        let found = words("", &body, &shape(1, 64, 1));
        assert_eq!([found[0], found[63]], expected, "{vote}");
        assert!(found[..32].iter().all(|one| *one == found[0]));
    }
    let body = "setp.gt.u32 %p1, %w8, 2;\nvote.sync.ballot.b32 %w0, %p1, -1;";
    assert_eq!(words("", body, &shape(1, 40, 1))[..32], [0xffff_fff8; 32]);
    assert_eq!(words("", body, &shape(1, 40, 1))[32..], [0xff; 8]);
}

#[test]
fn special_registers() {
    let masks = [("eq", 1u32 << 5), ("lt", 31), ("le", 63), ("gt", !63), ("ge", !31)];
    for (mask, expected) in masks {
        assert_eq!(words("", &format!("mov.u32 %w0, %lanemask_{mask};"), &shape(1, 6, 0))[5], expected, "{mask}");
    }
    assert_eq!(words("", "mov.u32 %w0, %laneid;", &shape(1, 34, 0))[33], 1);
    assert_eq!(
        words("", "activemask.b32 %w1;\nmov.u32 %w2, %lanemask_eq;\nand.b32 %w0, %w1, %w2;", &shape(1, 3, 0))[2],
        4
    );
    // Grid and block in three dimensions: the last thread of the last block tells.
    let body = "
        mov.u32 %w1, %tid.x; mov.u32 %w2, %tid.y; mov.u32 %w3, %tid.z;
        mov.u32 %w4, %ctaid.x; mov.u32 %w5, %ctaid.y; mov.u32 %w6, %ctaid.z;
        mad.lo.u32 %w0, %w1, 10, %w2; mad.lo.u32 %w0, %w0, 10, %w3; mad.lo.u32 %w0, %w0, 10, %w4;
        mad.lo.u32 %w0, %w0, 10, %w5; mad.lo.u32 %w0, %w0, 10, %w6;
        red.global.max.u32 [%o], %w0;
        mov.u32 %w1, %ntid.x; mov.u32 %w2, %ntid.y; mov.u32 %w3, %ntid.z;
        mov.u32 %w4, %nctaid.x; mov.u32 %w5, %nctaid.y; mov.u32 %w6, %nctaid.z;
        mad.lo.u32 %w0, %w1, 10, %w2; mad.lo.u32 %w0, %w0, 10, %w3; mad.lo.u32 %w0, %w0, 10, %w4;
        mad.lo.u32 %w0, %w0, 10, %w5; mad.lo.u32 %w0, %w0, 10, %w6;
        st.global.b32 [%o+4], %w0;";
    let launch = Launch { grid: [4, 3, 2], block: [5, 6, 7], dynamic_shared_bytes: 0, order_seed: 2 };
    let out = numbers_of(&run_entry(&entry_of("", body), &launch, &[0], 8).unwrap(), u32::from_le_bytes);
    assert_eq!(out, [456_321, 567_432]);
}

/// A transposition through shared memory: right in every order with its barrier, a race in every order without.
#[test]
fn barriers_order_shared_memory() {
    let tile = ".shared .align 4 .b32 tile[256];";
    let body = |barrier: &str| {
        format!(
            "mov.u32 %w1, tile;\nmad.lo.u32 %w2, %w8, 4, %w1;\nst.shared.b32 [%w2], %w8;\n{barrier}\n\
             sub.u32 %w3, 255, %w8;\nmad.lo.u32 %w3, %w3, 4, %w1;\nld.shared.b32 %w0, [%w3];"
        )
    };
    let expected: Vec<u32> = (0..256).rev().collect();
    for order in 0..40 {
        for barrier in ["bar.sync 0;", "barrier.sync 3;", "bar.sync 1, 256;", "barrier.sync.aligned 0;"] {
            assert_eq!(words(tile, &body(barrier), &shape(1, 256, order)), expected, "{barrier}, order {order}");
        }
        let text = entry_of(tile, &format!("mov.u32 %w8, %tid.x;\n{}", body("")));
        let fault = run_entry(&text, &shape(1, 256, order), &[0], 1024).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Unwritten { .. } | FaultKind::Race { .. }), "{fault}");
    }
    // Within a warp, a barrier of the warp will do.
    let body = "mov.u32 %w1, tile;\nmad.lo.u32 %w2, %w8, 4, %w1;\nst.shared.b32 [%w2], %w8;\nbar.warp.sync -1;\n\
                xor.b32 %w3, %w8, 31;\nmad.lo.u32 %w3, %w3, 4, %w1;\nld.shared.b32 %w0, [%w3];";
    let expected: Vec<u32> = (0..64).map(|thread| thread ^ 31).collect();
    assert_eq!(words(tile, body, &shape(1, 64, 8)), expected);
}

/// Threads that have exited are not waited for, neither at barriers nor in shuffles of others.
#[test]
fn exited_threads_are_not_waited_for() {
    let body = "
        setp.gt.u32 %p1, %w8, 40;
        @%p1 exit;
        bar.sync 0;
        shfl.sync.up.b32 %w0, %w8, 1, 0, -1;";
    let found = words("", body, &shape(1, 64, 6));
    let expected: Vec<u32> = (0..41).map(|thread| if thread % 32 == 0 { thread } else { thread - 1 }).collect();
    assert_eq!(found[..41], expected);
}

/// A thread that waits for another by asking memory does not keep it from its turn.
#[test]
fn waiting_by_asking_ends() {
    let body = "
        setp.ne.u32 %p1, %w8, 7;
        @%p1 bra $wait;
        st.relaxed.gpu.global.b32 [%o+64], 1;
        bra.uni $done;
    $wait:
        ld.relaxed.gpu.global.b32 %w1, [%o+64];
        setp.eq.u32 %p2, %w1, 0;
        @%p2 bra $wait;
    $done:
        fence.acq_rel.gpu;
        membar.gl;
        mov.b32 %w0, 1;";
    assert_eq!(words("", body, &shape(1, 32, 5))[..8], [1; 8]);
}

/// The order is another for each seed, and the same for the same: the thread that comes last shows it.
#[test]
fn seeds_decide_the_order() {
    let last = |order| words("", "st.global.b32 [%o], %w8;\nld.global.b32 %w0, [%o];", &shape(1, 32, order))[0];
    let body = "mov.u32 %w7, %tid.x;\nst.global.b32 [%o], %w7;";
    let last_of = |order| run_entry(&entry_of("", body), &shape(1, 32, order), &[0], 4).unwrap()[0];
    let seen: std::collections::BTreeSet<u8> = (0..30).map(last_of).collect();
    assert!(seen.len() > 10, "{seen:?}");
    assert_eq!(last_of(5), last_of(5));
    assert_eq!(last(5), last(5));
    let blocks = "mov.u32 %w7, %ctaid.x;\nst.global.b32 [%o], %w7;";
    let last_block = |order| run_entry(&entry_of("", blocks), &shape(32, 1, order), &[0], 4).unwrap()[0];
    let seen: std::collections::BTreeSet<u8> = (0..30).map(last_block).collect();
    assert!(seen.len() > 10, "{seen:?}");
}
