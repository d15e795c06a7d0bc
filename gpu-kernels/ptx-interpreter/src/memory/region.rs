//! Bytes with a mark each: outside every variable, not yet written, written.
//!
//! All state spaces are made of these. Invariant: a byte is readable only after something wrote it, and only inside of
//! a variable or an allocation.

/// Belongs to no variable.
const OUTSIDE: u8 = 0;
/// Belongs to a variable and holds nothing.
const UNWRITTEN: u8 = 1;
/// Holds a value.
const WRITTEN: u8 = 2;
/// Holds a value that the launch under way has stored.
const FRESH: u8 = 3;

/// Why bytes cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They belong to no variable, at least in part.
    Stray,
    /// Nothing wrote them, at least in part.
    Unwritten,
    /// The launch under way wrote them, at least in part, and the path is not coherent with it.
    Fresh,
}

/// A stretch of a state space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Region {
    start: u64,
    bytes: Vec<u8>,
    marks: Vec<u8>,
    /// Whether some byte may be marked fresh.
    fresh: bool,
}

impl Region {
    /// A region that is one variable, not yet written.
    pub(crate) fn unwritten(start: u64, bytes: usize) -> Self {
        Self { start, bytes: vec![0; bytes], marks: vec![UNWRITTEN; bytes], fresh: false }
    }

    /// A region of several variables, given as offsets and lengths, not yet written.
    pub(crate) fn of_spans(start: u64, spans: &[(usize, usize)]) -> Self {
        let mut region = Self { start, ..Self::default() };
        region.push_spans(0, spans);
        region
    }

    /// A region of several variables that hold these bytes.
    pub(crate) fn filled(start: u64, spans: &[(usize, usize)], bytes: &[u8]) -> Self {
        let mut region = Self::of_spans(start, spans);
        for &(offset, length) in spans {
            region.marks[offset..offset + length].fill(WRITTEN);
            region.bytes[offset..offset + length].copy_from_slice(&bytes[offset..offset + length]);
        }
        region
    }

    /// Appends variables whose offsets count from `base`, which is at or past the region's end.
    pub(crate) fn push_spans(&mut self, base: usize, spans: &[(usize, usize)]) {
        for &(offset, bytes) in spans {
            let end = base + offset + bytes;
            if end > self.bytes.len() {
                self.bytes.resize(end, 0);
                self.marks.resize(end, OUTSIDE);
            }
            self.marks[base + offset..end].fill(UNWRITTEN);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Drops everything from an offset on.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.bytes.truncate(bytes);
        self.marks.truncate(bytes);
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    #[inline]
    fn offset(&self, address: u64, bytes: usize) -> Result<usize, Refusal> {
        let offset = address.wrapping_sub(self.start);
        let inside = offset <= self.bytes.len() as u64 && bytes as u64 <= self.bytes.len() as u64 - offset;
        if inside { Ok(offset as usize) } else { Err(Refusal::Stray) }
    }

    /// The bytes at an address, all of them written.
    #[inline]
    pub(crate) fn read(&self, address: u64, bytes: usize) -> Result<&[u8], Refusal> {
        let offset = self.offset(address, bytes)?;
        let marks = &self.marks[offset..offset + bytes];
        if marks.iter().all(|mark| *mark >= WRITTEN) {
            return Ok(&self.bytes[offset..offset + bytes]);
        }
        Err(if marks.contains(&OUTSIDE) { Refusal::Stray } else { Refusal::Unwritten })
    }

    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.write_marked(address, bytes, WRITTEN)
    }

    #[inline]
    fn write_marked(&mut self, address: u64, bytes: &[u8], mark: u8) -> Result<(), Refusal> {
        let offset = self.offset(address, bytes.len())?;
        let marks = &mut self.marks[offset..offset + bytes.len()];
        if marks.contains(&OUTSIDE) {
            return Err(Refusal::Stray);
        }
        marks.fill(mark);
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// A number of one, two, four or eight bytes.
    #[inline]
    pub(crate) fn load(&self, address: u64, bytes: usize) -> Result<u64, Refusal> {
        match bytes {
            1 => self.load_exact::<1>(address),
            2 => self.load_exact::<2>(address),
            4 => self.load_exact::<4>(address),
            _ => self.load_exact::<8>(address),
        }
    }

    /// A length that the compiler knows makes this a few instructions.
    #[inline]
    fn load_exact<const N: usize>(&self, address: u64) -> Result<u64, Refusal> {
        let read = self.read(address, N)?;
        let mut number = [0; 8];
        number[..N].copy_from_slice(&read[..N]);
        Ok(u64::from_le_bytes(number))
    }

    /// The low one, two, four or eight bytes of a number.
    #[inline]
    pub(crate) fn store(&mut self, address: u64, bytes: usize, value: u64) -> Result<(), Refusal> {
        let number = value.to_le_bytes();
        self.fresh = true;
        match bytes {
            1 => self.write_marked(address, &number[..1], FRESH),
            2 => self.write_marked(address, &number[..2], FRESH),
            4 => self.write_marked(address, &number[..4], FRESH),
            _ => self.write_marked(address, &number, FRESH),
        }
    }

    /// Refuses bytes that the launch under way has stored.
    pub(crate) fn settled(&self, address: u64, bytes: usize) -> Result<(), Refusal> {
        let offset = self.offset(address, bytes)?;
        let fresh = self.marks[offset..offset + bytes].contains(&FRESH);
        if fresh { Err(Refusal::Fresh) } else { Ok(()) }
    }

    /// The launch under way has ended: what it stored is as good as what was there before.
    pub(crate) fn settle(&mut self) {
        if !std::mem::take(&mut self.fresh) {
            return;
        }
        for mark in self.marks.iter_mut().filter(|mark| **mark == FRESH) {
            *mark = WRITTEN;
        }
    }

    /// Copies bytes with their marks: what is not written stays so.
    pub(crate) fn copy_from(&mut self, to: usize, source: &Self, from: usize, bytes: usize) {
        self.bytes[to..to + bytes].copy_from_slice(&source.bytes[from..from + bytes]);
        self.marks[to..to + bytes].copy_from_slice(&source.marks[from..from + bytes]);
    }
}
