//! Yes-or-no facts, a bit each, where there are many of them.

/// A set of flags in 16 bits, or in 8.
macro_rules! flag_set {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($flags:tt)* }) => {
        flag_set! { $(#[$doc])* $vis $name: u16 { $($flags)* } }
    };
    ($(#[$doc:meta])* $vis:vis $name:ident: $bits:ty { $($(#[$flag_doc:meta])* $flag:ident = $bit:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(transparent)]
        $vis struct $name($bits);

        impl $name {
            /// No flag.
            $vis const EMPTY: Self = Self(0);
            $($(#[$flag_doc])* $vis const $flag: Self = Self(1 << $bit);)+

            /// Whether all flags of `other` are set.
            #[inline]
            #[must_use]
            $vis const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Sets or clears `other`.
            $vis const fn set(&mut self, other: Self, value: bool) {
                if value {
                    self.0 |= other.0;
                } else {
                    self.0 &= !other.0;
                }
            }
        }
    };
}
pub(crate) use flag_set;
