//! Tests of the fleet file's reader: what stands around rows, bad rows among good ones, damage of any kind.

use super::*;

/// Each row's line with its id, or with why it was refused; then why the file was, if it was.
type Seen = (Vec<(u64, Result<String, String>)>, Option<String>);

fn read(file: &[u8]) -> Seen {
    let [whole, single] = [1 << 16, 1].map(|capacity| read_by(file, capacity));
    // Where the buffer ends must not matter.
    assert_eq!(whole, single);
    whole
}

fn read_by(file: &[u8], capacity: usize) -> Seen {
    let mut warnings = Warnings::default();
    let mut reader = FleetReader::new(BufReader::with_capacity(capacity, file));
    let mut rows = Vec::new();
    loop {
        let row = match reader.next_row(&mut warnings) {
            Ok(Some(row)) => row,
            Ok(None) => return (rows, None),
            Err(error) => {
                assert!(matches!(reader.next_row(&mut warnings), Ok(None)));
                return (rows, Some(error.to_string()));
            }
        };
        let line = row.line;
        let read = row.read(&mut warnings);
        rows.push((line, read.map(|pool| pool.id().to_owned()).map_err(|refused| refused.to_string())));
    }
}

fn pool(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","engine":"e","slots_total":1,"slots_free":1,"vram_total_bytes":9e9,"vram_free_bytes":9e9}}"#
    )
}

fn fatal(file: &str) -> String {
    read(file.as_bytes()).1.unwrap_or_default()
}

fn ok(rows: &[(u64, &str)]) -> Seen {
    (rows.iter().map(|&(line, id)| (line, Ok(id.to_owned()))).collect(), None)
}

