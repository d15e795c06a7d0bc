//! Numbers drawn from the distributions that a table of clients names.
//!
//! Floats, with `libm` for every function that a platform may round in its own way, so that a seed gives the same trace
//! on every machine.

use crate::random::Random;

/// How the times between a client's requests spread; only the shape matters, for the rate is the table's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pattern {
    Gamma { shape: f64 },
    Weibull { shape: f64 },
}

impl Pattern {
    /// One time between two requests, up to a common factor.
    pub(super) fn gap(self, random: &mut Random) -> f64 {
        match self {
            Self::Gamma { shape } => gamma(shape, random),
            Self::Weibull { shape } => libm::pow(-libm::log(unit(random)), 1.0 / shape),
        }
    }
}

/// A number above 0 and up to 1, in steps of 2^-53.
fn unit(random: &mut Random) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    ((random.number() >> 11) + 1) as f64 * STEP
}

/// Box and Muller.
fn normal(random: &mut Random) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(unit(random)));
    radius * libm::cos(std::f64::consts::TAU * unit(random))
}

/// Marsaglia and Tsang, "A simple method for generating gamma variables" (2000), with their step for shapes below 1.
fn gamma(shape: f64, random: &mut Random) -> f64 {
    if shape < 1.0 {
        return gamma(shape + 1.0, random) * libm::pow(unit(random), 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(random);
        let base = 1.0 + c * x;
        if base > 0.0 {
            let v = base * base * base;
            if libm::log(unit(random)) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of many gaps, as the theory of the distribution has them, within five standard errors.
    #[test]
    fn moments() {
        let gamma_of = |z: f64| libm::tgamma(z);
        let weibull = |k: f64| {
            let mean = gamma_of(1.0 + 1.0 / k);
            (mean, gamma_of(1.0 + 2.0 / k) - mean * mean)
        };
        let cases = [
            (Pattern::Gamma { shape: 0.4 }, (0.4, 0.4)),
            (Pattern::Gamma { shape: 1.0 }, (1.0, 1.0)),
            (Pattern::Gamma { shape: 7.5 }, (7.5, 7.5)),
            (Pattern::Weibull { shape: 0.8 }, weibull(0.8)),
            (Pattern::Weibull { shape: 1.0 }, (1.0, 1.0)),
            (Pattern::Weibull { shape: 3.0 }, weibull(3.0)),
        ];
        const COUNT: u32 = 200_000;
        for (pattern, (mean, variance)) in cases {
            let mut random = Random::of(7, 0);
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..COUNT {
                let gap = pattern.gap(&mut random);
                assert!(gap >= 0.0 && gap.is_finite(), "{pattern:?}");
                sum += gap;
                squares += (gap - mean) * (gap - mean);
            }
            let count = f64::from(COUNT);
            let error = libm::sqrt(variance / count);
            assert!((sum / count - mean).abs() < 5.0 * error, "{pattern:?}: mean {} for {mean}", sum / count);
            // The fourth moments of these shapes keep the variance's error below 3 %.
            assert!((squares / count / variance - 1.0).abs() < 0.03, "{pattern:?}: {}", squares / count);
        }
    }
}
