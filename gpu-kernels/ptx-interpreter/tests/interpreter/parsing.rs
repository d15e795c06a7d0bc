//! What is refused, and that nothing makes the parser panic.

use orchestrator_ptx_interpreter::{Memory, Module, ParseErrorKind, launch_within};

use crate::support::{entry_of, shape};

const KERNELS: &str = include_str!("../fixtures/kernels.ptx");
const LIBRARY: &str = include_str!("../fixtures/library.ptx");

fn error_of(declarations: &str, body: &str) -> ParseErrorKind {
    let text = entry_of(declarations, body);
    let error = Module::parse(&text).expect_err(body);
    let line = text.lines().nth(error.line as usize - 1).unwrap();
    assert_eq!(error.text, line.trim());
    assert!(error.to_string().starts_with(&format!("PTX line {}: ", error.line)));
    error.kind
}

#[test]
fn statements_out_of_the_subset() {
    let modifier = |opcode: &str, modifier: &str| ParseErrorKind::UnknownModifier {
        opcode: opcode.to_owned(),
        modifier: modifier.to_owned(),
    };
    let cases = [
        ("frob.b32 %w1, %w2;", ParseErrorKind::UnknownOpcode("frob".to_owned())),
        ("lop3.b32 %w1, %w2, %w3, %w4, 5;", ParseErrorKind::UnknownOpcode("lop3".to_owned())),
        ("add.f32 %w1, %w2, %w3;", modifier("add", "f32")),
        ("add.b32 %w1, %w2, %w3;", modifier("add", "b32")),
        ("add.s32.sat %w1, %w2, %w3;", modifier("add", "sat")),
        ("and.u32 %w1, %w2, %w3;", modifier("and", "u32")),
        ("shl.u32 %w1, %w2, %w3;", modifier("shl", "u32")),
        ("ld.global.L1::evict_last.b32 %w1, [%i];", modifier("ld", "L1")),
        ("ld.global.nc.ca.b32 %w1, [%i];", modifier("ld", "ca")),
        ("ld.relaxed.gpu.global.nc.b32 %w1, [%i];", modifier("ld", "nc")),
        ("ld.global.v4.b64 {%d1, %d2, %d3, %d4}, [%i];", modifier("ld", "b64")),
        ("st.const.b32 [%o], 1;", modifier("st", "const")),
        ("setp.lo.s32 %p1, %w1, %w2;", modifier("setp", "s32")),
        ("setp.lt.b32 %p1, %w1, %w2;", modifier("setp", "b32")),
        ("prmt.b32.f4e %w1, %w2, %w3, %w4;", modifier("prmt", "f4e")),
        ("red.global.cas.b32 [%o], 1, 2;", modifier("red", "cas")),
        ("atom.global.inc.u64 %d1, [%o], 1;", modifier("atom", "u64")),
        ("shfl.up.b32 %w1, %w2, 1, 0;", modifier("shfl", "up")),
        ("cvt.sat.s32.u8 %w1, %w2;", modifier("cvt", "sat")),
        ("bar.arrive 0, 32;", modifier("bar", "arrive")),
        ("mul.s32 %w1, %w2, %w3;", modifier("mul", "s32")),
        (
            "mul %w1, %w2, %w3;",
            ParseErrorKind::MissingModifier { opcode: "mul".to_owned(), expected: "`.lo`, `.hi` or `.wide`" },
        ),
        ("ld.global %w1, [%i];", ParseErrorKind::MissingModifier { opcode: "ld".to_owned(), expected: "a type" }),
        (".file 1 \"x\"", ParseErrorKind::UnknownDirective("file".to_owned())),
        (".tex .u64 t;", ParseErrorKind::UnknownDirective("tex".to_owned())),
        (".reg .f32 %f<3>;", modifier("reg", "f32")),
        ("bra $nowhere;", ParseErrorKind::UnknownName("$nowhere".to_owned())),
        (
            "ld.global.b64 %d1, [64];",
            ParseErrorKind::Unexpected {
                found: orchestrator_ptx_interpreter::Found("64".to_owned()),
                expected: "an address",
            },
        ),
        ("brx.idx %w1, $nowhere;", ParseErrorKind::UnknownName("$nowhere".to_owned())),
        ("call.uni nobody;", ParseErrorKind::UnknownName("nobody".to_owned())),
        ("call %d1, (), $p;", ParseErrorKind::UnknownName("$p".to_owned())),
        ("call %w1, ();", ParseErrorKind::UnknownName("%w1".to_owned())),
        ("$p: .callprototype ()_ (.param .b64 _); call %d1, (), $p;", ParseErrorKind::CallSignature("$p".to_owned())),
        ("add.s32 %w1, %w9, 1;", ParseErrorKind::UnknownName("%w9".to_owned())),
        ("add.s32 %w1, %w01, 1;", ParseErrorKind::UnknownName("%w01".to_owned())),
        ("mov.u32 %w1, %clock;", ParseErrorKind::UnknownName("%clock".to_owned())),
        ("mov.u32 %w1, %tid.w;", ParseErrorKind::UnknownName("%tid.w".to_owned())),
        ("ld.shared.b64 %d1, [e_0];", ParseErrorKind::UnknownName("e_0".to_owned())),
        ("st.param.b64 [e_0], 1;", ParseErrorKind::UnknownName("e_0".to_owned())),
        ("add.u16 %h1, %h2, 65536;", ParseErrorKind::ImmediateRange(65_536)),
        ("add.u16 %h1, %h2, -32769;", ParseErrorKind::ImmediateRange(-32_769)),
        ("mov.b64 %d1, 0f3F800000;", ParseErrorKind::NotANumber("0f3F800000".to_owned())),
        ("mov.b64 %d1, 18446744073709551616;", ParseErrorKind::NotANumber("18446744073709551616".to_owned())),
        ("$a:\n$a:", ParseErrorKind::DeclaredTwice("$a".to_owned())),
        (".reg .b32 %w<3>;\n.reg .b32 %w<3>;", ParseErrorKind::DeclaredTwice("%w".to_owned())),
        ("add.s32 %w1, %w2, 1 ~;", ParseErrorKind::UnknownCharacter('~')),
        (
            "mov.b64 {%w1, %w2, %w3}, %d1; // ?",
            ParseErrorKind::Unexpected {
                found: orchestrator_ptx_interpreter::Found("{".to_owned()),
                expected: "two or four parts that fill the type",
            },
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(error_of("", body), expected, "{body}");
    }
}

#[test]
fn registers_of_another_width() {
    let cases = [
        ("add.s64 %d1, %w2, 1;", "%w2", 32, 64),
        ("add.s32 %d1, %w2, 1;", "%d1", 64, 32),
        ("shl.b64 %d1, %d2, %d3;", "%d3", 64, 32),
        ("ld.global.b64 %w1, [%i];", "%w1", 32, 64),
        ("st.global.b64 [%o], %w1;", "%w1", 32, 64),
        ("ld.global.b32 %w1, [%w2];", "%w2", 32, 64),
        ("cvt.u32.u64 %w1, %w2;", "%w2", 32, 64),
        ("mul.wide.u32 %w1, %w2, %w3;", "%w1", 32, 64),
        ("@%w1 ret;", "%w1", 32, 1),
        ("selp.b32 %w1, %w2, %w3, %w4;", "%w4", 32, 1),
        ("mov.b32 %w1, %p1;", "%p1", 1, 32),
        ("mov.b64 %d1, %tid.x;", "%tid", 32, 64),
    ];
    for (body, name, bits, expected) in cases {
        assert_eq!(
            error_of("", body),
            ParseErrorKind::RegisterWidth { name: name.to_owned(), bits, expected },
            "{body}"
        );
    }
}

#[test]
fn declarations_out_of_the_subset() {
    let over = |kind: ParseErrorKind| matches!(kind, ParseErrorKind::OverLimit { .. });
    assert!(over(error_of(".shared .b8 a[40000];\n.shared .b8 b[40000];", "")));
    assert!(over(error_of(".shared .b8 a[50000];", "")));
    assert!(over(error_of(".const .b8 a[65537];", "")));
    assert!(over(error_of(".global .b8 a[2] = {1, 2, 3};", "")));
    assert!(over(error_of("", ".reg .b32 %x<99999>;")));
    assert!(over(error_of("", ".local .b8 big[600000];")));
    assert!(over(error_of("", "bar.sync 16;")));
    assert_eq!(
        error_of(".global .texref t;", ""),
        ParseErrorKind::UnknownModifier { opcode: "global".to_owned(), modifier: "texref".to_owned() }
    );
    assert_eq!(error_of(".extern .global .u32 x;", ""), ParseErrorKind::UnknownDirective("global".to_owned()));
    assert_eq!(error_of(".section .text { }", ""), ParseErrorKind::UnknownDirective("text".to_owned()));
    assert_eq!(error_of(".global .u32 e_1;\n.global .u32 e_1;", ""), ParseErrorKind::DeclaredTwice("e_1".to_owned()));
    assert_eq!(error_of(".global .u64 p = nobody;", ""), ParseErrorKind::UnknownName("nobody".to_owned()));
    assert_eq!(error_of(".extern .func f();", "call.uni f;"), ParseErrorKind::UnknownName("f".to_owned()));
    let takes_one = ".func f(.param .b32 f_0) { ret; }";
    assert_eq!(error_of(takes_one, "call.uni f;"), ParseErrorKind::CallSignature("f".to_owned()));
    assert_eq!(
        error_of(".func f();\n.func f(.param .b32 f_0) { ret; }", ""),
        ParseErrorKind::CallSignature("f".to_owned())
    );
    assert_eq!(error_of(".func f() { ret; }\n.func f() { ret; }", ""), ParseErrorKind::DeclaredTwice("f".to_owned()));
    assert_eq!(error_of(".func f() { .reg .b32 %x; mov.b32 %x, 1; }", ""), ParseErrorKind::OpenEnd("f".to_owned()));
    assert_eq!(
        error_of(".func f() { .reg .pred %x; mov.pred %x, 1; @%x ret; }", ""),
        ParseErrorKind::OpenEnd("f".to_owned())
    );
}

#[test]
fn heads() {
    let head = |text: &str| Module::parse(text).map(|_| ()).map_err(|error| (error.line, error.kind));
    assert_eq!(head(".version 6.3 .target sm_75 .address_size 64"), Ok(()));
    for text in [
        ".version 5.0\n.target sm_75\n.address_size 64",
        ".version 6.3\n.target sm_60\n.address_size 64",
        ".version 6.3\n.target sm_75, texmode_independent\n.address_size 64",
        ".version 6.3\n.target sm_75\n.address_size 32",
    ] {
        assert!(matches!(head(text), Err((_, ParseErrorKind::Unsupported { .. }))), "{text}");
    }
    assert_eq!(head(""), Err((1, ParseErrorKind::EndOfText { expected: "`.version`" })));
    assert!(head(".target sm_75").is_err());
    assert_eq!(head("/* no end"), Err((1, ParseErrorKind::Unterminated)));
}

/// What speaks of the source or to the assembler is listed, and skipped.
#[test]
fn what_is_skipped() {
    let declarations = ".file 1 \"/a/b.rs\", 5, 6\n.section .debug_abbrev\n{\n.b8 1\n$x:\n.b64 debug+4\n}\n$L__sec_end0:\n/* a\n comment */";
    let body = ".pragma \"nounroll\";\n.loc 1 5 3, function_name $info, inlined_at 1 2 3\n;";
    Module::parse(&entry_of(declarations, body)).unwrap();
}

/// Runs what still parses for a moment: nothing may panic there either.
fn survives(text: &str) {
    let Ok(module) = Module::parse(text) else { return };
    let mut memory = Memory::new(1 << 16);
    let buffer = memory.alloc(4096).unwrap();
    memory.write(buffer, &[1; 4096]).unwrap();
    for entry in module.entries() {
        let mut params: Vec<u8> = std::iter::repeat_n(buffer.to_le_bytes(), 64).flatten().collect();
        params.resize(entry.param_bytes(), 0);
        let _fault_or_not = launch_within(&module, entry.name(), &shape(1, 33, 3), &params, &mut memory, 300);
    }
}

#[test]
fn prefixes_never_panic() {
    for (text, step) in [(KERNELS, 7), (LIBRARY, 97)] {
        for (end, _) in text.char_indices().step_by(step) {
            survives(&text[..end]);
        }
    }
}

#[test]
fn texts_without_a_line_never_panic() {
    for fixture in [KERNELS, LIBRARY] {
        let lines: Vec<&str> = fixture.lines().collect();
        for left_out in 0..lines.len() {
            let text: Vec<&str> =
                lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect();
            survives(&text.join("\n"));
        }
    }
}

/// Characters and words that change places, with a fixed seed.
#[test]
fn mutations_never_panic() {
    let mut state = 1u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let spare = b"%$.,;:{}[]()<>+-=@!|0123456789abcxU_ \n\"/*";
    let words: Vec<&str> = KERNELS.split_ascii_whitespace().collect();
    for _ in 0..1500 {
        let mut text = KERNELS.as_bytes().to_vec();
        for _ in 0..=below(3) {
            let at = below(text.len());
            match below(4) {
                0 => text[at] = spare[below(spare.len())],
                1 => drop(text.remove(at)),
                2 => text.insert(at, spare[below(spare.len())]),
                _ => {
                    let word = words[below(words.len())].as_bytes();
                    let end = (at + word.len()).min(text.len());
                    text.splice(at..end, word.iter().copied());
                }
            }
        }
        survives(&String::from_utf8(text).unwrap());
    }
}
