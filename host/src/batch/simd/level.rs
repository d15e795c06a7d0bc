//! Which vector instructions: chosen at run time, all of them doing the same integer arithmetic.
//!
//! The loops are plain Rust; a level compiles them once more with its instructions enabled (`pulp`).

use std::fmt;

use pulp::NullaryFnOnce;

/// A set of vector instructions that this machine has.
#[derive(Debug, Clone, Copy)]
pub struct Level(Kind);

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// What every machine of the target has.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
}

impl Level {
    /// What every machine has that this program was compiled for.
    pub const BASELINE: Self = Self(Kind::Baseline);

    /// The levels of this machine, the widest last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "there is one level"))]
        let mut levels = vec![Self::BASELINE];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(pulp::x86::V3::try_new().map(|level| Self(Kind::Avx2(level))));
            levels.extend(pulp::x86::V4::try_new().map(|level| Self(Kind::Avx512(level))));
        }
        levels
    }

    /// The widest level of this machine.
    #[must_use]
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::BASELINE)
    }

    /// Runs `loops` with the level's instructions.
    pub(crate) fn run<F: NullaryFnOnce>(self, loops: F) -> F::Output {
        match self.0 {
            Kind::Baseline => loops.call(),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(level) => level.vectorize(loops),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(level) => level.vectorize(loops),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Baseline => std::env::consts::ARCH,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512",
        })
    }
}
