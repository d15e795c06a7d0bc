//! Every opcode that turns registers into registers, over edge values, against expectations written from the ISA.

use crate::support::{Argument, bytes_of, numbers_of, run};
use orchestrator_ptx_interpreter::{Launch, Module};

const EDGES: &[u64] = &[
    0,
    1,
    2,
    7,
    31,
    32,
    33,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1234_5678_9abc_def0,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_ff80,
    u64::MAX,
];

/// Runs one thread for each triple of inputs. Inputs are in `%d1`.. (64 bits), `%w1`.. (32) and `%h1`.. (16), each cut
/// from the same number; the result is what the body leaves in register zero of `width`, or in `%p0`.
fn evaluate(body: &str, width: u32, inputs: &[[u64; 3]]) -> Vec<u64> {
    let store = match width {
        1 => "selp.b64 %d0, 1, 0, %p0;\nst.global.b64 [%o], %d0;",
        16 => "cvt.u64.u16 %d0, %h0;\nst.global.b64 [%o], %d0;",
        32 => "cvt.u64.u32 %d0, %w0;\nst.global.b64 [%o], %d0;",
        _ => "st.global.b64 [%o], %d0;",
    };
    let loads: String = (1..=3)
        .map(|n| {
            let at = 8 * (n - 1);
            format!(
                "ld.global.b64 %d{n}, [%i+{at}];\nld.global.b32 %w{n}, [%i+{at}];\nld.global.b16 %h{n}, [%i+{at}];\n"
            )
        })
        .collect();
    let text = format!(
        ".version 6.3\n.target sm_75\n.address_size 64\n.visible .entry e(.param .u64 e_0, .param .u64 e_1)\n{{\n\
         .reg .pred %p<9>;\n.reg .b16 %h<9>;\n.reg .b32 %w<9>;\n.reg .b64 %d<9>;\n.reg .b64 %i, %o;\n.reg .b32 %t;\n\
         ld.param.b64 %i, [e_0];\nld.param.b64 %o, [e_1];\n\
         mov.u32 %t, %ctaid.x;\nmad.wide.u32 %i, %t, 24, %i;\nmad.wide.u32 %o, %t, 8, %o;\n\
         {loads}{body}\n{store}\nret;\n}}\n"
    );
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{body}: {error}"));
    let mut input: Vec<u8> = inputs.iter().flat_map(|triple| bytes_of(triple, u64::to_le_bytes)).collect();
    let mut output = vec![0; 8 * inputs.len()];
    let shape = Launch { grid: [inputs.len() as u32, 1, 1], block: [1; 3], dynamic_shared_bytes: 0, order_seed: 5 };
    let mut arguments = [Argument::Buffer(&mut input), Argument::Buffer(&mut output)];
    run(&module, "e", &shape, &mut arguments).unwrap_or_else(|fault| panic!("{body}: {fault}"));
    numbers_of(&output, u64::from_le_bytes)
}

/// All triples of edges would be many: all pairs, with a third that goes through all edges too.
fn triples() -> Vec<[u64; 3]> {
    let mut triples = Vec::new();
    for (i, a) in EDGES.iter().enumerate() {
        for (j, b) in EDGES.iter().enumerate() {
            triples.push([*a, *b, EDGES[(3 * i + 7 * j) % EDGES.len()]]);
        }
    }
    triples
}

fn check(body: &str, width: u32, expected: impl Fn(u64, u64, u64) -> u64) {
    check_where(body, width, |_, _, _| true, expected);
}

fn check_where(
    body: &str,
    width: u32,
    defined: impl Fn(u64, u64, u64) -> bool,
    expected: impl Fn(u64, u64, u64) -> u64,
) {
    let inputs: Vec<_> = triples().into_iter().filter(|[a, b, c]| defined(*a, *b, *c)).collect();
    for ([a, b, c], found) in inputs.iter().zip(evaluate(body, width, &inputs)) {
        let expected = expected(*a, *b, *c) & cut(width);
        assert_eq!(found, expected, "{body} of {a:#x}, {b:#x}, {c:#x}: {found:#x}, expected {expected:#x}");
    }
}