#[test]
fn whole_files() {
    assert_eq!(read(br#"{"pools":[]}"#), ok(&[]));
    assert_eq!(read(b"\xef\xbb\xbf {\"version\": 1.0,\r\n\"pools\": [ ] }\n\n"), ok(&[]));
    assert_eq!(read(br#"{"version":null,"pools":[]}"#), ok(&[]));
    let (a, b) = (pool("a"), pool("b"));
    assert_eq!(read(format!("{{\"pools\":[{a},{b}],\"version\":1}}").as_bytes()), ok(&[(1, "a"), (1, "b")]));
    let lines = format!("{{\n\"sources\":[{{\"x\":\"]}}\"}}],\n\"p\\u006fols\":[\n {a}\n,\n\n{b} ]\n}}");
    assert_eq!(read(lines.as_bytes()), ok(&[(4, "a"), (7, "b")]));
    let pretty = serde_json::from_str::<serde_json::Value>(&format!("{{\"pools\":[{a},{b}]}}")).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    assert_eq!(read(pretty.as_bytes()), ok(&[(3, "a"), (11, "b")]));
}

#[test]
fn unknown_keys_are_warned_about_and_known_ones_ignored() {
    let file = r#"{"deployment":{"note":1},"generated_by":"x","sources":null,"note":1,"\u001b":[2],"pools":[]}"#;
    let mut warnings = Warnings::default();
    assert!(matches!(FleetReader::new(file.as_bytes()).next_row(&mut warnings), Ok(None)));
    assert_eq!(warnings.to_string(), "fleet file: unknown field `\\u{1b}`\nfleet file: unknown field `note`");
}

// UNIT-10: a bad row never affects another.
#[test]
fn bad_rows_are_refused_alone() {
    let bad = [
        (r#"{"id":"x","slots_total":NaN}"#, "slots_total: not JSON: expected value"),
        (r#"{"id" "x"}"#, "row: not JSON: expected `:` after a key"),
        (r#"{"id":"x",}"#, "row: not JSON: expected a key in quotes"),
        (r#"{"id":"x","engine":}"#, "engine: not JSON: EOF while parsing a value"),
        ("{\"id\":\"x,\n\"engine\":\"e\"}", "id: not JSON: EOF while parsing a string"),
        (r#"{"id":"x"]"#, "row: not JSON: expected `,` or `}` after a value"),
        (r#"{"id":"x","id":"x"}"#, "id: stands more than once"),
        (r#"{"id":"x"}"#, "engine: required, but absent"),
        ("5", "row: wrong type: expected an object"),
        ("null", "row: wrong type: expected an object"),
        (r#""a,]""#, "row: wrong type: expected an object"),
        ("[{}]", "row: wrong type: expected an object"),
        ("oops", "row: not JSON: expected value"),
        ("Infinity nan", "row: not JSON: expected value"),
    ];
    for (row, why) in bad {
        let file = format!("{{\"pools\":[{},\n{row},{}]}}", pool("a"), pool("b"));
        let (rows, error) = read(file.as_bytes());
        let third = if row.contains('\n') { 3 } else { 2 };
        let expected = [(1, Ok("a".to_owned())), (2, Err(why.to_owned())), (third, Ok("b".to_owned()))];
        assert_eq!((rows, error), (expected.to_vec(), None), "{row}");
    }
}

#[test]
fn rows_that_are_no_text_or_too_long_are_refused_alone() {
    let mut file = format!("{{\"pools\":[{},{{\"id\":\"x\",\"engine\":\"", pool("a")).into_bytes();
    file.extend_from_slice(b"\xff\"},");
    file.extend_from_slice(pool("b").as_bytes());
    file.extend_from_slice(b"]}");
    let (rows, error) = read(&file);
    let expected = [(1, Ok("a".to_owned())), (1, Err("row: not UTF-8 text".to_owned())), (1, Ok("b".to_owned()))];
    assert_eq!((rows, error), (expected.to_vec(), None));

    let start = r#"{"id":"long","pad":""#;
    for (surplus, is_long) in [(0, false), (1, true), (5 << 20, true)] {
        let pad = "x".repeat(MAX_ROW_BYTES - start.len() - 2 + surplus);
        let file = format!("{{\"pools\":[{start}{pad}\"}} \n ,{}]}}", pool("b"));
        let mut reader = FleetReader::new(BufReader::new(file.as_bytes()));
        let refused = reader.next_row(&mut Warnings::default()).unwrap().unwrap().text.err();
        assert_eq!(refused.is_some(), is_long, "{surplus}");
        if let Some(refused) = refused {
            assert_eq!(refused.to_string(), "row: longer than 1048576 bytes");
            assert_eq!((refused.id.as_deref(), refused.replica_id), (Some("long"), None));
        }
        let next = reader.next_row(&mut Warnings::default()).unwrap().unwrap();
        assert_eq!(next.read(&mut Warnings::default()).unwrap().id(), "b");
        assert!(matches!(reader.next_row(&mut Warnings::default()), Ok(None)));
        assert!(reader.scanner.kept.capacity() <= 2 * MAX_ROW_BYTES);
    }
}

#[test]
fn files_that_cannot_be_used() {
    let a = pool("a");
    let in_row = "the file ends inside the row that starts here: a bracket or a quote is not closed";
    let table = [
        (String::new(), "is empty; a fleet is {\"version\": 1, \"pools\": [ … ]}".to_owned()),
        (" \n ".to_owned(), "is empty; a fleet is {\"version\": 1, \"pools\": [ … ]}".to_owned()),
        ("{}".to_owned(), "has no `pools`; a fleet is {\"version\": 1, \"pools\": [ … ]}".to_owned()),
        ("\n[]".to_owned(), "line 2: not a fleet: a fleet is an object, {\"version\": 1, \"pools\": [ … ]}".to_owned()),
        ("{".to_owned(), "line 1: the file ends before its last bracket is closed".to_owned()),
        ("{\"pools\"".to_owned(), "line 1: the file ends before its last bracket is closed".to_owned()),
        ("{\"poo".to_owned(), "line 1: the file ends before its last bracket is closed".to_owned()),
        ("{\"pools\":".to_owned(), "line 1: the file ends before its last bracket is closed".to_owned()),
        ("{\"version\":1".to_owned(), "line 1: the file ends before its last bracket is closed".to_owned()),
        (format!("{{\"pools\":[{a},\n"), format!("line 2: {in_row}")),
        (format!("{{\"pools\":[\n{a}\n\n"), format!("line 2: {in_row}")),
        (format!("{{\"pools\":[{a}]\n"), "line 2: the file ends before its last bracket is closed".to_owned()),
        (format!("{{\"pools\":[{a}],"), "line 1: the file ends before its last bracket is closed".to_owned()),
        (format!("{{\"pools\":[{a}]}}}}"), "line 1: text after the end of the fleet".to_owned()),
        ("{\"pools\":[]}\n{}".to_owned(), "line 2: text after the end of the fleet".to_owned()),
        (format!("{{\"pools\":[{a}}}]}}"), "line 1: not JSON: expected `,` or `]` after a row".to_owned()),
        (
            format!("{{\"pools\":[{a} {a}]}}"),
            "line 1: not JSON: expected `,` or a closing bracket after the value".to_owned(),
        ),
        (format!("{{\"pools\":[{a},]}}"), "line 1: not JSON: expected a row".to_owned()),
        (format!("{{\"pools\":[,{a}]}}"), "line 1: not JSON: expected a row".to_owned()),
    ];
    for (file, message) in table {
        assert_eq!(fatal(&file), message, "{file}");
    }
}

#[test]
fn keys_and_values_beside_the_rows() {
    let table = [
        ("{\"pools\":null}".to_owned(), "line 1: `pools` must be a list of objects".to_owned()),
        ("{\"pools\":{}}".to_owned(), "line 1: `pools` must be a list of objects".to_owned()),
        ("{\"pools\":[],\n\"pools\":[]}".to_owned(), "line 2: `pools` stands more than once".to_owned()),
        ("{\"version\":1,\"version\":1}".to_owned(), "line 1: `version` stands more than once".to_owned()),
        ("{\"pools\":[],\"version\":2}".to_owned(), version("2")),
        ("{\"version\":\"1\"}".to_owned(), version("\\\"1\\\"")),
        ("{\"version\":1.5}".to_owned(), version("1.5")),
        ("{\"version\":}".to_owned(), "line 1: the value of `version` is not JSON".to_owned()),
        ("{\"sources\":NaN}".to_owned(), "line 1: the value of `sources` is not JSON".to_owned()),
        ("{pools:[]}".to_owned(), "line 1: not JSON: expected a key in quotes".to_owned()),
        ("{\"pools\" []}".to_owned(), "line 1: not JSON: expected `:` after a key".to_owned()),
        ("{\"pools\":[]\"x\":1}".to_owned(), "line 1: not JSON: expected `,` or `}` after a value".to_owned()),
        ("{,\"pools\":[]}".to_owned(), "line 1: not JSON: expected a key in quotes".to_owned()),
        ("{\"pools\":[],}".to_owned(), "line 1: not JSON: expected a key in quotes".to_owned()),
        ("{\"a\n\":1}".to_owned(), "line 1: a key without its closing quote".to_owned()),
    ];
    for (file, message) in table {
        assert_eq!(fatal(&file), message, "{file}");
    }
    assert_eq!(read(b"{\"\xff\":1}").1.unwrap(), "line 1: not UTF-8 text");
    assert_eq!(read(b"{\"sources\":\"\xff\"}").1.unwrap(), "line 1: not UTF-8 text");
    assert_eq!(read(b"\xef\xbb{}").1.unwrap(), "line 1: not UTF-8 text");
}

fn version(found: &str) -> String {
    format!("line 1: version {found} of the fleet format is not known; this program reads version 1")
}

#[test]
fn files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(FleetReader::open(folder.path()), Err(FleetFileError::IsAFolder)));
    assert!(matches!(FleetReader::open(&folder.path().join("none")), Err(FleetFileError::Open(_))));
    let path = folder.path().join("fleet.json");
    std::fs::write(&path, format!("{{\"pools\":[{}]}}", pool("a"))).unwrap();
    let mut reader = FleetReader::open(&path).unwrap();
    let row = reader.next_row(&mut Warnings::default()).unwrap().unwrap();
    assert_eq!(row.read(&mut Warnings::default()).unwrap().id(), "a");
}

// Any damage: no panic, and a file that is not given up says something about every row.
#[test]
fn damage_loses_no_row_silently() {
    let ids: Vec<_> = (0..8).map(|number| format!("pool-{number}")).collect();
    let rows: Vec<_> = ids.iter().map(|id| pool(id)).collect();
    let file = format!("{{\"version\":1,\n\"pools\":[\n{}\n],\"sources\":[\"x\"]}}", rows.join(",\n")).into_bytes();
    let bytes = b"{}[]\",:\\nNaN0-+.eE\n\xff\x00 u";
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let (mut whole, mut given_up) = (0, 0);
    for _ in 0..50_000 {
        let mut file = file.clone();
        let place = random() % file.len();
        match random() % 4 {
            0 => file[place] = bytes[random() % bytes.len()],
            1 => file.insert(place, bytes[random() % bytes.len()]),
            2 => drop(file.remove(place)),
            _ => file.truncate(place),
        }
        let (seen, error) = read_by(&file, 4096);
        if error.is_some() {
            given_up += 1;
            continue;
        }
        whole += 1;
        // One damaged byte costs at most one row, and that one is refused or has another name.
        assert!(seen.len() >= ids.len(), "{}", String::from_utf8_lossy(&file));
        let is_read = |id: &&String| seen.iter().any(|(_, row)| row.as_ref() == Ok(*id));
        let intact = ids.iter().filter(is_read).count();
        assert!(intact >= ids.len() - 1, "{}", String::from_utf8_lossy(&file));
    }
    assert!(whole > 20_000 && given_up > 10_000, "{whole} {given_up}");
}
