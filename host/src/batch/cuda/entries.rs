//! What the kernels of an image take, read from its text: a kernel of other parameters would read what nobody wrote before
//! it could say that it is of another contract.
//!
//! Not a whole parser of PTX, which the driver has: comments and strings are left out, and of each entry the parameters
//! are read. What is not understood is no entry.

use std::collections::BTreeMap;
use std::iter;

/// The bytes of each parameter of an entry, in their order.
type Parameters = Vec<u8>;

/// The entries of an image by name. Of two declarations of one entry the driver takes none that differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entries(BTreeMap<String, Option<Parameters>>);

impl Entries {
    /// Reads all entries. O(length).
    pub(super) fn of(ptx: &str) -> Self {
        let code = without_comments(ptx);
        let mut tokens = tokens(&code);
        let mut entries = BTreeMap::new();
        while tokens.any(|token| token == ".entry") {
            let Some(name) = tokens.next() else { break };
            let parameters = parameters(&mut tokens);
            entries
                .entry(name.to_owned())
                .and_modify(|known| {
                    if *known != parameters {
                        *known = None;
                    }
                })
                .or_insert(parameters);
        }
        Self(entries)
    }

    /// An entry of `expected` that is not here, or takes something else.
    pub(super) fn first_difference<'a>(&self, expected: &'a Self) -> Option<Difference<'a>> {
        expected.0.iter().find_map(|(name, parameters)| match self.0.get(name) {
            None => Some(Difference::Missing(name)),
            Some(found) if found.is_none() || found != parameters => Some(Difference::Parameters(name)),
            Some(_) => None,
        })
    }
}

/// How an image differs from another one, and in which entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference<'a> {
    Missing(&'a str),
    Parameters(&'a str),
}

/// The parameters that follow an entry's name.
fn parameters<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Option<Parameters> {
    if tokens.next() != Some("(") {
        return Some(Vec::new());
    }
    let mut parameters = Vec::new();
    let mut one = Vec::new();
    for token in tokens {
        match token {
            ")" if one.is_empty() && parameters.is_empty() => return Some(parameters),
            ")" => {
                parameters.push(bytes_of(&one)?);
                return Some(parameters);
            }
            "," => {
                parameters.push(bytes_of(&one)?);
                one.clear();
            }
            _ => one.push(token),
        }
    }
    None
}

/// The bytes of `.param .u64 .ptr .align 8 name`.
fn bytes_of(parameter: &[&str]) -> Option<u8> {
    let [".param", kind, .., _] = parameter else { return None };
    // An array is something else, however it is spaced.
    if parameter.iter().any(|token| token.contains(['[', ']'])) {
        return None;
    }
    match *kind {
        ".u64" | ".s64" | ".b64" | ".f64" => Some(8),
        ".u32" | ".s32" | ".b32" | ".f32" => Some(4),
        ".u16" | ".s16" | ".b16" | ".f16" => Some(2),
        ".u8" | ".s8" | ".b8" => Some(1),
        _ => None,
    }
}

/// Words, and brackets and commas between them.
fn tokens(code: &str) -> impl Iterator<Item = &str> {
    let mut rest = code;
    iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let is_end = |c: char| c.is_whitespace() || "(),;{}".contains(c);
        let len = if is_end(first) { first.len_utf8() } else { rest.find(is_end).unwrap_or(rest.len()) };
        let (token, behind) = rest.split_at(len);
        rest = behind;
        Some(token)
    })
}

/// The text with a blank in the place of each comment and string. O(length).
fn without_comments(ptx: &str) -> String {
    let mut code = String::with_capacity(ptx.len());
    let mut rest = ptx;
    while let Some(at) = rest.find(['/', '"']) {
        let (before, behind) = rest.split_at(at);
        code.push_str(before);
        rest = match skipped(behind) {
            Some(left) => {
                code.push(' ');
                left
            }
            None => {
                code.push('/');
                &behind[1..]
            }
        };
    }
    code + rest
}