fn cut(width: u32) -> u64 {
    if width == 64 { u64::MAX } else { (1 << width) - 1 }
}

/// The value as an integer without bounds.
fn number(width: u32, signed: bool, value: u64) -> i128 {
    let value = i128::from(value & cut(width));
    if signed && value >= 1 << (width - 1) { value - (1 << width) } else { value }
}

/// The register of a width: `%h1`, `%w1`, `%d1`.
fn register(width: u32, index: u32) -> String {
    let letter = match width {
        16 => 'h',
        32 => 'w',
        _ => 'd',
    };
    format!("%{letter}{index}")
}

const TYPES: &[(u32, bool)] = &[(16, false), (16, true), (32, false), (32, true), (64, false), (64, true)];

fn name(width: u32, signed: bool) -> String {
    format!("{}{width}", if signed { 's' } else { 'u' })
}

#[test]
fn arithmetic() {
    for &(width, signed) in TYPES {
        let t = name(width, signed);
        let [r, a, b, c] = [0, 1, 2, 3].map(|index| register(width, index));
        let n = |value| number(width, signed, value);
        check(&format!("add.{t} {r}, {a}, {b};"), width, |a, b, _| (n(a) + n(b)) as u64);
        check(&format!("sub.{t} {r}, {a}, {b};"), width, |a, b, _| (n(a) - n(b)) as u64);
        check(&format!("mul.lo.{t} {r}, {a}, {b};"), width, |a, b, _| n(a).wrapping_mul(n(b)) as u64);
        // An unsigned product of 64 bits has 128 and no room for a sign.
        let high = |a, b| {
            if signed { (n(a) * n(b)) >> width } else { ((n(a) as u128 * n(b) as u128) >> width) as i128 }
        };
        check(&format!("mul.hi.{t} {r}, {a}, {b};"), width, |a, b, _| high(a, b) as u64);
        check(&format!("mad.lo.{t} {r}, {a}, {b}, {c};"), width, |a, b, c| {
            n(a).wrapping_mul(n(b)).wrapping_add(n(c)) as u64
        });
        check(&format!("mad.hi.{t} {r}, {a}, {b}, {c};"), width, |a, b, c| (high(a, b) + n(c)) as u64);
        check(&format!("min.{t} {r}, {a}, {b};"), width, |a, b, _| n(a).min(n(b)) as u64);
        check(&format!("max.{t} {r}, {a}, {b};"), width, |a, b, _| n(a).max(n(b)) as u64);
        let divisible = |_, b: u64, _| b & cut(width) != 0;
        check_where(&format!("div.{t} {r}, {a}, {b};"), width, divisible, |a, b, _| (n(a) / n(b)) as u64);
        check_where(&format!("rem.{t} {r}, {a}, {b};"), width, divisible, |a, b, _| (n(a) % n(b)) as u64);
        if signed {
            check(&format!("neg.{t} {r}, {a};"), width, |a, _, _| -n(a) as u64);
            check(&format!("abs.{t} {r}, {a};"), width, |a, _, _| n(a).unsigned_abs() as u64);
        }
        if width < 64 {
            let wide = register(2 * width, 0);
            check(&format!("mul.wide.{t} {wide}, {a}, {b};"), 2 * width, |a, b, _| (n(a) * n(b)) as u64);
            let addend = register(2 * width, 3);
            check(&format!("mad.wide.{t} {wide}, {a}, {b}, {addend};"), 2 * width, |a, b, c| {
                (n(a) * n(b) + number(2 * width, signed, c)) as u64
            });
        }
    }
    let clamped = |value: i128| value.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as u64;
    let n = |value| number(32, true, value);
    check("add.sat.s32 %w0, %w1, %w2;", 32, |a, b, _| clamped(n(a) + n(b)));
    check("sub.sat.s32 %w0, %w1, %w2;", 32, |a, b, _| clamped(n(a) - n(b)));
}

