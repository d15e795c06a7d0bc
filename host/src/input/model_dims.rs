//! Model dimensions from a CSV table: model id -> [`ModelDims`], for the KV estimate of jobs that state none (JOB-3).
//!
//! ```text
//! model_id,num_layers,num_kv_heads,head_dim,attention,kv_bytes_per_token_fp16
//! meta-llama/Llama-3.1-8B,32,8,128,gqa,131072
//! deepseek-ai/DeepSeek-V3,61,128,,mla,70272          576 latent elements: 70272 / (2 bytes * 61 layers)
//! ```
//!
//! Optional columns: `sliding_window` and `sliding_layers` (KV-2), `kv_lora_rank` and `qk_rope_head_dim` (MLA). Others
//! are not read.
//!
//! Invariants: a bad row is reported with line and column and never stops the others; a model whose rows disagree has no
//! dimensions at all, because an estimate must not depend on which row came first.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use orchestrator_core::limits::NAME_BYTES_MAX;
use orchestrator_core::{Attention, FieldError, ModelDims, Problem, SlidingWindow};

use super::lines::BYTE_ORDER_MARK;
use super::numbers::whole;
use super::row_error::path_text;

/// A table has at most this many bytes.
pub const MAX_DIMS_BYTES: u64 = 1 << 26;

/// Columns that a table must have.
const REQUIRED: [&str; 5] = ["model_id", "num_layers", "num_kv_heads", "head_dim", "attention"];

/// The dimensions of models, and the rows that were refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelTable {
    /// Dimensions by model id.
    pub models: BTreeMap<String, ModelDims>,
    /// Refused rows, in the order of their lines.
    pub refused: Vec<RefusedDims>,
}

/// A refused row of the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {column}: {problem}")]
pub struct RefusedDims {
    /// Its line in the file, from 1.
    pub line: u64,
    /// The column that broke it.
    pub column: &'static str,
    /// The model, where its id could be read.
    pub model_id: Option<String>,
    /// What is wrong with the column's value.
    pub problem: Problem,
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DimsFileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It has more bytes than a table may have.
    #[error("longer than {MAX_DIMS_BYTES} bytes; is this a table of model dimensions?")]
    TooLong,
    /// There is nothing in it.
    #[error("is empty; the first line names the columns: {}", REQUIRED.join(", "))]
    Empty,
    /// A column that must be there is not.
    #[error("has no column `{column}`; found: {found}")]
    NoColumn {
        /// The column.
        column: &'static str,
        /// The columns there are.
        found: String,
    },
    /// A column that is read stands twice.
    #[error("has the column `{column}` twice")]
    ColumnTwice {
        /// The column.
        column: &'static str,
    },
}

/// Reads the table at `path`. Errors do not name the path.
///
/// # Errors
/// The file cannot be read or lacks a column.
pub fn read_model_dims_file(path: &Path) -> Result<ModelTable, DimsFileError> {
    read_model_dims(File::open(path)?)
}

