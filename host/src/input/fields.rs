//! One JSON object as a set of fields with types, each read by its dotted path.
//!
//! ```text
//! let row = Object::row(text);               // never fails: ids are read first, for the refusal
//! let id = row.peek_text("id");
//! row.check()?;                              // not an object, a bad token, a repeated key
//! let slots = row.required("slots_total", row.integer("slots_total")?)?;
//! let mut supports = row.object("supports")?;
//! row.finish(&mut notes);                    // what no one asked for is an unknown field
//! ```
//!
//! Paths are `&'static str` because the core's errors name fields by them; the key is the part behind the last dot.
//!
//! Invariants: `null` is absent (UNIT-10); a wrong type names field and type; an integer beyond 64 bits becomes the
//! nearest one, so that the core's limit refuses it (no limit of the core reaches that far), except where every value
//! of 64 bits is legal ([`Object::exact_integer`]); cost is O(n log n) in the number of fields.

use std::borrow::Cow;
use std::cell::Cell;

use orchestrator_core::Problem;
use serde_json::value::RawValue;

use super::numbers::{NotWhole, is_number, whole};
use super::objects::{Split, blame, check_json, split, string_text};
use super::row_error::{ROW, RowError, Why, path_text};
use super::warnings::Concern;

/// Texts by their keys.
pub(super) type TextMap<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// An object: its fields in the order of their keys.
pub(super) struct Object<'a> {
    path: &'static str,
    fields: Vec<Field<'a>>,
    broken: Option<RowError>,
    /// Whether the text is JSON at all: only then is a field that was not found not there.
    json: bool,
}

struct Field<'a> {
    key: Cow<'a, str>,
    /// The value's JSON text.
    text: &'a str,
    /// Whether a getter knew this field.
    known: Cell<bool>,
}

impl<'a> Object<'a> {
    /// The object of a whole row. What is wrong with it is said by [`check`](Self::check).
    pub(super) fn row(text: &'a str) -> Self {
        let mut object = Self::read("", text);
        // One pass over the whole text; only a row that fails is searched for its bad field.
        if let Err(error) = check_json(text) {
            object.json = object.is_whole();
            object.broken = Some(object.syntax_error(text, &error));
        }
        object
    }

    /// An object whose text is known to be JSON, or is checked by [`row`](Self::row).
    fn read(path: &'static str, text: &'a str) -> Self {
        let Some(Split { entries, broken }) = split(text) else {
            let expected = RowError::new(if path.is_empty() { ROW } else { path }, wrong_type("an object"));
            return Self { path, fields: Vec::new(), broken: Some(expected), json: true };
        };
        let broken = broken.map(|reason| not_json(if path.is_empty() { ROW } else { path }, reason));
        let known = Cell::new(false);
        let mut fields: Vec<_> =
            entries.into_iter().map(|(key, text)| Field { key, text, known: known.clone() }).collect();
        fields.sort_by(|left, right| left.key.cmp(&right.key));
        let mut object = Self { path, fields, broken, json: true };
        object.broken = object.broken.take().or_else(|| object.repeated_key());
        object
    }

    /// Whether every field of a text that is no JSON was found: only single values are bad, such as `NaN`, and none of
    /// them can hide another field.
    fn is_whole(&self) -> bool {
        let hides = |field: &Field<'_>| check_json(field.text).is_err() && field.text.contains(['"', ':', '{', '[']);
        self.broken.is_none() && !self.fields.iter().any(hides)
    }

    fn repeated_key(&self) -> Option<RowError> {
        let mut pairs = self.fields.iter().zip(self.fields.iter().skip(1));
        let (field, _) = pairs.find(|(field, next)| field.key == next.key)?;
        Some(RowError::new(path_text(self.path, &field.key), Problem::Repeated))
    }

    /// Which field of a row is no JSON: the first bad value in the file, else what the splitter found between fields.
    fn syntax_error(&self, text: &str, error: &serde_json::Error) -> RowError {
        // Fields are slices of the row: the lowest address stands first.
        let bad = self.fields.iter().filter_map(|field| Some((field, check_json(field.text).err()?)));
        if let Some((field, error)) = bad.min_by_key(|(field, _)| field.text.as_ptr()) {
            let path = blame(path_text("", &field.key), field.text);
            return not_json(path, syntax_text(&error));
        }
        match &self.broken {
            Some(broken) if text.trim_start().starts_with('{') => broken.clone(),
            _ => not_json(ROW, syntax_text(error)),
        }
    }

    /// Whether the row as a whole can be read.
    pub(super) fn check(&self) -> Result<(), RowError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// The text of a field if it can be read, whatever else is wrong with the row; a repeated key cannot.
    pub(super) fn peek_text(&self, key: &str) -> Option<String> {
        let at = self.fields.partition_point(|field| &*field.key < key);
        let mut same = self.fields.iter().skip(at).take_while(|field| field.key == key);
        let only = same.next().filter(|_| same.next().is_none())?;
        text_of(only.text).ok().map(Cow::into_owned)
    }