#[test]
fn immediates() {
    check("add.s32 %w0, %w1, -5;", 32, |a, _, _| a.wrapping_sub(5));
    check("xor.b16 %h0, %h1, -32768;", 16, |a, _, _| a ^ 0x8000);
    check("xor.b16 %h0, %h1, 0xffff;", 16, |a, _, _| !a);
    check("mov.b64 %d0, -9223372036854775808;", 64, |_, _, _| 1 << 63);
    check("mov.b32 %w0, 0x123U;", 32, |_, _, _| 0x123);
    check("mov.b32 %w0, 010;", 32, |_, _, _| 8);
    check("mov.b32 %w0, 0b101;", 32, |_, _, _| 5);
    check("mov.u32 %w0, WARP_SZ;", 32, |_, _, _| 32);
}

/// A chain over three words: as one sum of 96 or 192 bits.
#[test]
fn carries() {
    for width in [32, 64] {
        let r = |index| register(width, index);
        let n = |value| number(width, false, value) as u128;
        let carry = |a, b| (n(a) + n(b)) >> width;
        let [r0, r1, r2, r3, r4, r5] = [0, 1, 2, 3, 4, 5].map(r);
        // The low sum's carry goes into a middle sum, whose carry is what the last one shows.
        let middle = |a, b, c| n(b) + n(c) + carry(a, b);
        check(&format!("add.cc.u{width} {r4}, {r1}, {r2};\naddc.u{width} {r0}, {r2}, {r3};"), width, |a, b, c| {
            middle(a, b, c) as u64
        });
        check(
            &format!(
                "add.cc.s{width} {r4}, {r1}, {r2};\naddc.cc.s{width} {r5}, {r2}, {r3};\naddc.s{width} {r0}, 0, 0;"
            ),
            width,
            |a, b, c| (middle(a, b, c) >> width) as u64,
        );
        let borrow = |a, b| u128::from(n(a) < n(b));
        check(&format!("sub.cc.u{width} {r4}, {r1}, {r2};\nsubc.u{width} {r0}, {r2}, {r3};"), width, |a, b, c| {
            n(b).wrapping_sub(n(c)).wrapping_sub(borrow(a, b)) as u64
        });
        check(
            &format!(
                "sub.cc.s{width} {r4}, {r1}, {r2};\nsubc.cc.s{width} {r5}, {r2}, {r3};\nsubc.s{width} {r0}, 0, 0;"
            ),
            width,
            |a, b, c| if n(b) < n(c) + borrow(a, b) { u64::MAX } else { 0 },
        );
        // a * b + c in two words.
        let product = |a, b, c| n(a) * n(b) + n(c);
        check(
            &format!("mad.lo.cc.u{width} {r4}, {r1}, {r2}, {r3};\nmadc.hi.u{width} {r0}, {r1}, {r2}, 0;"),
            width,
            |a, b, c| (product(a, b, c) >> width) as u64,
        );
        check(
            &format!("mad.hi.cc.u{width} {r4}, {r1}, {r2}, {r3};\nmadc.lo.u{width} {r0}, {r1}, {r2}, 1;"),
            width,
            |a, b, c| {
                (n(a).wrapping_mul(n(b)) as u64).wrapping_add(1 + carry(((n(a) * n(b)) >> width) as u64, c) as u64)
            },
        );
    }
}

