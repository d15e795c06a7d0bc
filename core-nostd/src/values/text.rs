//! Ids and names: bounded text, checked once.
//!
//! Rule: UNIT-5. Ids are compared bytewise; engines and quantisations are folded to ASCII lower case before they are
//! compared, so a folded name stands for all its spellings.

use heapless::String;

use crate::error::Problem;
use crate::limits::{ID_BYTES_MAX, NAME_BYTES_MAX};

/// An id with its own storage: pool, replica, job or session. 65 bytes.
pub type Id = String<ID_BYTES_MAX, u8>;
/// A name with its own storage: engine, model, digest, label. 129 bytes.
pub type Name = String<NAME_BYTES_MAX, u8>;

/// Checks an id that must not be empty. UNIT-5.
pub(crate) const fn check_id(text: &str) -> Result<(), Problem> {
    if text.is_empty() { Err(Problem::Empty) } else { check_length(text, ID_BYTES_MAX) }
}

/// Checks an id that may be empty: a replica. UNIT-5.
pub(crate) const fn check_optional_id(text: &str) -> Result<(), Problem> {
    check_length(text, ID_BYTES_MAX)
}

/// Checks a name. UNIT-5.
pub(crate) const fn check_name(text: &str) -> Result<(), Problem> {
    if text.is_empty() { Err(Problem::Empty) } else { check_length(text, NAME_BYTES_MAX) }
}

const fn check_length(text: &str, max_bytes: usize) -> Result<(), Problem> {
    if text.len() > max_bytes { Err(Problem::TooLong { max_bytes }) } else { Ok(()) }
}

/// The text in ASCII lower case; `None` when it is longer than a name may be.
pub(crate) fn fold_case(text: &str) -> Option<Name> {
    let mut folded = Name::new();
    for character in text.chars() {
        folded.push(character.to_ascii_lowercase()).ok()?;
    }
    Some(folded)
}
