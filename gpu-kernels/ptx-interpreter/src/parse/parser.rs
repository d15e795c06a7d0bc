//! The state that all parsing shares: the cursor, the names, the program so far, what is still to be resolved.

use std::collections::{HashMap, HashSet};

use super::cursor::{Cursor, Parsed};
use super::names::Names;
use crate::entry::Entry;
use crate::program::{Call, Program};

/// A text on its way to a program.
pub(super) struct Parser<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) names: Names,
    pub(super) program: Program,
    pub(super) entries: Vec<Entry>,
    /// The opcodes of the program by their spelling.
    pub(super) opcodes: HashMap<String, u16>,
    /// Functions that have a body.
    pub(super) defined: HashSet<u32>,
    /// Calls to check once all functions are known.
    pub(super) calls_due: Vec<PendingCall>,
    /// Bytes of shared memory given addresses so far.
    pub(super) shared_bytes: usize,
    /// The line of the statement being parsed, for errors found behind it.
    pub(super) line: u32,
    pub(super) body: Body<'a>,
}

/// What is known of the function whose body is being parsed.
#[derive(Default)]
pub(super) struct Body<'a> {
    pub(super) function: u32,
    pub(super) labels: HashMap<&'a str, u32>,
    pub(super) tables: HashMap<&'a str, Vec<&'a str>>,
    pub(super) prototypes: HashMap<&'a str, Prototype>,
    /// Branches whose labels are not resolved: index of the instruction, its line, the labels.
    pub(super) labels_due: Vec<(usize, u32, Labels<'a>)>,
    pub(super) registers: Vec<String>,
    pub(super) param_bytes: usize,
    pub(super) local_bytes: usize,
    pub(super) local_spans: Vec<(usize, usize)>,
}

/// The sizes of what a call through a pointer gives and takes back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prototype {
    pub(super) results: Vec<usize>,
    pub(super) arguments: Vec<usize>,
}

/// Where a branch leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Labels<'a> {
    One(&'a str),
    Table(&'a str),
}

/// A call, for the check of its signature.
pub(super) struct PendingCall {
    pub(super) line: u32,
    pub(super) function: u32,
    pub(super) call: Call,
}

impl Body<'_> {
    /// Whether a label, a table or a prototype has this name.
    pub(super) fn has_label(&self, name: &str) -> bool {
        self.labels.contains_key(name) || self.tables.contains_key(name) || self.prototypes.contains_key(name)
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Parsed<Self> {
        let mut names = Names::default();
        names.open();
        Ok(Self {
            cursor: Cursor::new(text)?,
            names,
            program: Program::default(),
            entries: Vec::new(),
            opcodes: HashMap::new(),
            defined: HashSet::new(),
            calls_due: Vec::new(),
            shared_bytes: 0,
            line: 1,
            body: Body::default(),
        })
    }
}
