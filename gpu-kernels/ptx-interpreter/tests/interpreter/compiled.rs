//! Kernels that a real compiler made, against plain Rust.

use crate::support::{Argument, bytes_of, numbers_of, run, shape};
use orchestrator_ptx_interpreter::Module;

const KERNELS: &str = include_str!("../fixtures/kernels.ptx");

fn kernels() -> Module {
    Module::parse(KERNELS).unwrap()
}

/// Numbers that look random, the same in every run.
fn numbers(seed: u64, count: usize) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ state >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ state >> 32
    };
    (0..count).map(|_| next()).collect()
}

/// Numbers with the edges of every width among them.
fn edges(seed: u64, count: usize) -> Vec<u64> {
    let mut numbers = numbers(seed, count);
    let edges = [0, 1, u64::MAX, 1 << 63, u64::from(u32::MAX), 1 << 31, 1 << 32, i64::MAX as u64];
    for (at, number) in numbers.iter_mut().enumerate() {
        match at % 5 {
            0 => *number = edges[at / 5 % edges.len()],
            1 => *number >>= at % 64,
            _ => {}
        }
    }
    numbers
}

/// The least value stands in every lane and warp in turn, with a tie at the other end.
#[test]
fn minimum() {
    let module = kernels();
    for count in [1usize, 31, 33, 256, 700] {
        for place in (0..count).step_by(7) {
            let mut values = numbers(3, count);
            values.iter_mut().for_each(|value| *value = value.saturating_add(10));
            values[place] = 5;
            values[count - 1 - place] = 5;
            let mut input = bytes_of(&values, u64::to_le_bytes);
            let mut out = vec![0; 8];
            let mut arguments = [
                Argument::Buffer(&mut input),
                Argument::Value((count as u32).to_le_bytes().to_vec()),
                Argument::Buffer(&mut out),
            ];
            run(&module, "minimum", &shape(1, 128, place as u64), &mut arguments).unwrap();
            assert_eq!(numbers_of(&out, u64::from_le_bytes), [5], "{count} values, the least at {place}");
        }
    }
}

fn wide_expected(x: u64, y: u64, shift: u32) -> u64 {
    let product = u128::from(x) * u128::from(y);
    let sum = product.wrapping_add(u128::from(y) << 61 | u128::from(x));
    let shifted = (sum >> (shift & 127)) as u64;
    let rotated = x.rotate_left(shift) ^ y.rotate_right(13) ^ u64::from((x as u32).rotate_left(shift));
    let bits = (y as u32).reverse_bits().swap_bytes();
    let counts = (x.leading_zeros() + y.trailing_zeros() + x.count_ones() * 3).wrapping_add(bits);
    let clamped = (x as i32).saturating_mul(y as i32) as u64;
    let saturated = x.saturating_add(y) ^ x.saturating_sub(y) ^ clamped;
    let signed = (x as i64) / ((y as i64 >> 3) | 1);
    let quotient = (x / (y | 1)).wrapping_add(u64::from(x as u32 % (y as u32 | 1))).wrapping_add(signed as u64);
    shifted ^ rotated ^ u64::from(counts) ^ saturated ^ quotient
}

#[test]
fn wide() {
    let module = kernels();
    let (xs, ys) = (edges(11, 500), edges(12, 500));
    // The division that overflows is a panic of the kernel, which has its own test.
    let ys: Vec<u64> =
        xs.iter().zip(ys).map(|(x, y)| if *x == 1 << 63 && y as i64 >> 3 | 1 == -1 { 9 } else { y }).collect();
    for shift in [0, 1, 13, 31, 32, 33, 63, 64, 65, 100, 127, 128, 200] {
        let (mut a, mut b) = (bytes_of(&xs, u64::to_le_bytes), bytes_of(&ys, u64::to_le_bytes));
        let mut out = vec![0; 8 * xs.len()];
        let mut arguments = [
            Argument::Buffer(&mut a),
            Argument::Buffer(&mut b),
            Argument::Value(u32::to_le_bytes(shift).to_vec()),
            Argument::Value((xs.len() as u32).to_le_bytes().to_vec()),
            Argument::Buffer(&mut out),
        ];
        run(&module, "wide", &shape(8, 64, u64::from(shift)), &mut arguments).unwrap();
        for (at, found) in numbers_of(&out, u64::from_le_bytes).into_iter().enumerate() {
            assert_eq!(found, wide_expected(xs[at], ys[at], shift), "{:#x} {:#x} {shift}", xs[at], ys[at]);
        }
    }
}