    /// Whether a row certainly lacks this field: of a text that is no JSON, not every field may have been found.
    pub(super) fn surely_lacks(&self, key: &str) -> bool {
        let null = |field: &Field<'_>| field.key == key && field.text == "null";
        let absent = self.fields.binary_search_by(|field| (*field.key).cmp(key)).is_err();
        self.json && (absent || self.fields.iter().any(null))
    }

    /// The JSON text of a field; `None` when it is absent or `null`.
    pub(super) fn value(&self, path: &'static str) -> Option<&'a str> {
        let key = path.rsplit('.').next().unwrap_or(path);
        let at = self.fields.binary_search_by(|field| (*field.key).cmp(key)).ok()?;
        let field = self.fields.get(at)?;
        field.known.set(true);
        Some(field.text).filter(|text| *text != "null")
    }

    /// The value of a field that must be there.
    pub(super) fn required<T>(path: &'static str, value: Option<T>) -> Result<T, RowError> {
        value.ok_or_else(|| RowError::new(path, Problem::Missing))
    }

    fn typed<T>(
        &self,
        path: &'static str,
        parse: impl FnOnce(&'a str) -> Result<T, Problem>,
    ) -> Result<Option<T>, RowError> {
        let parsed = self.value(path).map(parse).transpose();
        parsed.map_err(|problem| RowError::new(path, problem))
    }

    /// An integer; one beyond 64 bits is the nearest that there is. For fields with a limit inside 64 bits.
    pub(super) fn integer(&self, path: &'static str) -> Result<Option<i64>, RowError> {
        self.typed(path, |text| match whole(text) {
            Ok(value) => Ok(value),
            Err(NotWhole::TooLarge) => Ok(i64::MAX),
            Err(NotWhole::TooSmall) => Ok(i64::MIN),
            Err(NotWhole::NotANumber | NotWhole::Fractional) => Err(A_WHOLE_NUMBER),
        })
    }

    /// An integer for which every value of 64 bits is legal.
    pub(super) fn exact_integer(&self, path: &'static str) -> Result<Option<i64>, RowError> {
        self.typed(path, |text| {
            whole(text).map_err(|why| match why {
                NotWhole::NotANumber | NotWhole::Fractional => A_WHOLE_NUMBER,
                NotWhole::TooLarge => Problem::TooLarge { max: i64::MAX.unsigned_abs() },
                NotWhole::TooSmall => Problem::Malformed { expected: "at least -9223372036854775808" },
            })
        })
    }

    /// A whole number from 0 to `max`.
    pub(super) fn count(&self, path: &'static str, max: u64) -> Result<Option<u64>, RowError> {
        let Some(number) = self.integer(path)? else { return Ok(None) };
        let number = u64::try_from(number).map_err(|_| RowError::new(path, Problem::Negative))?;
        if number > max {
            return Err(RowError::new(path, Problem::TooLarge { max }));
        }
        Ok(Some(number))
    }

    /// The nearest f64 of a number; one too large for an f64 is infinite, which the core refuses.
    pub(super) fn float(&self, path: &'static str) -> Result<Option<f64>, RowError> {
        self.typed(path, |text| {
            let number = is_number(text).then(|| text.parse().ok()).flatten();
            number.ok_or(wrong_type("a number"))
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, path: &'static str) -> Result<Option<bool>, RowError> {
        self.typed(path, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(wrong_type("true or false")),
        })
    }

    /// A text, its escapes resolved.
    pub(super) fn text(&self, path: &'static str) -> Result<Option<Cow<'a, str>>, RowError> {
        self.typed(path, text_of)
    }

    /// One of a few words, exactly.
    pub(super) fn word<T: Copy>(
        &self,
        path: &'static str,
        words: &[(&str, T)],
        expected: &'static str,
    ) -> Result<Option<T>, RowError> {
        self.typed(path, |text| {
            let text = text_of(text)?;
            let known = words.iter().find(|(word, _)| *word == text);
            known.map(|(_, value)| *value).ok_or(Problem::Malformed { expected })
        })
    }

    /// A list of texts.
    pub(super) fn texts(&self, path: &'static str) -> Result<Option<Vec<Cow<'a, str>>>, RowError> {
        self.typed(path, |text| {
            let elements = elements(text, "a list of texts")?;
            let texts = elements.iter().map(|element| text_of(element.get()));
            texts.collect::<Result<_, _>>().map_err(|problem| match problem {
                Problem::WrongType { .. } => wrong_type("a list of texts"),
                other => other,
            })
        })
    }

    /// An object of texts, in the order of its keys; `null` entries are absent.
    pub(super) fn text_map(&self, path: &'static str) -> Result<TextMap<'a>, RowError> {
        let object = self.object(path)?;
        let entries = object.fields.into_iter().filter(|field| field.text != "null");
        let texts = entries.map(|field| match text_of(field.text) {
            Ok(text) => Ok((field.key, text)),
            Err(problem) => Err(RowError::new(path_text(path, &field.key), problem)),
        });
        texts.collect()
    }

    /// An object inside this one; an absent one is empty.
    pub(super) fn object(&self, path: &'static str) -> Result<Self, RowError> {
        let object = Self::read(path, self.value(path).unwrap_or("{}"));
        object.check()?;
        Ok(object)
    }

    /// A list of objects; an absent one is empty.
    pub(super) fn objects(&self, path: &'static str) -> Result<Vec<Self>, RowError> {
        let expected = "a list of objects";
        let elements = self.typed(path, |text| elements(text, expected))?.unwrap_or_default();
        let objects = elements.into_iter().map(|element| {
            let object = Self::read(path, element.get());
            object.check().map(|()| object).map_err(|error| match error.why {
                Why::Problem(Problem::WrongType { .. }) => RowError::new(path, wrong_type(expected)),
                _ => error,
            })
        });
        objects.collect()
    }

    /// Notes every field that no getter asked for.
    pub(super) fn finish(&self, notes: &mut Vec<Concern>) {
        let unknown = self.fields.iter().filter(|field| !field.known.get());
        notes.extend(unknown.map(|field| Concern::UnknownField(path_text(self.path, &field.key))));
    }
}

const A_WHOLE_NUMBER: Problem = wrong_type("a whole number");

const fn wrong_type(expected: &'static str) -> Problem {
    Problem::WrongType { expected }
}

fn not_json(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> RowError {
    RowError::new(field, Why::NotJson { reason: reason.into() })
}

/// What serde_json says, without a place: a place in one value of a row would be taken for one in the file.
fn syntax_text(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(why, _)| why.to_owned())
}

/// The text of a JSON string.
fn text_of(json: &str) -> Result<Cow<'_, str>, Problem> {
    let content = json.strip_prefix('"').ok_or(wrong_type("a text"))?;
    let content = content.strip_suffix('"').and_then(string_text);
    content.ok_or(Problem::Malformed { expected: "a text of whole characters (no lone surrogates)" })
}

/// The elements of a JSON list.
fn elements<'a>(json: &'a str, expected: &'static str) -> Result<Vec<&'a RawValue>, Problem> {
    serde_json::from_str(json).map_err(|_| wrong_type(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T>(read: Result<T, RowError>) -> String {
        read.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn syntax_errors_name_their_field() {
        let table = [
            (r#"{"slots_total": NaN}"#, "slots_total: not JSON: expected value"),
            (r#"{"slots_total": 08, "x": NaN}"#, "slots_total: not JSON: invalid number"),
            (r#"{"z": NaN, "a": NaN}"#, "z: not JSON: expected value"),
            (r#"{"supports": {"ctx_max": Infinity}}"#, "supports.ctx_max: not JSON: expected value"),
            (r#"{"devices": [{"vram_total_bytes": -}]}"#, "devices.vram_total_bytes: not JSON: invalid number"),
            (r#"{"id": }"#, "id: not JSON: EOF while parsing a value"),
            ("{\"id\": \"a\tb\"}", "id: not JSON: control character (\\u0000-\\u001F) found while parsing a string"),
            (r#"{"id": "a" "b": 1}"#, "id: not JSON: trailing characters"),
            (r#"{"id": "a", b: 1}"#, "row: not JSON: expected a key in quotes"),
            (r#"{"id": "a""#, "row: not JSON: expected `,` or `}` after a value"),
            (r#"{"id": "a"} {"#, "row: not JSON: text after the closing `}`"),
            ("", "row: not JSON: EOF while parsing a value"),
            ("NaN", "row: not JSON: expected value"),
            ("[1]", "row: wrong type: expected an object"),
            ("null", "row: wrong type: expected an object"),
        ];
        for (text, message) in table {
            assert_eq!(refusal(Object::row(text).check()), message, "{text}");
        }
    }

    #[test]
    fn repeated_keys_are_named() {
        let row = Object::row(r#"{"id":"a","x":1,"id":"b"}"#);
        assert_eq!(refusal(row.check()), "id: stands more than once");
        assert_eq!(row.peek_text("id"), None);
        // Spelled in another way, it is the same key.
        assert_eq!(refusal(Object::row(r#"{"a":1,"\u0061":1}"#).check()), "a: stands more than once");
        let row = Object::row(r#"{"supports":{"x":1,"x":1},"labels":{"k":"a","k":"a"}}"#);
        assert!(row.check().is_ok());
        assert_eq!(refusal(row.object("supports")), "supports.x: stands more than once");
        assert_eq!(refusal(row.text_map("labels")), "labels.k: stands more than once");
    }

    #[test]
    fn ids_are_read_around_errors() {
        let row = Object::row(r#"{"slots_total": NaN, "id": "a\n", "replica_id": 7}"#);
        assert!(row.check().is_err());
        assert_eq!(row.peek_text("id").as_deref(), Some("a\n"));
        assert_eq!((row.peek_text("replica_id"), row.surely_lacks("x")), (None, true));
        let row = Object::row(r#"{"id": "a", "null": null, "b": 1, "b": 2}"#);
        assert!(row.surely_lacks("x") && row.surely_lacks("null") && !row.surely_lacks("id"));
    }

    #[test]
    fn numbers() {
        let row = Object::row(r#"{"a":8.0,"b":8.5,"c":1e400,"d":-1e400,"e":"8","f":null,"g":1e3,"h":0.1,"i":true}"#);
        assert_eq!(row.integer("x.a"), Ok(Some(8)));
        assert_eq!(refusal(row.integer("x.b")), "x.b: wrong type: expected a whole number");
        assert_eq!(row.integer("c"), Ok(Some(i64::MAX)));
        assert_eq!(row.integer("d"), Ok(Some(i64::MIN)));
        assert_eq!(refusal(row.integer("e")), "e: wrong type: expected a whole number");
        assert_eq!((row.integer("f"), row.integer("none")), (Ok(None), Ok(None)));
        assert_eq!(row.integer("g"), Ok(Some(1000)));
        assert_eq!((row.float("h"), row.float("a")), (Ok(Some(0.1)), Ok(Some(8.0))));
        assert_eq!((row.float("c"), row.float("d")), (Ok(Some(f64::INFINITY)), Ok(Some(f64::NEG_INFINITY))));
        assert_eq!(refusal(row.float("i")), "i: wrong type: expected a number");
        assert_eq!(refusal(row.exact_integer("c")), "c: above its limit: at most 9223372036854775807");
        assert_eq!(refusal(row.exact_integer("d")), "d: malformed: expected at least -9223372036854775808");
        assert_eq!(row.exact_integer("a"), Ok(Some(8)));
        assert_eq!(refusal(Object::required("n", row.integer("n").unwrap())), "n: required, but absent");
    }

    #[test]
    fn texts_lists_and_maps() {
        let row = Object::row(
            r#"{"t":"é\u00e9\"","s":"\ud800","l":["a","\n"],"m":["a",null],"o":{"b":"2","a":"1","n":null},"p":{"x":1},
               "w":"auto","v":"Auto","d":[{"x":1},5],"b":1}"#,
        );
        assert_eq!(row.text("t").unwrap().as_deref(), Some("éé\""));
        assert!(matches!(row.text("w"), Ok(Some(Cow::Borrowed("auto")))));
        assert!(refusal(row.text("s")).starts_with("s: malformed: expected a text of whole characters"));
        assert_eq!(refusal(row.text("l")), "l: wrong type: expected a text");
        assert_eq!(row.texts("l").unwrap().unwrap(), ["a", "\n"]);
        assert_eq!(refusal(row.texts("m")), "m: wrong type: expected a list of texts");
        assert_eq!(refusal(row.texts("t")), "t: wrong type: expected a list of texts");
        let labels = row.text_map("o").unwrap();
        assert_eq!(labels, [(Cow::from("a"), Cow::from("1")), (Cow::from("b"), Cow::from("2"))]);
        assert_eq!(refusal(row.text_map("p")), "p.x: wrong type: expected a text");
        assert_eq!(refusal(row.text_map("l")), "l: wrong type: expected an object");
        assert_eq!(row.word("w", &[("auto", 7)], "auto"), Ok(Some(7)));
        assert_eq!(refusal(row.word("v", &[("auto", 7)], "auto")), "v: malformed: expected auto");
        assert_eq!(refusal(row.objects("d")), "d: wrong type: expected a list of objects");
        assert_eq!(refusal(row.boolean("b")), "b: wrong type: expected true or false");
    }

    #[test]
    fn what_no_one_asked_for_is_unknown() {
        let row = Object::row(r#"{"id":"a","gpu":1,"supports":{"ctx_max":null,"y\n":2}}"#);
        let mut notes = Vec::new();
        let supports = row.object("supports").unwrap();
        assert_eq!((row.text("id").is_ok(), supports.integer("supports.ctx_max")), (true, Ok(None)));
        row.finish(&mut notes);
        supports.finish(&mut notes);
        let unknown = ["gpu", "supports.y\\n"].map(|path| Concern::UnknownField(path.to_owned()));
        assert_eq!(notes, unknown);
    }
}