#[test]
fn bitwise() {
    for width in [16, 32, 64] {
        let [r, a, b] = [0, 1, 2].map(|index| register(width, index));
        check(&format!("and.b{width} {r}, {a}, {b};"), width, |a, b, _| a & b);
        check(&format!("or.b{width} {r}, {a}, {b};"), width, |a, b, _| a | b);
        check(&format!("xor.b{width} {r}, {a}, {b};"), width, |a, b, _| a ^ b);
        check(&format!("not.b{width} {r}, {a};"), width, |a, _, _| !a);
        check(&format!("cnot.b{width} {r}, {a};"), width, |a, _, _| u64::from(a & cut(width) == 0));
    }
    for width in [32, 64] {
        let [r, a] = [0, 1].map(|index| register(width, index));
        let bits = |value: u64| (0..width).map(move |bit| value >> bit & 1);
        check(&format!("popc.b{width} %w0, {a};"), 32, |a, _, _| bits(a).sum());
        check(&format!("clz.b{width} %w0, {a};"), 32, |a, _, _| bits(a).rev_zeros());
        check(&format!("brev.b{width} {r}, {a};"), width, |a, _, _| bits(a).fold(0, |all, bit| all << 1 | bit));
    }
}

/// Counts zeros from the top of bits that come lowest first.
trait ReversedZeros {
    fn rev_zeros(self) -> u64;
}

impl<I: Iterator<Item = u64>> ReversedZeros for I {
    fn rev_zeros(self) -> u64 {
        let bits: Vec<u64> = self.collect();
        bits.iter().rev().take_while(|bit| **bit == 0).count() as u64
    }
}

/// Amounts are 32 bits, unsigned, and clamp: 0x8000_0000 is a large amount and no negative one.
#[test]
fn shifts() {
    for width in [16, 32, 64] {
        let [r, a] = [0, 1].map(|index| register(width, index));
        let amount = move |b: u64| (b & cut(32)).min(u64::from(width));
        check(&format!("shl.b{width} {r}, {a}, %w2;"), width, |a, b, _| ((a as u128) << amount(b)) as u64);
        check(&format!("shr.b{width} {r}, {a}, %w2;"), width, |a, b, _| (number(width, false, a) >> amount(b)) as u64);
        check(&format!("shr.u{width} {r}, {a}, %w2;"), width, |a, b, _| (number(width, false, a) >> amount(b)) as u64);
        check(&format!("shr.s{width} {r}, {a}, %w2;"), width, |a, b, _| (number(width, true, a) >> amount(b)) as u64);
    }
    let pair = |low: u64, high: u64| u128::from(high & cut(32)) << 32 | u128::from(low & cut(32));
    for (mode, wrap) in [("wrap", true), ("clamp", false)] {
        let amount = move |c: u64| if wrap { c & 31 } else { (c & cut(32)).min(32) };
        check(&format!("shf.l.{mode}.b32 %w0, %w1, %w2, %w3;"), 32, |a, b, c| ((pair(a, b) << amount(c)) >> 32) as u64);
        check(&format!("shf.r.{mode}.b32 %w0, %w1, %w2, %w3;"), 32, |a, b, c| (pair(a, b) >> amount(c)) as u64);
    }
}

/// The pseudo-code of the ISA, bit by bit.
#[test]
fn fields() {
    for width in [32u32, 64] {
        let [r, a, b] = [0, 1, 2].map(|index| register(width, index));
        let top = u64::from(width) - 1;
        let bit = |value: u64, at: u64| value >> at & 1;
        for signed in [false, true] {
            let t = name(width, signed);
            check(&format!("bfe.{t} {r}, {a}, %w2, %w3;"), width, |a, b, c| {
                let (start, length) = (b & 0xff, c & 0xff);
                let sign = if signed && length > 0 { bit(a, (start + length - 1).min(top)) } else { 0 };
                let field = |i| if i < length && start + i <= top { bit(a, start + i) } else { sign };
                (0..=top).fold(0, |all, i| all | field(i) << i)
            });
        }
        // Start and length both come from the third input: its low byte and its second.
        check(&format!("shr.u32 %w4, %w3, 8;\nbfi.b{width} {r}, {a}, {b}, %w3, %w4;"), width, |a, b, c| {
            let (start, length) = (c & 0xff, c >> 8 & 0xff);
            (0..length)
                .take_while(|i| start + i <= top)
                .fold(b, |all, i| all & !(1 << (start + i)) | bit(a, i) << (start + i))
        });
    }
    check("prmt.b32 %w0, %w1, %w2, %w3;", 32, |a, b, c| {
        let bytes: Vec<u64> = (0..4).map(|i| a >> (8 * i) & 255).chain((0..4).map(|i| b >> (8 * i) & 255)).collect();
        (0..4).fold(0, |all, i| {
            let nibble = c >> (4 * i) & 15;
            let byte = bytes[(nibble % 8) as usize];
            let value = if nibble < 8 { byte } else { 255 * (byte >> 7) };
            all | value << (8 * i)
        })
    });
    check("prmt.b32 %w0, %w1, 0, 0x123U;", 32, |a, _, _| u64::from((a as u32).swap_bytes()));
}