/// Reads a table.
///
/// # Errors
/// The source cannot be read or lacks a column.
pub fn read_model_dims(source: impl Read) -> Result<ModelTable, DimsFileError> {
    let mut bytes = Vec::new();
    let length = source.take(MAX_DIMS_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    if !u64::try_from(length).is_ok_and(|length| length <= MAX_DIMS_BYTES) {
        return Err(DimsFileError::TooLong);
    }
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut records = reader.byte_records();
    let header = records.next().transpose().map_err(io::Error::from)?.ok_or(DimsFileError::Empty)?;
    let columns = Columns::of(&header)?;
    let mut rows = Rows::default();
    for record in records {
        let record = record.map_err(io::Error::from)?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.add(line, &Row { record: &record, columns: &columns });
    }
    Ok(rows.finish())
}

/// The place of each column that is read.
struct Columns(BTreeMap<&'static str, usize>);

impl Columns {
    fn of(header: &csv::ByteRecord) -> Result<Self, DimsFileError> {
        let optional =
            ["kv_bytes_per_token_fp16", "kv_lora_rank", "qk_rope_head_dim", "sliding_window", "sliding_layers"];
        let mut places = BTreeMap::new();
        for name in REQUIRED.into_iter().chain(optional) {
            let mut found = header.iter().enumerate().filter(|(_, cell)| cell.trim_ascii() == name.as_bytes());
            if let Some((place, _)) = found.next() {
                places.insert(name, place);
            }
            if found.next().is_some() {
                return Err(DimsFileError::ColumnTwice { column: name });
            }
        }
        match REQUIRED.into_iter().find(|name| !places.contains_key(name)) {
            None => Ok(Self(places)),
            Some(column) => {
                let names: Vec<_> = header.iter().map(|cell| path_text("", &String::from_utf8_lossy(cell))).collect();
                let found = names.join(", ");
                Err(DimsFileError::NoColumn { column, found })
            }
        }
    }
}

/// The rows read so far: per model the first line, and its dimensions until another row disagrees.
#[derive(Default)]
struct Rows {
    models: BTreeMap<String, (u64, Option<ModelDims>)>,
    refused: Vec<RefusedDims>,
}

impl Rows {
    fn add(&mut self, line: u64, row: &Row<'_>) {
        let read = row.model_id().and_then(|id| Ok((id, row.dims()?)));
        let (model_id, dims) = match read {
            Ok(read) => read,
            Err(error) => {
                self.refused.push(RefusedDims {
                    line,
                    column: error.field,
                    model_id: row.model_id().ok().map(str::to_owned),
                    problem: error.problem,
                });
                return;
            }
        };
        match self.models.entry(model_id.to_owned()) {
            Entry::Vacant(place) => {
                place.insert((line, Some(dims)));
            }
            Entry::Occupied(mut place) => {
                let (first_line, known) = *place.get();
                if known == Some(dims) {
                    return;
                }
                place.insert((first_line, None));
                let lines = [known.map(|_| first_line), Some(line)];
                let refused = lines.into_iter().flatten().map(|line| disagreement(line, model_id));
                self.refused.extend(refused);
            }
        }
    }

    fn finish(mut self) -> ModelTable {
        self.refused.sort_by_key(|refused| refused.line);
        let known = self.models.into_iter().filter_map(|(id, (_, dims))| Some((id, dims?)));
        ModelTable { models: known.collect(), refused: self.refused }
    }
}

fn disagreement(line: u64, model_id: &str) -> RefusedDims {
    RefusedDims {
        line,
        column: "model_id",
        model_id: Some(model_id.to_owned()),
        problem: Problem::Contradiction { why: "rows of this model have different dimensions: none of them is used" },
    }
}

struct Row<'r> {
    record: &'r csv::ByteRecord,
    columns: &'r Columns,
}

impl<'r> Row<'r> {
    /// The text of a cell; `None` when it is blank or not there.
    fn text(&self, column: &'static str) -> Result<Option<&'r str>, FieldError> {
        let cell = self.columns.0.get(column).and_then(|&place| self.record.get(place));
        let text = str::from_utf8(cell.unwrap_or_default().trim_ascii());
        let text = text.map_err(|_| FieldError::new(column, Problem::Malformed { expected: "UTF-8 text" }))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A count; tables made by programs that know no missing integers write it as a decimal.
    fn count(&self, column: &'static str) -> Result<Option<u64>, FieldError> {
        let Some(text) = self.text(column)? else {
            return Ok(None);
        };
        let expected = Problem::WrongType { expected: "a whole number" };
        let count = whole(text).map_err(|_| FieldError::new(column, expected))?;
        let count = u64::try_from(count).map_err(|_| FieldError::new(column, Problem::Negative))?;
        Ok(Some(count))
    }

    fn dimension(&self, column: &'static str) -> Result<Option<u32>, FieldError> {
        let max = u64::from(u32::MAX);
        let too_large = FieldError::new(column, Problem::TooLarge { max });
        let count = self.count(column)?;
        count.map(|count| u32::try_from(count).map_err(|_| too_large)).transpose()
    }

    fn required(&self, column: &'static str) -> Result<u32, FieldError> {
        self.dimension(column)?.ok_or(FieldError::new(column, Problem::Missing))
    }

    fn model_id(&self) -> Result<&'r str, FieldError> {
        let column = "model_id";
        let id = self.text(column)?.ok_or(FieldError::new(column, Problem::Missing))?;
        if id.len() > NAME_BYTES_MAX {
            let max_bytes = NAME_BYTES_MAX;
            return Err(FieldError::new(column, Problem::TooLong { max_bytes }));
        }
        Ok(id)
    }

    fn dims(&self) -> Result<ModelDims, FieldError> {
        let layers = self.required("num_layers")?;
        let attention = match self.text("attention")? {
            Some("mha" | "gqa" | "mqa") => {
                Attention::Heads { kv_heads: self.required("num_kv_heads")?, head_dim: self.required("head_dim")? }
            }
            Some("mla") => self.latent(layers)?,
            None => return Err(FieldError::new("attention", Problem::Missing)),
            Some(_) => {
                let expected = "mha, gqa, mqa or mla";
                return Err(FieldError::new("attention", Problem::Malformed { expected }));
            }
        };
        ModelDims::new(layers, attention, self.sliding()?)
            .map_err(|error| FieldError::new(column_of(error.field, attention), error.problem))
    }

    /// The latent of an MLA model: from its own columns, else what the KV bytes of a token leave. KV-1.
    fn latent(&self, layers: u32) -> Result<Attention, FieldError> {
        match (self.dimension("kv_lora_rank")?, self.dimension("qk_rope_head_dim")?) {
            (Some(kv_lora_rank), Some(rope_dim)) => Ok(Attention::Latent { kv_lora_rank, rope_dim }),
            (Some(_), None) => Err(FieldError::new("qk_rope_head_dim", Problem::Missing)),
            (None, Some(_)) => Err(FieldError::new("kv_lora_rank", Problem::Missing)),
            (None, None) => Ok(Attention::Latent { kv_lora_rank: self.latent_elements(layers)?, rope_dim: 0 }),
        }
    }

    /// Elements per token and layer: the estimate needs only the sum of latent and rotary part.
    fn latent_elements(&self, layers: u32) -> Result<u32, FieldError> {
        let column = "kv_bytes_per_token_fp16";
        let bytes = self.count(column)?.ok_or(FieldError::new(column, Problem::Missing))?;
        let per_element = u64::from(layers).saturating_mul(2);
        if bytes.checked_rem(per_element) != Some(0) {
            let why = "is no multiple of 2 bytes times num_layers";
            return Err(FieldError::new(column, Problem::Contradiction { why }));
        }
        // Above any limit where it does not fit.
        let elements = bytes.checked_div(per_element).unwrap_or_default();
        Ok(u32::try_from(elements).unwrap_or(u32::MAX))
    }

    fn sliding(&self) -> Result<Option<SlidingWindow>, FieldError> {
        match (self.dimension("sliding_window")?, self.dimension("sliding_layers")?) {
            (None, None) => Ok(None),
            (Some(window_tokens), Some(layers)) => Ok(Some(SlidingWindow { layers, window_tokens })),
            (Some(_), None) => Err(FieldError::new("sliding_layers", Problem::Missing)),
            (None, Some(_)) => Err(FieldError::new("sliding_window", Problem::Missing)),
        }
    }
}

/// The column that a field of [`ModelDims::new`] came from.
fn column_of(field: &'static str, attention: Attention) -> &'static str {
    match (field, attention) {
        ("layers", _) => "num_layers",
        ("kv_heads", _) => "num_kv_heads",
        // A latent without a rotary part is one that was derived, or is too small for it to matter.
        ("kv_lora_rank", Attention::Latent { rope_dim: 0, .. }) => "kv_bytes_per_token_fp16",
        ("rope_dim", _) => "qk_rope_head_dim",
        ("sliding.layers", _) => "sliding_layers",
        ("sliding.window_tokens", _) => "sliding_window",
        (other, _) => other,
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::{KvLayout, bytes_per_token};

    use super::*;

    const HEADER: &str = "model_id,num_layers,num_kv_heads,head_dim,attention,kv_bytes_per_token_fp16,kv_lora_rank,\
                          qk_rope_head_dim,sliding_window,sliding_layers\n";

    fn read(rows: &str) -> ModelTable {
        read_model_dims(format!("{HEADER}{rows}").as_bytes()).unwrap()
    }

    fn refusals(table: &ModelTable) -> Vec<String> {
        table.refused.iter().map(ToString::to_string).collect()
    }

    fn heads(layers: u32, kv_heads: u32, head_dim: u32, sliding: Option<SlidingWindow>) -> ModelDims {
        ModelDims::new(layers, Attention::Heads { kv_heads, head_dim }, sliding).unwrap()
    }

    fn latent(layers: u32, kv_lora_rank: u32, rope_dim: u32) -> ModelDims {
        ModelDims::new(layers, Attention::Latent { kv_lora_rank, rope_dim }, None).unwrap()
    }

    #[test]
    fn every_kind_of_row() {
        let rows = "a,32,8,128,gqa,,,,,\nb,32.0, 8 ,128.0,mha\nc,61,128,,mla,70272,,,,\nd,61,,,mla,,512,64,,\n\n\
                    \"e,f\",62,16,128,gqa,,,,1024,52\n";
        let table = read(rows);
        assert_eq!(refusals(&table), [""; 0]);
        let window = SlidingWindow { layers: 52, window_tokens: 1024 };
        let expected = [
            ("a", heads(32, 8, 128, None)),
            ("b", heads(32, 8, 128, None)),
            ("c", latent(61, 576, 0)),
            ("d", latent(61, 512, 64)),
            ("e,f", heads(62, 16, 128, Some(window))),
        ];
        assert_eq!(table.models, expected.map(|(id, dims)| (id.to_owned(), dims)).into());
        let bytes = ["c", "d"].map(|id| bytes_per_token(&table.models[id], KvLayout::default()));
        assert_eq!(bytes, [70_272; 2]);
    }

    #[test]
    fn bad_rows_are_reported_and_the_others_go_on() {
        let bad = [
            (",32,8,128,gqa", "model_id: required, but absent"),
            ("x,,8,128,gqa", "num_layers: required, but absent"),
            ("x,0,8,128,gqa", "num_layers: must be at least 1"),
            ("x,65536,8,128,gqa", "num_layers: above its limit: at most 65535"),
            ("x,4294967296,8,128,gqa", "num_layers: above its limit: at most 4294967295"),
            ("x,-1,8,128,gqa", "num_layers: must not be negative"),
            ("x,many,8,128,gqa", "num_layers: wrong type: expected a whole number"),
            ("x,32,8.5,128,gqa", "num_kv_heads: wrong type: expected a whole number"),
            ("x,32,8,,gqa", "head_dim: required, but absent"),
            ("x,32,8,128", "attention: required, but absent"),
            ("x,32,8,128,linear", "attention: malformed: expected mha, gqa, mqa or mla"),
            ("x,61,128,,mla", "kv_bytes_per_token_fp16: required, but absent"),
            ("x,61,128,,mla,70273", "kv_bytes_per_token_fp16: is no multiple of 2 bytes times num_layers"),
            ("x,0,128,,mla,70272", "kv_bytes_per_token_fp16: is no multiple of 2 bytes times num_layers"),
            ("x,61,128,,mla,0", "kv_bytes_per_token_fp16: must be at least 1"),
            ("x,1,128,,mla,9000000000000000000", "kv_bytes_per_token_fp16: above its limit: at most 65535"),
            ("x,61,128,,mla,70272,512", "qk_rope_head_dim: required, but absent"),
            ("x,61,128,,mla,70272,,64", "kv_lora_rank: required, but absent"),
            ("x,61,128,,mla,70272,512,65536", "qk_rope_head_dim: above its limit: at most 65535"),
            ("x,4,8,128,gqa,,,,1024", "sliding_layers: required, but absent"),
            ("x,4,8,128,gqa,,,,,2", "sliding_window: required, but absent"),
            ("x,4,8,128,gqa,,,,1024,5", "sliding_layers: above its limit: at most 4"),
            ("x,4,8,128,gqa,,,,0,2", "sliding_window: must be at least 1"),
        ];
        for (row, why) in bad {
            let table = read(&format!("a,32,8,128,gqa\n{row}\nb,32,8,128,gqa\n"));
            assert_eq!(refusals(&table), [format!("line 3: {why}")], "{row}");
            assert_eq!((table.models.len(), table.refused[0].model_id.is_some()), (2, row.starts_with('x')));
        }
        let long = read(&format!("{},1,1,1,mha\n", "m".repeat(129)));
        assert_eq!(refusals(&long), ["line 2: model_id: too long: at most 128 bytes"]);
        let bytes = [HEADER.as_bytes(), b"\xff,1,1,1,mha\nb,1,1,1,mha\n"].concat();
        let table = read_model_dims(&*bytes).unwrap();
        assert_eq!(
            (refusals(&table), table.models.len()),
            (vec!["line 2: model_id: malformed: expected UTF-8 text".to_owned()], 1)
        );
    }

    #[test]
    fn rows_that_disagree_are_all_refused() {
        let same = read("a,32,8,128,gqa\na,32,8,128,mha\n");
        assert_eq!((same.models.len(), same.refused.len()), (1, 0));
        let table = read("a,32,8,128,gqa\nb,1,1,1,mha\na,33,8,128,gqa\na,32,8,128,gqa\n");
        let lines: Vec<_> = table.refused.iter().map(|refused| (refused.line, refused.column)).collect();
        assert_eq!(lines, [(2, "model_id"), (4, "model_id"), (5, "model_id")]);
        assert!(table.refused.iter().all(|refused| refused.model_id.as_deref() == Some("a")));
        assert_eq!(table.models.keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn tables_that_cannot_be_used() {
        let why = |text: &str| read_model_dims(text.as_bytes()).unwrap_err().to_string();
        let names = "model_id, num_layers, num_kv_heads, head_dim, attention";
        assert_eq!(why(""), format!("is empty; the first line names the columns: {names}"));
        assert_eq!(why("model_id,x\n"), "has no column `num_layers`; found: model_id, x");
        assert_eq!(why("model_id,model_id\n"), "has the column `model_id` twice");
        assert!(matches!(read_model_dims(io::repeat(b'x')), Err(DimsFileError::TooLong)));
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_model_dims_file(folder.path()), Err(DimsFileError::Read(_))));
        let with_mark = format!("\u{feff}{HEADER}a,1,1,1,mha\r\n");
        assert_eq!(read_model_dims(with_mark.as_bytes()).unwrap().models.len(), 1);
    }
}
