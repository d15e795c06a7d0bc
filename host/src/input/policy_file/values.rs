//! TOML values as what knobs take.

use orchestrator_core::Order;
use toml::Value;

use crate::input::row_error::path_text;

/// A value for a message, short and printable.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", path_text("", text)),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

pub(super) fn order(value: &Value) -> Option<Order> {
    let name = value.as_str()?;
    Order::ALL.into_iter().find(|order| order.name() == name)
}

/// An integer; a whole decimal is one as well, as it is on the wire (UNIT-9).
pub(super) fn integer(value: &Value) -> Option<i64> {
    let whole = |float: f64| float.to_string().parse().ok();
    value.as_integer().or_else(|| whole(value.as_float()?))
}

/// An integer that a smaller type holds.
pub(super) fn narrow<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    T::try_from(integer(value)?).ok()
}

/// A number, written with a point or without.
#[expect(clippy::cast_precision_loss, reason = "an integer in a float's place is the nearest float, as in JSON")]
pub(super) fn float(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| Some(value.as_integer()? as f64))
}

/// A seed of 64 bits: TOML's integers end at 2^63 - 1, a text does not.
pub(super) fn seed(value: &Value) -> Option<u64> {
    if let Some(text) = value.as_str() {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let (digits, radix) = digits.map_or((text, 10), |digits| (digits, 16));
        // `from_str_radix` takes a sign; a seed has none.
        let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten();
    }
    u64::try_from(integer(value)?).ok()
}