/// What is left behind a comment or string that opens here, if one does.
fn skipped(text: &str) -> Option<&str> {
    let pairs = [("//", "\n"), ("/*", "*/"), ("\"", "\"")];
    let (inside, closing) = pairs.iter().find_map(|(opening, closing)| Some((text.strip_prefix(opening)?, closing)))?;
    Some(inside.split_once(closing).map_or("", |(_, left)| left))
}

#[cfg(test)]
mod tests {
    use orchestrator_kernels::IMAGE;
    use orchestrator_kernels::launch::{Ends, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS, REPORT};

    use super::{Difference, Entries};

    /// As the table of `orchestrator_kernels::launch` says.
    #[test]
    fn the_built_in_image_takes_what_its_contract_says() {
        let scan = [8, 8, 4, 8, 8, 4, 4, 8, 4, 8, 4, 4, 4, 4, 4, 8].to_vec();
        let scans = Ends::ALL.into_iter().flat_map(|ends| [ends.scan_jobs(), ends.scan_pools()]);
        let others = [
            (REPORT, vec![8]),
            (MERGE_PARTS, vec![8, 4, 4, 8]),
            (PATCH_POOLS, vec![8, 4, 8, 8, 4]),
            (PATCH_VIEWS, vec![8, 4, 8, 8, 8]),
        ];
        let expected = scans.map(|name| (name, scan.clone())).chain(others);
        let expected = expected.map(|(name, parameters)| (name.to_owned(), Some(parameters))).collect();
        assert_eq!(Entries::of(IMAGE), Entries(expected));
    }

    #[test]
    fn comments_and_strings_are_no_entries() {
        let expected = Entries::of(".entry a(.param .u64 p)");
        let same = [
            ".entry a(.param .b64 .ptr .align 8 q) { ret; }",
            "// .entry a()\n.visible .entry a ( .param .u64 p )",
            "/* .entry a() */ .entry/* */a(.param .u64 p)",
            ".file 1 \"/*\" .entry a(.param .u64 p) .file 2 \"*/\"",
            ".entry a(.param .u64 p); .entry a(.param .u64 p) { ret; }",
        ];
        for text in same {
            assert_eq!(Entries::of(text), expected, "{text}");
        }
    }

    /// Each piece of the text is looked at once: this would take hours otherwise.
    #[test]
    fn many_comments_are_read_in_no_time() {
        let text = "//\n/ /**/".repeat(300_000) + "\"\".entry a(.param .u64 p)";
        assert_eq!(Entries::of(&text), Entries::of(".entry a(.param .u64 p)"));
    }

    #[test]
    fn others_differ() {
        let expected = Entries::of(".entry a(.param .u64 p, .param .u32 q)");
        let missing = [
            "",
            "// .entry a(.param .u64 p, .param .u32 q)",
            "/* .entry a(.param .u64 p, .param .u32 q)",
            ".entry b()",
        ];
        for text in missing {
            assert_eq!(Entries::of(text).first_difference(&expected), Some(Difference::Missing("a")), "{text}");
        }
        let different = [
            ".entry a()",
            ".entry a",
            ".entry a;",
            ".entry a(",
            ".entry a(.param .u64 p)",
            ".entry a(.param .u64 p, .param .u64 q)",
            ".entry a(.param .u64 p, .param .u32 q,)",
            ".entry a(.param .u64 p, .param .b8 q[4])",
            ".entry a(.param .u64 p, .param .u32 q[900 ])",
            ".entry a(.param .u64 p, .param .u32 q [ 900 ])",
            ".entry a(.param .u64 p, .param .u32 q[ /**/ 9])",
            ".entry a(.param .u64 p, .param .align 4 .b8 q[4])",
            ".entry a(.param .u64 p, .param .u32 q, .param .u32 r)",
            ".entry a(.param .u64 p, .param .u32 q); .entry a(.param .u64 p)",
        ];
        for text in different {
            assert_eq!(Entries::of(text).first_difference(&expected), Some(Difference::Parameters("a")), "{text}");
        }
    }
}