/// A check in the kernel fails: the fault is the trap of the panic, in a called function.
#[test]
fn a_panic_is_a_trap() {
    let (mut a, mut b) = (bytes_of(&[1u64 << 63], u64::to_le_bytes), bytes_of(&[u64::MAX], u64::to_le_bytes));
    let mut out = vec![0; 8];
    let mut arguments = [
        Argument::Buffer(&mut a),
        Argument::Buffer(&mut b),
        Argument::Value(vec![0; 4]),
        Argument::Value(1u32.to_le_bytes().to_vec()),
        Argument::Buffer(&mut out),
    ];
    let fault = run(&kernels(), "wide", &shape(1, 32, 0), &mut arguments).unwrap_err();
    let line = fault.at.line.unwrap() as usize;
    assert_eq!(KERNELS.lines().nth(line - 1).unwrap().trim(), "trap; exit;");
    assert_eq!(fault.to_string(), format!("entry wide, PTX line {line}, block (0, 0, 0), thread (0, 0, 0): trap"));
}

fn choose_expected(x: i32) -> i32 {
    const TABLE: [i32; 13] = [5, -3, 88, 1 << 30, 7, 0, -1, 2, 3, 4, 5, 6, i32::MIN];
    match x & 15 {
        0 => x.wrapping_mul(3),
        1 => x >> 3,
        2 => x.wrapping_sub(77),
        3 => x.rotate_left(7),
        4 => !x,
        5 => i32::from(x as i8),
        6 => i32::from(x as u16),
        7 => i32::from(x as i16).wrapping_abs(),
        8 => x.clamp(-1000, 1000),
        9 => x.signum(),
        10 => TABLE[(x as usize >> 4) % 13],
        11 => x.wrapping_div(7),
        _ => x.wrapping_rem(11),
    }
}

#[test]
fn choose() {
    let words: Vec<i32> = edges(21, 1000).into_iter().map(|number| number as i32).chain(-40..40).collect();
    let mut buffer = bytes_of(&words, i32::to_le_bytes);
    let mut arguments = [Argument::Buffer(&mut buffer), Argument::Value((words.len() as u32).to_le_bytes().to_vec())];
    let statistics = run(&kernels(), "choose", &shape(9, 128, 4), &mut arguments).unwrap();
    let found = numbers_of(&buffer, i32::from_le_bytes);
    for (x, found) in words.iter().zip(found) {
        assert_eq!(found, choose_expected(*x), "{x}");
    }
    // Every case was taken, and the counts add up.
    assert_eq!(statistics.unreached_lines().count(), 0);
    assert_eq!(statistics.opcodes.values().sum::<u64>(), statistics.instructions);
    assert_eq!(statistics.opcodes["st.global.b32"], words.len() as u64);
    assert_eq!((statistics.global_stores, statistics.global_atomics), (words.len() as u64, 0));
}

struct Row {
    key: u64,
    weight: u32,
    kind: u8,
    flags: u8,
    level: i16,
}

