//! Range checks that name the field they are about.

use crate::error::{FieldError, Problem};
use crate::limits::{BYTES_MAX, SLOTS_MAX, TOKENS_MAX};
use crate::values::capability::ComputeCapability;
use crate::values::device_mask::DeviceMask;
use crate::values::edge::{Rate, micros_from_millis};
use crate::values::text::{check_id, check_name};

/// An integer between 0 and `max`. UNIT-9.
pub(super) fn bounded(field: &'static str, value: i64, max: u64) -> Result<u64, FieldError> {
    let unsigned = u64::try_from(value).map_err(|_| FieldError::new(field, Problem::Negative))?;
    if unsigned > max { Err(FieldError::new(field, Problem::TooLarge { max })) } else { Ok(unsigned) }
}

/// A byte count. UNIT-3.
pub(super) fn bytes(field: &'static str, value: i64) -> Result<u64, FieldError> {
    bounded(field, value, BYTES_MAX)
}

/// A token count. UNIT-3.
pub(super) fn tokens(field: &'static str, value: i64) -> Result<u32, FieldError> {
    let checked = bounded(field, value, u64::from(TOKENS_MAX))?;
    // Bounded by TOKENS_MAX, so the conversion keeps every bit.
    Ok(u32::try_from(checked).unwrap_or(TOKENS_MAX))
}

/// A slot count. UNIT-3.
pub(super) fn slots(field: &'static str, value: i64) -> Result<u16, FieldError> {
    let checked = bounded(field, value, u64::from(SLOTS_MAX))?;
    // Bounded by SLOTS_MAX, so the conversion keeps every bit.
    Ok(u16::try_from(checked).unwrap_or(SLOTS_MAX))
}

/// A time in milliseconds, as microseconds. UNIT-1.
pub(super) fn time(field: &'static str, millis: f64) -> Result<u64, FieldError> {
    micros_from_millis(millis).map_err(|problem| FieldError::new(field, problem))
}

/// A rate in tokens per second; absent is unknown. UNIT-2.
pub(super) fn rate(field: &'static str, tokens_per_s: Option<f64>) -> Result<Rate, FieldError> {
    tokens_per_s.map_or(Ok(Rate::UNKNOWN), |value| {
        Rate::from_tokens_per_s(value).map_err(|problem| FieldError::new(field, problem))
    })
}

/// A compute capability, where there is one. UNIT-4.
pub(super) fn capability(field: &'static str, text: Option<&str>) -> Result<Option<ComputeCapability>, FieldError> {
    text.map(ComputeCapability::parse).transpose().map_err(|problem| FieldError::new(field, problem))
}

/// A device mask; absent is the empty set, which no mask on the wire can say. UNIT-6.
pub(super) fn mask(field: &'static str, text: Option<&str>) -> Result<DeviceMask, FieldError> {
    text.map_or(Ok(DeviceMask::EMPTY), DeviceMask::parse).map_err(|problem| FieldError::new(field, problem))
}

/// An id that must not be empty. UNIT-5.
pub(super) fn id(field: &'static str, text: &str) -> Result<(), FieldError> {
    check_id(text).map_err(|problem| FieldError::new(field, problem))
}

/// A name. UNIT-5.
pub(super) fn name(field: &'static str, text: &str) -> Result<(), FieldError> {
    check_name(text).map_err(|problem| FieldError::new(field, problem))
}

/// A name that may be absent. UNIT-5.
pub(super) fn optional_name(field: &'static str, text: Option<&str>) -> Result<(), FieldError> {
    text.map_or(Ok(()), |present| name(field, present))
}

/// A list of names of any length. UNIT-5.
pub(super) fn names(field: &'static str, list: &[&str]) -> Result<(), FieldError> {
    list.iter().try_for_each(|text| name(field, text))
}

/// A list of at most `max` entries. UNIT-7.
pub(super) fn at_most<T>(field: &'static str, list: &[T], max: usize) -> Result<(), FieldError> {
    if list.len() > max { Err(FieldError::new(field, Problem::TooMany { max })) } else { Ok(()) }
}

/// Labels: names on both sides, at most `max` of them, no key twice. UNIT-5, UNIT-7.
pub(super) fn labels(field: &'static str, list: &[(&str, &str)], max: usize) -> Result<(), FieldError> {
    at_most(field, list, max)?;
    for (position, (key, value)) in list.iter().enumerate() {
        name(field, key)?;
        name(field, value)?;
        if list.iter().skip(position.saturating_add(1)).any(|(other, _)| other == key) {
            return Err(FieldError::new(field, Problem::Repeated));
        }
    }
    Ok(())
}
