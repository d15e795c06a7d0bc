//! One line of CSV as cells.
//!
//! ```text
//! a,"b, ""c""", d       a | b, "c" |  d
//! a,"b                  refused: a row never spans lines, so that one stray quote cannot take the rows below with it
//! ```
//!
//! A quote opens a cell only at its start; elsewhere in an unquoted cell it is a letter.

use csv::ByteRecord;

/// Puts the cells of `line` into `record`, or says why it has none.
pub(super) fn split(line: &[u8], record: &mut ByteRecord) -> Result<(), &'static str> {
    record.clear();
    if line.trim_ascii_end().contains(&b'\r') {
        return Err("the row has a carriage return inside; rows end with a line feed");
    }
    let (mut rest, mut cell) = (Some(line), Vec::new());
    while let Some(text) = rest {
        rest = next_cell(text, &mut cell)?;
        record.push_field(&cell);
    }
    Ok(())
}

/// Reads the first cell of `text` and gives what stands behind its comma; `None` behind the last cell.
fn next_cell<'l>(text: &'l [u8], cell: &mut Vec<u8>) -> Result<Option<&'l [u8]>, &'static str> {
    cell.clear();
    let behind = match text.strip_prefix(b"\"") {
        Some(quoted) => quoted_cell(quoted, cell)?,
        None => {
            let end = text.iter().position(|&byte| byte == b',').unwrap_or(text.len());
            let (content, behind) = text.split_at(end);
            cell.extend_from_slice(content);
            behind
        }
    };
    match behind.split_first() {
        None => Ok(None),
        Some((b',', next)) => Ok(Some(next)),
        Some(_) => Err("the row has text behind a closing quote; write a quote inside a quoted cell twice"),
    }
}

/// Reads a cell from behind its opening quote and gives what stands behind the closing one and spaces.
fn quoted_cell<'l>(mut text: &'l [u8], cell: &mut Vec<u8>) -> Result<&'l [u8], &'static str> {
    loop {
        let end = text.iter().position(|&byte| byte == b'"');
        let end = end.ok_or("the row has a quoted cell that does not end on its line; a row cannot span lines")?;
        let (content, behind) = text.split_at(end);
        cell.extend_from_slice(content);
        match behind {
            [b'"', b'"', more @ ..] => {
                cell.push(b'"');
                text = more;
            }
            [_, more @ ..] => return Ok(more.trim_ascii_start()),
            [] => return Ok(behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(line: &str) -> Result<Vec<String>, &'static str> {
        let mut record = ByteRecord::new();
        split(line.as_bytes(), &mut record)?;
        Ok(record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect())
    }

    #[test]
    fn quotes() {
        assert_eq!(cells("a,b, c ").unwrap(), ["a", "b", " c "]);
        assert_eq!(cells(",,").unwrap(), ["", "", ""]);
        assert_eq!(cells("\"a, b\",\"\",\"x \"\"y\"\"\"").unwrap(), ["a, b", "", "x \"y\""]);
        assert_eq!(cells("\"a\" ,b\r").unwrap(), ["a", "b\r"]);
        assert_eq!(cells("a\",b\"c\"").unwrap(), ["a\"", "b\"c\""]);
        for open in ["\"", "a,\"b", "a,\"b,c", "\"a\"\"", "\"\"\""] {
            assert!(cells(open).unwrap_err().contains("does not end on its line"), "{open}");
        }
        assert!(cells("\"a\"b,c").unwrap_err().contains("behind a closing quote"));
        assert!(cells("a,b\rc,d").unwrap_err().contains("carriage return"));
    }

    proptest! {
        #[test]
        fn a_line_reads_as_the_csv_crate_reads_it(line in "[a\", ]{0,24}") {
            let Ok(found) = cells(&line) else { return Ok(()) };
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            let record = reader.records().next().transpose().unwrap().unwrap_or_default();
            // The csv crate keeps spaces behind a closing quote, and has no record for an empty line.
            let expected: Vec<_> = record.iter().map(str::trim).collect();
            let found: Vec<_> = found.iter().map(|cell| cell.trim()).filter(|_| !line.is_empty()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn what_the_csv_crate_writes_reads_back(row in prop::collection::vec("[a\", é]{0,6}", 1..5)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&row).unwrap();
            let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(cells(line.trim_end_matches('\n')).unwrap(), row);
        }
    }
}
