//! Room for the lists of a value that is read: texts are borrowed from the bytes, lists of them must be somewhere.

use core::mem::take;

use super::reader::{Decode, DecodeError, DecodeProblem, Reader};
use crate::input::{DeviceSnapshot, WarmSession};

/// Room for lists, shared by all lists of one value. Contents do not matter.
///
/// An entry takes at least a byte of the encoding, so that as many places as there are bytes always suffice.
#[derive(Debug, Default)]
pub struct Scratch<'s, 'a> {
    /// For lists of names and ids.
    pub texts: &'s mut [&'a str],
    /// For labels.
    pub labels: &'s mut [(&'a str, &'a str)],
    /// For a pool's devices.
    pub devices: &'s mut [DeviceSnapshot<'a>],
    /// For a pool's warm sessions.
    pub sessions: &'s mut [WarmSession<'a>],
}

/// Reads a list into the first places of `room`, which become its own.
pub(super) fn take_list<'s, 'a, T: Decode<'a>>(
    reader: &mut Reader<'a>,
    room: &mut &'s mut [T],
) -> Result<&'s [T], DecodeError> {
    let count = reader.take()?;
    let places = take(room);
    let max = places.len();
    let Some((list, others)) = places.split_at_mut_checked(count) else {
        return reader.fail(DecodeProblem::TooMany { max });
    };
    *room = others;
    for item in list.iter_mut() {
        *item = reader.take()?;
    }
    Ok(list)
}
