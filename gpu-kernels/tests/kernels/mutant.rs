//! Mistakes of one instruction of the image, and names for them that outlive the image.
//!
//! Registers and labels get other numbers with every change of a kernel. A name has neither: it is the kernel, a hash of
//! the instructions around, and the instruction with registers numbered from 1. So what is known of a mistake stands
//! until the image changes near it.

use std::collections::HashMap;
use std::fmt::Write;

use orchestrator_kernels::IMAGE;

/// Instructions on either side that make a name.
const NEIGHBOURS: usize = 8;

/// The image with one instruction changed.
#[derive(Debug, Clone)]
pub(crate) struct Mutant {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) kernel: String,
    pub(crate) name: String,
    is: String,
}

impl Mutant {
    pub(crate) fn image(&self) -> String {
        let lines = (1..).zip(IMAGE.lines());
        lines.map(|(line, text)| if line == self.line { &*self.is } else { text }).collect::<Vec<_>>().join("\n")
    }
}

/// All mutants of the image: each instruction of a kind below, changed in one way.
pub(crate) fn mutants() -> Vec<Mutant> {
    let plain: Vec<_> = IMAGE.lines().map(without_numbers).collect();
    let (mut all, mut kernel, mut places) = (Vec::new(), String::new(), HashMap::new());
    for (index, text) in IMAGE.lines().enumerate() {
        if let Some(name) = text.trim().strip_prefix(".visible .entry ") {
            kernel = name.trim_end_matches('(').to_owned();
        }
        let Some(is) = mutated(text).filter(|is| is != text) else { continue };
        let around = &plain[index.saturating_sub(NEIGHBOURS)..plain.len().min(index + NEIGHBOURS + 1)];
        let change = without_numbers(&format!("{} -> {}", text.trim(), is.trim()));
        let place = format!("{kernel} {:08x}", hash(around));
        // Copies of a loop's body are alike also around.
        let copy: &mut u32 = places.entry((place.clone(), change.clone())).or_default();
        *copy += 1;
        let name = format!("{place}.{copy}: {change}");
        all.push(Mutant { line: index + 1, kernel: kernel.clone(), name, is });
    }
    all
}

/// The instruction with one mistake, if it is of a kind that is changed.
fn mutated(text: &str) -> Option<String> {
    const WORDS: [(&str, &str); 14] = [
        ("setp.lt.", "setp.le."),
        ("setp.le.", "setp.lt."),
        ("setp.gt.", "setp.ge."),
        ("setp.ge.", "setp.gt."),
        ("setp.eq.", "setp.ne."),
        ("setp.ne.", "setp.eq."),
        ("min.u", "max.u"),
        ("max.u", "min.u"),
        ("and.pred", "or.pred"),
        ("or.pred", "and.pred"),
        ("add.s", "sub.s"),
        ("sub.s", "add.s"),
        ("shr.u", "shl.b"),
        ("shl.b", "shr.u"),
    ];
    let trimmed = text.trim_start();
    if trimmed.starts_with("selp.") {
        return swap_last_but_one(text);
    }
    if trimmed.starts_with("bar.sync") {
        return Some(format!("\t// {trimmed}"));
    }
    if trimmed.starts_with("ld.global") || trimmed.starts_with("ld.shared") {
        return other_offset(text);
    }
    let (was, is) = WORDS.into_iter().find(|(was, _)| trimmed.starts_with(was))?;
    Some(text.replacen(was, is, 1))
}

/// `selp d, a, b, p` picks the other one.
fn swap_last_but_one(text: &str) -> Option<String> {
    let operands: Vec<_> = text.split(", ").collect();
    let [to, first, second, predicate] = operands[..] else { return None };
    Some([to, second, first, predicate].join(", "))
}

/// Loads from eight bytes on, or from the beginning.
fn other_offset(text: &str) -> Option<String> {
    let (before, address) = text.split_once('[')?;
    let (address, after) = address.split_once(']')?;
    let address = match address.split_once('+') {
        Some((base, _)) => base.to_owned(),
        None => format!("{address}+16"),
    };
    Some(format!("{before}[{address}]{after}"))
}

/// A line with its registers numbered from 1 in the order of their first use, its labels without numbers, and single
/// spaces.
fn without_numbers(line: &str) -> String {
    let (mut plain, mut registers) = (String::new(), Vec::new());
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = &*words;
    while let Some(start) = rest.find(['%', '$']) {
        let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let len = 1 + rest[start + 1..].find(|character| !is_of_name(character)).unwrap_or(rest.len() - start - 1);
        let name = &rest[start..start + len];
        let kind = name.trim_end_matches(|character: char| character.is_ascii_digit());
        plain.push_str(&rest[..start]);
        if name.starts_with('$') {
            plain.push_str("$label");
        } else if kind == name {
            plain.push_str(name);
        } else {
            let number = registers.iter().position(|known| *known == name).unwrap_or(registers.len());
            if number == registers.len() {
                registers.push(name);
            }
            write!(plain, "{kind}{}", number + 1).expect("text grows");
        }
        rest = &rest[start + len..];
    }
    plain + rest
}

/// FNV-1a of the lines.
fn hash(lines: &[String]) -> u32 {
    let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[test]
fn a_name_is_without_the_numbers_that_a_compiler_gives() {
    let line = without_numbers("\tselp.b64 \t%rd115, %rd83, %rd118, %p126;");
    assert_eq!(line, "selp.b64 %rd1, %rd2, %rd3, %p4;");
    assert_eq!(without_numbers("selp.b64 %rd7, %rd7, %rd118, %p2;"), "selp.b64 %rd1, %rd1, %rd2, %p3;");
    assert_eq!(without_numbers("@%p139 bra \t$L__BB11_55;"), "@%p1 bra $label;");
    assert_eq!(without_numbers("mov.u32 \t%r34, %ctaid.x;"), "mov.u32 %r1, %ctaid.x;");
    assert_eq!(
        without_numbers("ld.global.v2.b64 \t{%rd66, %rd67}, [%rd11+16];"),
        "ld.global.v2.b64 {%rd1, %rd2}, [%rd3+16];"
    );
}

#[test]
fn no_two_mutants_have_one_name() {
    let (all, mut names) = (mutants(), std::collections::HashSet::new());
    assert!(all.iter().all(|mutant| names.insert(&mutant.name)));
    assert!(all.len() > 1000, "{}", all.len());
}