#[test]
fn comparisons() {
    type Holds = fn(i128, i128) -> bool;
    let all: [(&str, Holds); 6] = [
        ("eq", |a, b| a == b),
        ("ne", |a, b| a != b),
        ("lt", |a, b| a < b),
        ("le", |a, b| a <= b),
        ("gt", |a, b| a > b),
        ("ge", |a, b| a >= b),
    ];
    let unsigned: [(&str, Holds); 4] =
        [("lo", |a, b| a < b), ("ls", |a, b| a <= b), ("hi", |a, b| a > b), ("hs", |a, b| a >= b)];
    for &(width, signed) in TYPES {
        let t = name(width, signed);
        let [a, b] = [1, 2].map(|index| register(width, index));
        let n = |value| number(width, signed, value);
        let more: &[(&str, Holds)] = if signed { &[] } else { &unsigned };
        for (operator, holds) in all.iter().chain(more) {
            check(&format!("setp.{operator}.{t} %p0, {a}, {b};"), 1, |a, b, _| u64::from(holds(n(a), n(b))));
        }
        check(&format!("setp.ne.b{width} %p0, {a}, {b};"), 1, |a, b, _| u64::from(n(a) != n(b)));
    }
}

/// `setp` with a second condition and a second result, and what predicates do among themselves.
#[test]
fn predicates() {
    let odd = "and.b32 %w4, %w3, 1;\nsetp.eq.b32 %p3, %w4, 1;\n";
    type Combine = fn(bool, bool) -> bool;
    let logic: [(&str, Combine); 3] = [("and", |a, b| a & b), ("or", |a, b| a | b), ("xor", |a, b| a ^ b)];
    for (operator, combine) in logic {
        let less = |a: u64, b: u64| (a as u32) < b as u32;
        let odd_third = |c: u64| c & 1 == 1;
        check(&format!("{odd}setp.lt.{operator}.u32 %p0, %w1, %w2, %p3;"), 1, |a, b, c| {
            u64::from(combine(less(a, b), odd_third(c)))
        });
        check(&format!("{odd}setp.lt.{operator}.u32 %p0|%p1, %w1, %w2, !%p3;"), 1, |a, b, c| {
            u64::from(combine(less(a, b), !odd_third(c)))
        });
        check(&format!("{odd}setp.lt.{operator}.u32 %p1|%p0, %w1, %w2, %p3;"), 1, |a, b, c| {
            u64::from(combine(!less(a, b), odd_third(c)))
        });
        check(&format!("{odd}setp.lt.u32 %p1, %w1, %w2;\n{operator}.pred %p0, %p1, %p3;"), 1, |a, b, c| {
            u64::from(combine(less(a, b), odd_third(c)))
        });
    }
    check(&format!("{odd}not.pred %p0, %p3;"), 1, |_, _, c| 1 - (c & 1));
    check(&format!("{odd}mov.pred %p0, %p3;"), 1, |_, _, c| c & 1);
    check("mov.pred %p0, -1;", 1, |_, _, _| 1);
    check("mov.pred %p0, 0;", 1, |_, _, _| 0);
    check(&format!("{odd}mov.b64 %d0, 5;\n@%p3 mov.b64 %d0, %d1;"), 64, |a, _, c| if c & 1 == 1 { a } else { 5 });
    check(&format!("{odd}mov.b64 %d0, 5;\n@!%p3 mov.b64 %d0, %d1;"), 64, |a, _, c| if c & 1 == 1 { 5 } else { a });
    for width in [16, 32, 64] {
        let [r, a, b] = [0, 1, 2].map(|index| register(width, index));
        check(&format!("{odd}selp.b{width} {r}, {a}, {b}, %p3;"), width, |a, b, c| if c & 1 == 1 { a } else { b });
        check(
            &format!("{odd}selp.s{width} {r}, -1, {b}, %p3;"),
            width,
            |_, b, c| {
                if c & 1 == 1 { u64::MAX } else { b }
            },
        );
    }
}