impl Row {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.key.to_le_bytes().to_vec();
        bytes.extend(self.weight.to_le_bytes());
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.level.to_le_bytes());
        bytes
    }

    fn expected(&self, quad: [u32; 4], bias: u64, scale: u32, cut: u16, mode: u8) -> Self {
        let mut scratch = [0u32; 9];
        for (position, number) in quad.iter().enumerate() {
            let at = (*number as usize + position) % 9;
            scratch[at] = scratch[at].wrapping_add(number.wrapping_mul(scale)).wrapping_add(1);
        }
        let pick = scratch[usize::from(self.kind) % 9];
        Self {
            key: self.key.wrapping_add(bias).wrapping_mul(u64::from(pick) | 1),
            weight: match mode {
                0 => self.weight ^ pick,
                1 => self.weight.wrapping_add(pick),
                _ => pick,
            },
            kind: self.kind.wrapping_add(self.flags),
            flags: self.flags.rotate_left(3) ^ u8::from(self.kind > 100),
            level: if self.level < cut as i16 { self.level.wrapping_neg() } else { self.level.wrapping_mul(3) },
        }
    }
}

/// Vector loads, sub-word values, a struct by value, an array in local memory.
#[test]
fn rows() {
    let module = kernels();
    let random = edges(31, 4 * 300);
    let rows: Vec<Row> = (0..300)
        .map(|at| Row {
            key: random[4 * at],
            weight: random[4 * at + 1] as u32,
            kind: random[4 * at + 2] as u8,
            flags: (random[4 * at + 2] >> 8) as u8,
            level: (random[4 * at + 3] >> 3) as i16,
        })
        .collect();
    let quads: Vec<u32> = edges(32, 4 * 300).into_iter().map(|number| number as u32).collect();
    for (mode, cut, order) in [(0u8, 17u16, 1u64), (1, 0xfff0, 2), (2, 0x7fff, 3)] {
        let (bias, scale) = (0x1234_5678_9abc_def0, 77);
        let mut settings = u64::to_le_bytes(bias).to_vec();
        settings.extend(u32::to_le_bytes(scale));
        settings.extend(cut.to_le_bytes());
        settings.extend([mode, 0]);
        let mut input: Vec<u8> = rows.iter().flat_map(Row::bytes).collect();
        let mut vectors = bytes_of(&quads, u32::to_le_bytes);
        let mut out = vec![0; input.len()];
        let mut arguments = [
            Argument::Buffer(&mut input),
            Argument::Buffer(&mut vectors),
            Argument::Value(settings),
            Argument::Value(300u32.to_le_bytes().to_vec()),
            Argument::Buffer(&mut out),
        ];
        run(&module, "rows", &shape(10, 32, order), &mut arguments).unwrap();
        for (at, row) in rows.iter().enumerate() {
            let quad = quads[4 * at..4 * at + 4].try_into().unwrap();
            let expected = row.expected(quad, bias, scale, cut, mode).bytes();
            assert_eq!(out[16 * at..16 * at + 16], expected, "row {at}, mode {mode}");
        }
    }
}

/// Sums and a maximum by atomics are the same in every order.
#[test]
fn tally_in_many_orders() {
    let module = kernels();
    let values: Vec<u32> = numbers(41, 500).into_iter().map(|number| number as u32).collect();
    let mut expected = [0u32; 8];
    for value in &values {
        expected[(value % 8) as usize] = expected[(value % 8) as usize].wrapping_add(value >> 3);
    }
    let most = values.iter().enumerate().map(|(at, value)| u64::from(*value) << 32 | at as u64).max().unwrap();
    for order in 0..50 {
        let (mut input, mut bins, mut best) = (bytes_of(&values, u32::to_le_bytes), vec![0; 32], vec![0; 8]);
        let mut arguments = [
            Argument::Buffer(&mut input),
            Argument::Value(500u32.to_le_bytes().to_vec()),
            Argument::Buffer(&mut bins),
            Argument::Buffer(&mut best),
        ];
        run(&module, "tally", &shape(8, 64, order), &mut arguments).unwrap();
        assert_eq!(numbers_of(&bins, u32::from_le_bytes), expected, "order {order}");
        assert_eq!(numbers_of(&best, u64::from_le_bytes), [most], "order {order}");
    }
}
