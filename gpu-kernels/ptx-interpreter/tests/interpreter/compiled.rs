//! Kernels that a real compiler made, against plain Rust.

use crate::support::{Argument, bytes_of, numbers_of, run, shape};
use orchestrator_ptx_interpreter::{FaultKind, Memory, Module, Statistics, launch};

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

const LIBRARY: &str = include_str!("../fixtures/library.ptx");

/// A slice as a kernel's parameter: where it lies, and how long it is. Its place is filled in by the run.
fn slices(address: u64, length: usize) -> Vec<u8> {
    [address.to_le_bytes(), (length as u64).to_le_bytes()].concat()
}

/// Runs a kernel over slices, then one buffer that it writes, then the count of threads with work.
fn run_on_slices(entry: &str, inputs: &[(Vec<u8>, usize)], out: &mut [u8], count: u32, order: u64) -> Statistics {
    let module = Module::parse(LIBRARY).unwrap();
    let mut memory = Memory::new(1 << 24);
    let mut params = Vec::new();
    for (bytes, length) in inputs {
        let address = memory.alloc(bytes.len() as u64).unwrap();
        memory.write(address, bytes).unwrap();
        params.extend(slices(address, *length));
    }
    let address = memory.alloc(out.len() as u64).unwrap();
    memory.write(address, out).unwrap();
    params.extend(address.to_le_bytes());
    params.extend(count.to_le_bytes());
    let statistics = launch(&module, entry, &shape(count.div_ceil(64) + 1, 64, order), &params, &mut memory);
    let statistics = statistics.unwrap_or_else(|fault| panic!("{fault}"));
    memory.read(address, out).unwrap();
    statistics
}

#[test]
fn quotients_of_128_bits() {
    let (low, high, narrow) = (edges(61, 400), edges(62, 400), edges(63, 400));
    let wide: Vec<u128> = low.iter().zip(&high).map(|(low, high)| u128::from(*high) << 64 | u128::from(*low)).collect();
    // The one division that overflows is a panic of the kernel.
    let inputs = [(bytes_of(&wide, u128::to_le_bytes), 400), (bytes_of(&narrow, u64::to_le_bytes), 400)];
    let mut out = vec![0; 400 * 32];
    run_on_slices("quotients", &inputs, &mut out, 400, 3);
    for (at, found) in numbers_of(&out, u64::from_le_bytes).chunks(4).enumerate() {
        let (dividend, divisor) = (wide[at], u128::from(narrow[at]) | 1);
        let quotient = dividend / divisor;
        let signed = (dividend as i128 >> 3) / (i128::from(narrow[at] as i64) | 1);
        let product = (dividend as i128).wrapping_mul(signed);
        let expected = [quotient as u64, (quotient >> 64) as u64, (dividend % divisor) as u64, (product >> 70) as u64];
        assert_eq!(found, expected, "{dividend:#x} by {divisor:#x}");
    }
}

/// Structs sorted in local memory, with ties in each field but the last.
#[test]
fn medians() {
    let random = numbers(71, 7 * 130);
    let candidates: Vec<(u64, u32, u16, u8, u8)> = random
        .iter()
        .map(|number| {
            let [score, rank, pool, kind, spare, ..] = number.to_le_bytes();
            (u64::from(score % 3) << 60, u32::from(rank % 2), u16::from(pool % 3), kind % 4, spare)
        })
        .collect();
    let bytes = |(score, rank, pool, kind, spare): (u64, u32, u16, u8, u8)| {
        let mut bytes = score.to_le_bytes().to_vec();
        bytes.extend(rank.to_le_bytes());
        bytes.extend(pool.to_le_bytes());
        bytes.extend([kind, spare]);
        bytes
    };
    let input: Vec<u8> = candidates.iter().flat_map(|candidate| bytes(*candidate)).collect();
    let mut out = vec![0; 130 * 16];
    run_on_slices("medians", &[(input, candidates.len())], &mut out, 130, 5);
    for (own, found) in candidates.chunks(7).zip(out.chunks(16)) {
        let mut own = own.to_vec();
        own.sort_unstable();
        assert_eq!(found, bytes(own[3]), "{own:?}");
    }
}

fn hash_expected(word: u64) -> u64 {
    const NAMES: [&str; 5] = ["prefill", "decode", "mixed", "", "idle and out of the fleet"];
    let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ word;
    for byte in NAMES[(word % 5) as usize].bytes().chain(word.to_be_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        hash = match hash >> 61 {
            0 => hash.rotate_left(u32::from(byte & 63)),
            1 => hash.swap_bytes(),
            2 => hash.reverse_bits(),
            3 => hash.checked_add(u64::from(byte)).unwrap_or(7),
            4 => hash.saturating_sub(1 << 63),
            5 => (hash as i64).wrapping_shr(u32::from(byte)) as u64,
            6 => u64::from(hash.leading_zeros()) | u64::from((hash as u32).trailing_zeros()),
            _ => hash.abs_diff(u64::from(byte)),
        };
    }
    hash
}

/// Strings of the module, found through a table of addresses.
#[test]
fn hashes() {
    let words = edges(81, 700);
    let mut out = bytes_of(&words, u64::to_le_bytes);
    run_on_slices("hashes", &[], &mut out, 700, 5);
    let expected: Vec<u64> = words.iter().map(|word| hash_expected(*word)).collect();
    assert_eq!(numbers_of(&out, u64::from_le_bytes), expected);
}

/// All values of a byte against some of 16 bits.
#[test]
fn narrow() {
    let random = edges(91, 256 * 4);
    let pairs: Vec<(i8, u16)> =
        random.iter().enumerate().map(|(at, number)| (at as u8 as i8, (number >> (at % 40)) as u16)).collect();
    let bytes: Vec<u8> = pairs.iter().map(|(byte, _)| *byte as u8).collect();
    let halves: Vec<u16> = pairs.iter().map(|(_, half)| *half).collect();
    let inputs = [(bytes, pairs.len()), (bytes_of(&halves, u16::to_le_bytes), pairs.len())];
    let mut out = vec![0; 8 * pairs.len()];
    run_on_slices("narrow", &inputs, &mut out, pairs.len() as u32, 9);
    for (found, (byte, half)) in numbers_of(&out, i16::from_le_bytes).chunks(4).zip(pairs) {
        let sums = i16::from(byte.saturating_add(half as i8));
        let parts = byte.checked_mul(3).map_or(-1, i16::from);
        let shifted = (half << (byte & 7)) as i16 ^ (half as i16 >> (byte & 15));
        let mixed = half.rotate_left(byte as u32 & 15).min(1000).leading_zeros() as i16 + i16::from(byte.rem_euclid(7));
        assert_eq!(found, [sums, parts, shifted, mixed], "{byte} {half}");
    }
}

/// A slice that is too short for the threads: the bounds check traps before memory is touched.
#[test]
fn a_bounds_check_traps() {
    let module = Module::parse(LIBRARY).unwrap();
    let mut memory = Memory::new(1 << 20);
    let [bytes, halves, out] = [4, 8, 64].map(|length| memory.alloc(length).unwrap());
    memory.write(bytes, &[1; 4]).unwrap();
    memory.write(halves, &[1; 8]).unwrap();
    let mut params = [slices(bytes, 4), slices(halves, 4)].concat();
    params.extend(out.to_le_bytes());
    params.extend(5u32.to_le_bytes());
    let fault = launch(&module, "narrow", &shape(1, 8, 0), &params, &mut memory).unwrap_err();
    assert_eq!((fault.kind, fault.at.thread), (FaultKind::Trap, Some([4, 0, 0])));
}
