//! Entries: what a host may launch, and how it lays out the parameters.

/// Where one parameter lies among the bytes that a launch takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamLayout {
    /// Its first byte.
    pub offset: usize,
    /// Its length.
    pub bytes: usize,
    /// Its alignment, which its offset has.
    pub align: usize,
}

/// A kernel that a host may launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub(crate) name: String,
    pub(crate) function: u32,
    pub(crate) params: Vec<ParamLayout>,
    /// `.maxntid`, as the number of threads of a block.
    pub(crate) most_threads: Option<u32>,
    /// `.reqntid`.
    pub(crate) exact_block: Option<[u32; 3]>,
    /// Static shared variables: offset and bytes.
    pub(crate) shared: Vec<(usize, usize)>,
    pub(crate) shared_bytes: u32,
}

impl Entry {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its parameters in order.
    pub fn params(&self) -> &[ParamLayout] {
        &self.params
    }

    /// The length of all parameters together: what a launch takes.
    pub fn param_bytes(&self) -> usize {
        self.params.last().map_or(0, |last| last.offset + last.bytes)
    }

    /// Bytes of shared memory that it declares itself, besides what a launch adds.
    pub fn static_shared_bytes(&self) -> u32 {
        self.shared_bytes
    }
}
