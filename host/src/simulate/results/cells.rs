//! Numbers as the cells of tables show them: shares in %, times in ms, `-` where there is none.

use super::Distribution;

const NONE: &str = "-";

/// A load, as a factor.
pub(crate) fn factor(load_permille: u32) -> String {
    let text = format!("{}.{:03}", load_permille / 1000, load_permille % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A share, in %.
pub(in crate::simulate) fn percent(permille: u64) -> String {
    format!("{}.{}", permille / 10, permille % 10)
}

/// A share, where there is one.
pub(in crate::simulate) fn percent_or_none(permille: Option<u64>) -> String {
    permille.map_or_else(|| NONE.to_owned(), percent)
}

/// A percentile, in ms, rounded up.
pub(in crate::simulate) fn milliseconds(times: &Distribution, permille: u32) -> String {
    times.permille(permille).map_or_else(|| NONE.to_owned(), |time_us| time_us.div_ceil(1000).to_string())
}

/// A percentile of signed errors, in ms, rounded away from 0: what looks exact is.
pub(in crate::simulate) fn signed_milliseconds(errors: &Distribution<i64>, permille: u32) -> String {
    let Some(error_us) = errors.permille(permille) else { return NONE.to_owned() };
    let (sign, size_ms) = (if error_us < 0 { "-" } else { "" }, error_us.unsigned_abs().div_ceil(1000));
    format!("{sign}{size_ms}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        assert_eq!((percent(0), percent(57), percent(1000)), ("0.0".into(), "5.7".into(), "100.0".into()));
        assert_eq!([1, 500, 1250, 10_000].map(factor), ["0.001", "0.5", "1.25", "10"]);
        assert_eq!(percent_or_none(None), "-");
        let times = Distribution::from_iter([1001, 2000]);
        assert_eq!((milliseconds(&times, 500), milliseconds(&times, 1000)), ("2".into(), "2".into()));
        assert_eq!(milliseconds(&Distribution::default(), 500), "-");
        let errors = Distribution::from_iter([-1001, 0, 1]);
        assert_eq!([1, 500, 1000].map(|permille| signed_milliseconds(&errors, permille)), ["-2", "0", "1"]);
        assert_eq!(signed_milliseconds(&Distribution::default(), 500), "-");
    }
}
