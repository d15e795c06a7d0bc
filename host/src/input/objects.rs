//! A tolerant splitter of JSON objects: keys and the text of their values, by brackets and strings only.
//!
//! A parser stops at the first bad token and forgets what stood before and after it. A refused row must still say which
//! field broke it and which pool or job it was (POOL-1), so a row is first cut into fields, and each field is parsed by
//! itself:
//!
//! ```text
//! {"id": "a", "slots_total": NaN, "engine": "vllm"}
//!    ├─ id           "a"
//!    ├─ slots_total  NaN        <- this text alone is not JSON
//!    └─ engine       "vllm"
//! ```
//!
//! Invariants: the keys and values of valid JSON are those that a JSON parser sees; the splitter runs once over the text
//! and never recurses; a raw line break ends a string, because JSON has none inside one, so that a missing quote does
//! not swallow the fields on the next lines.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::row_error::path_text;

/// How deep [`blame`] looks for the field that breaks a value: deeper than any field of the wire.
const BLAME_DEPTH: u8 = 8;

/// An object cut into its fields.
pub(super) struct Split<'a> {
    /// Keys and the texts of their values, in their order in the file.
    pub(super) entries: Vec<(Cow<'a, str>, &'a str)>,
    /// What is wrong between the fields, where something is; the entries are those before it.
    pub(super) broken: Option<&'static str>,
}

/// Cuts an object into its fields; `None` when the text does not start like an object.
pub(super) fn split(text: &str) -> Option<Split<'_>> {
    let inside = trim(text).strip_prefix('{')?;
    let mut cursor = Cursor::new(inside);
    let mut entries = Vec::new();
    let broken = cursor.entries(&mut entries).err();
    Some(Split { entries, broken })
}

/// Whether the text is one JSON value. Numbers of any size and strings with lone surrogates count as such.
pub(super) fn check_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(|_| ())
}

/// The path of the field that makes a value no JSON, as deep as it can be found.
pub(super) fn blame(path: String, value: &str) -> String {
    blame_within(path, value, BLAME_DEPTH)
}

fn blame_within(path: String, value: &str, depth: u8) -> String {
    let Some(depth) = depth.checked_sub(1) else {
        return path;
    };
    if let Some(list) = value.strip_prefix('[') {
        return list_blame(path, list, depth);
    }
    let entries = split(value).map(|split| split.entries).unwrap_or_default();
    let bad = entries.iter().find(|(_, value)| check_json(value).is_err());
    match bad {
        Some((key, value)) => blame_within(path_text(&path, key), value, depth),
        None => path,
    }
}

/// The same for the elements of a list: their fields have the list's path.
fn list_blame(path: String, list: &str, depth: u8) -> String {
    let mut cursor = Cursor::new(list);
    loop {
        let element = cursor.value();
        if !element.is_empty() && check_json(element).is_err() {
            return blame_within(path, element, depth);
        }
        if !cursor.take(',') {
            return path;
        }
    }
}

/// The text without the white space that JSON knows.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

struct Cursor<'a> {
    rest: &'a str,
    /// Whether the last value was a string that a line break ended; its comma may have gone with it.
    unclosed: bool,
}

impl<'a> Cursor<'a> {
    fn new(rest: &'a str) -> Self {
        Self { rest, unclosed: false }
    }

    /// All fields up to the closing bracket and the end of the text.
    fn entries(&mut self, entries: &mut Vec<(Cow<'a, str>, &'a str)>) -> Result<(), &'static str> {
        if self.take('}') {
            return self.end();
        }
        loop {
            let key = self.key()?;
            if !self.take(':') {
                return Err("expected `:` after a key");
            }
            entries.push((key, self.value()));
            if self.take('}') {
                return self.end();
            }
            if !self.take(',') && !self.unclosed {
                return Err("expected `,` or `}` after a value");
            }
        }
    }

    /// Whether the next character is this one; if so, it is behind us.
    fn take(&mut self, character: char) -> bool {
        self.rest = trim(self.rest);
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn end(&self) -> Result<(), &'static str> {
        if trim(self.rest).is_empty() { Ok(()) } else { Err("text after the closing `}`") }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, &'static str> {
        if !self.take('"') {
            return Err("expected a key in quotes");
        }
        let end = string_end(self.rest.as_bytes(), 0);
        let key = self.rest.get(..end).unwrap_or_default();
        let rest = self.rest.get(end..).and_then(|rest| rest.strip_prefix('"'));
        self.rest = rest.ok_or("a key without its closing quote")?;
        string_text(key).ok_or("a key with a bad escape or a control character")
    }

    /// The text up to the comma or bracket that ends a value.
    fn value(&mut self) -> &'a str {
        let bytes = self.rest.as_bytes();
        let (mut place, mut depth) = (0usize, 0usize);
        self.unclosed = false;
        while let Some(&byte) = bytes.get(place) {
            match byte {
                b'"' => {
                    place = string_end(bytes, place + 1);
                    self.unclosed = depth == 0 && bytes.get(place) == Some(&b'\n');
                    if self.unclosed {
                        break;
                    }
                }
                b'{' | b'[' => depth += 1,
                b',' if depth == 0 => break,
                b'}' | b']' => match depth.checked_sub(1) {
                    Some(outer) => depth = outer,
                    None => break,
                },
                _ => {}
            }
            place += 1;
        }
        // Both ends are ASCII characters or the end of the text (a string may have ended there).
        let (value, rest) = self.rest.split_at_checked(place).unwrap_or((self.rest, ""));
        self.rest = rest;
        trim(value)
    }
}