/// All pairs of types; sources and destinations also in registers wider than their types.
#[test]
fn conversions() {
    for from_width in [8u32, 16, 32, 64] {
        for to_width in [8u32, 16, 32, 64] {
            for (from_signed, to_signed) in [(false, false), (false, true), (true, false), (true, true)] {
                let (to, from) = (name(to_width, to_signed), name(from_width, from_signed));
                for source in [16, 32, 64].into_iter().filter(|width| *width >= from_width) {
                    for target in [16, 32, 64].into_iter().filter(|width| *width >= to_width) {
                        let [r, a] = [register(target, 0), register(source, 1)];
                        check(&format!("cvt.{to}.{from} {r}, {a};"), target, |a, _, _| {
                            number(to_width, to_signed, number(from_width, from_signed, a) as u64) as u64
                        });
                        let least = |width: u32, signed| if signed { -(1i128 << (width - 1)) } else { 0 };
                        let (low, high) =
                            (least(to_width, to_signed), least(to_width, to_signed) + i128::from(cut(to_width)));
                        let lowest = least(from_width, from_signed);
                        if low <= lowest && lowest + i128::from(cut(from_width)) <= high {
                            continue;
                        }
                        check(&format!("cvt.sat.{to}.{from} {r}, {a};"), target, |a, _, _| {
                            number(from_width, from_signed, a).clamp(low, high) as u64
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn packing() {
    check("mov.b64 %d0, {%w1, %w2};", 64, |a, b, _| a & cut(32) | b << 32);
    check("mov.b64 {%w4, %w0}, %d1;", 32, |a, _, _| a >> 32);
    check("mov.b64 {%w0, _}, %d1;", 32, |a, _, _| a);
    check("{ .reg .b32 tmp; mov.b64 {tmp, %w0}, %d1; }", 32, |a, _, _| a >> 32);
    check("mov.b32 %w0, {%h1, %h2};", 32, |a, b, _| a & cut(16) | (b & cut(16)) << 16);
    check("mov.b32 {%h4, %h0}, %w1;", 16, |a, _, _| a >> 16);
    check("mov.b64 %d0, {%h1, %h2, %h3, %h1};", 64, |a, b, c| {
        a & cut(16) | (b & cut(16)) << 16 | (c & cut(16)) << 32 | a << 48
    });
    check("mov.b64 {%h4, %h5, %h0, %h6}, %d1;", 16, |a, _, _| a >> 32);
}

/// A register that nothing set may be copied; its copy is as unset as it was, and a set one is set.
#[test]
fn plain_copies() {
    check("mov.b64 %d5, %d6;\nmov.b64 %d0, %d1;", 64, |a, _, _| a);
    check("mov.u16 %h0, %h1;", 16, |a, _, _| a);
    check("mov.s32 %w0, %w1;", 32, |a, _, _| a);
}