/// The place of the quote or line break that ends a string whose content starts at `place`, or the end of the text.
fn string_end(bytes: &[u8], mut place: usize) -> usize {
    while let Some(&byte) = bytes.get(place) {
        match byte {
            b'"' | b'\n' => return place,
            // What is escaped ends no string, but a line break always does.
            b'\\' if bytes.get(place + 1).is_some_and(|&next| next != b'\n') => place += 2,
            _ => place += 1,
        }
    }
    bytes.len()
}

/// The text of a string's content, without its quotes; `None` for bad escapes and control characters.
pub(super) fn string_text(content: &str) -> Option<Cow<'_, str>> {
    if content.bytes().all(|byte| byte >= b' ' && byte != b'\\' && byte != b'"') {
        Some(Cow::Borrowed(content))
    } else {
        serde_json::from_str::<String>(&format!("\"{content}\"")).ok().map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(text: &str) -> (Vec<(String, String)>, Option<&'static str>) {
        let split = split(text).unwrap();
        let entries = split.entries.iter().map(|(key, value)| (key.to_string(), (*value).to_owned()));
        (entries.collect(), split.broken)
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn splits_by_brackets_and_strings() {
        assert_eq!(entries(" { } "), (vec![], None));
        let text = r#"{"a": 1 , "b":{"c":[1,2,"}"]},"d\n\"":NaN, "e":[],"f":"\\","g":"x,y"}"#;
        let expected = pairs(&[
            ("a", "1"),
            ("b", r#"{"c":[1,2,"}"]}"#),
            ("d\n\"", "NaN"),
            ("e", "[]"),
            ("f", r#""\\""#),
            ("g", r#""x,y""#),
        ]);
        assert_eq!(entries(text), (expected, None));
        assert!(split("[1]").is_none() && split("").is_none() && split("5").is_none());
    }

    #[test]
    fn keeps_what_stood_before_a_break() {
        let table = [
            (r#"{"a":1"#, "expected `,` or `}` after a value"),
            (r#"{"a":1,"#, "expected a key in quotes"),
            (r#"{"a":1,}"#, "expected a key in quotes"),
            (r#"{"a":1,b:2}"#, "expected a key in quotes"),
            (r#"{"a":1,"b" 2}"#, "expected `:` after a key"),
            (r#"{"a":1,"b"#, "a key without its closing quote"),
            (r#"{"a":1,"\x":2}"#, "a key with a bad escape or a control character"),
            (r#"{"a":1} x"#, "text after the closing `}`"),
            (r#"{"a":1]"#, "expected `,` or `}` after a value"),
        ];
        for (text, why) in table {
            assert_eq!(entries(text), (pairs(&[("a", "1")]), Some(why)), "{text}");
        }
    }

    #[test]
    fn a_missing_quote_ends_with_its_line() {
        for (text, id) in
            [("{\"id\": \"a\n, \"engine\": \"vllm\"}", "\"a"), ("{\"id\": \"a,\n \"engine\": \"vllm\"}", "\"a,")]
        {
            assert_eq!(entries(text), (pairs(&[("id", id), ("engine", "\"vllm\"")]), None));
        }
    }

    #[test]
    fn blames_the_innermost_field() {
        let table = [
            ("NaN", "p"),
            (r#"{"ctx_max": NaN}"#, "p.ctx_max"),
            (r#"{"a": 1, "b": {"c": [1, {"d": 01}]}}"#, "p.b.c.d"),
            (r#"[{"vram": 1}, {"vram": +1}]"#, "p.vram"),
            (r#"{"a": 1,}"#, "p"),
            ("[1,]", "p"),
            ("[", "p"),
        ];
        for (value, path) in table {
            assert_eq!(blame("p".to_owned(), value), path, "{value}");
        }
        let deep = "{\"a\":".repeat(100_000);
        assert_eq!(blame("p".to_owned(), &deep).matches(".a").count(), usize::from(BLAME_DEPTH));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn sees_what_a_parser_sees(map in prop::collection::btree_map(any::<String>(), any_json(), 0..8), pretty: bool) {
            let object = serde_json::Value::Object(map.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
            let text = text.unwrap();
            let split = split(&text).unwrap();
            prop_assert_eq!(split.broken, None);
            let again = split.entries.iter().map(|(key, value)| (key.to_string(), serde_json::from_str(value).unwrap()));
            prop_assert_eq!(serde_json::Value::Object(again.collect()), object);
        }

        #[test]
        fn never_panics(text in any::<String>(), noise in "[{}\\[\\]\",:\\\\na1é\n ]{0,40}") {
            for text in [text, format!("{{{noise}")] {
                if let Some(split) = split(&text) {
                    let all = split.entries.iter().all(|(_, value)| check_json(value).is_ok());
                    // Tolerant, not lax: whole and in order means JSON, and the other way round.
                    prop_assert_eq!(all && split.broken.is_none(), check_json(&text).is_ok(), "{:?}", text);
                }
                let _ = blame(String::new(), &text);
            }
        }
    }
}
