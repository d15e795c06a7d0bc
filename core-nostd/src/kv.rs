//! How many bytes of KV cache a context takes, from a model's dimensions and the engine's storage.
//!
//! A job that does not state its KV need gets this estimate (JOB-3), so that a pool is not chosen whose memory the
//! conversation outgrows. Rules: KV-1 and KV-2 of `docs/spec.md`.
//!
//! Invariants:
//! - the dimensions of a [`ModelDims`] are inside the limits that its constants name, and none but the rotary part of a
//!   latent is 0, so an estimate of 0 means a context of 0;
//! - an estimate is exact in integers or refused: nothing saturates or wraps on the way;
//! - an estimate never falls when the context grows.
//!
//! ```
//! use orchestrator_core::{Attention, KvFormat, KvLayout, ModelDims, est_kv_bytes};
//!
//! // Llama 3.1 8B: 32 layers, 8 KV heads of 128.
//! let dims = ModelDims::new(32, Attention::Heads { kv_heads: 8, head_dim: 128 }, None).unwrap();
//! assert_eq!(est_kv_bytes(&dims, KvLayout::default(), 8192), Ok(1 << 30));
//!
//! // The same with 8-bit blocks and pages of 16 tokens: 8,190 tokens fill 512 pages.
//! let layout = KvLayout { format: KvFormat::Q8_0, block_tokens: 16 };
//! assert_eq!(est_kv_bytes(&dims, layout, 8190), Ok(570_425_344));
//! ```

use crate::error::{FieldError, Problem};
use crate::limits::BYTES_MAX;

/// What a layer stores per token. KV-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Attention {
    /// A key and a value per KV head (MHA, GQA, MQA): `2 * kv_heads * head_dim` elements.
    Heads {
        /// KV heads: 1 to [`ModelDims::KV_HEADS_MAX`].
        kv_heads: u32,
        /// Elements per head: 1 to [`ModelDims::HEAD_DIM_MAX`].
        head_dim: u32,
    },
    /// One compressed latent (MLA): `kv_lora_rank + rope_dim` elements.
    Latent {
        /// Rank of the latent: 1 to [`ModelDims::LATENT_DIM_MAX`].
        kv_lora_rank: u32,
        /// Elements of the decoupled rotary key: 0 to [`ModelDims::LATENT_DIM_MAX`].
        rope_dim: u32,
    },
}

impl Attention {
    /// Elements per token and layer; below 2^33. KV-1.
    fn elements(self) -> u64 {
        // None of these saturates: see the limits' proof below.
        match self {
            Self::Heads { kv_heads, head_dim } => {
                2u64.saturating_mul(u64::from(kv_heads)).saturating_mul(u64::from(head_dim))
            }
            Self::Latent { kv_lora_rank, rope_dim } => u64::from(kv_lora_rank).saturating_add(u64::from(rope_dim)),
        }
    }
}

/// The layers of a model that keep only a window of the context. KV-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SlidingWindow {
    /// How many of the model's layers these are: 1 to its layers.
    pub layers: u32,
    /// Tokens that each of them keeps: at least 1.
    pub window_tokens: u32,
}

/// The dimensions of a model that its KV cache depends on. KV-1, KV-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModelDims {
    layers: u32,
    attention: Attention,
    sliding: Option<SlidingWindow>,
}

impl ModelDims {
    /// A model has at most this many layers.
    pub const LAYERS_MAX: u32 = 65_535;
    /// A layer has at most this many KV heads.
    pub const KV_HEADS_MAX: u32 = 65_535;
    /// A head has at most this many elements.
    pub const HEAD_DIM_MAX: u32 = 65_535;
    /// Each part of a latent has at most this many elements.
    pub const LATENT_DIM_MAX: u32 = 65_535;

    /// The dimensions of a model with `layers` layers that store KV, all of the same `attention`.
    ///
    /// # Errors
    ///
    /// The first field, in the order of the parameters, that is above its limit ([`Problem::TooLarge`]) or 0 where a
    /// model cannot have 0 ([`Problem::Contradiction`]; a table's 0 mostly means "not known", and would make an
    /// estimate of 0 bytes). Fields are named `layers`, `kv_heads`, `head_dim`, `kv_lora_rank`, `rope_dim`,
    /// `sliding.layers`, `sliding.window_tokens`.
    pub fn new(layers: u32, attention: Attention, sliding: Option<SlidingWindow>) -> Result<Self, FieldError> {
        at_least_1("layers", layers, Self::LAYERS_MAX)?;
        match attention {
            Attention::Heads { kv_heads, head_dim } => {
                at_least_1("kv_heads", kv_heads, Self::KV_HEADS_MAX)?;
                at_least_1("head_dim", head_dim, Self::HEAD_DIM_MAX)?;
            }
            Attention::Latent { kv_lora_rank, rope_dim } => {
                at_least_1("kv_lora_rank", kv_lora_rank, Self::LATENT_DIM_MAX)?;
                at_most("rope_dim", rope_dim, Self::LATENT_DIM_MAX)?;
            }
        }
        if let Some(window) = sliding {
            at_least_1("sliding.layers", window.layers, layers)?;
            at_least_1("sliding.window_tokens", window.window_tokens, u32::MAX)?;
        }
        Ok(Self { layers, attention, sliding })
    }

    /// Layers that store KV, those with a window among them.
    #[must_use]
    pub const fn layers(&self) -> u32 {
        self.layers
    }

    /// What each layer stores per token.
    #[must_use]
    pub const fn attention(&self) -> Attention {
        self.attention
    }

    /// The layers that keep only a window, if there are any.
    #[must_use]
    pub const fn sliding(&self) -> Option<SlidingWindow> {
        self.sliding
    }
}

// KV-1, KV-2: where the arithmetic below says it does not saturate.
const _: () = {
    let elements = 2 * (ModelDims::KV_HEADS_MAX as u64) * (ModelDims::HEAD_DIM_MAX as u64);
    assert!(elements < 1 << 33);
    assert!(2 * (ModelDims::LATENT_DIM_MAX as u64) < elements);
    // The largest block of a format has 34 bytes: elements in bytes, rounding included, are below 2^39.
    assert!(elements * 34 + 32 < 1 << 39);
    // A format has at most 4 bytes per element, so a token takes at most this over all layers.
    assert!(elements * 4 * (ModelDims::LAYERS_MAX as u64) < 1 << 51);
    // A context rounded up to whole blocks is below the context plus one block.
    let tokens = u32::MAX as u64 + u32::MAX as u64;
    assert!(tokens * (ModelDims::LAYERS_MAX as u64) < 1 << 49);
};

/// How an engine stores an element of KV. KV-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KvFormat {
    /// 4 bytes per element.
    F32,
    /// 2 bytes per element. The default.
    #[default]
    F16,
    /// 2 bytes per element.
    Bf16,
    /// 1 byte per element.
    Fp8,
    /// 1 byte per element.
    Int8,
    /// 34 bytes per 32 elements.
    Q8_0,
    /// 24 bytes per 32 elements.
    Q5_1,
    /// 22 bytes per 32 elements.
    Q5_0,
    /// 20 bytes per 32 elements.
    Q4_1,
    /// 18 bytes per 32 elements.
    Q4_0,
}

impl KvFormat {
    /// Every format, in the order of KV-1.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Fp8,
        Self::Int8,
        Self::Q8_0,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4_1,
        Self::Q4_0,
    ];

    /// Bytes of one block of [`block_elements`](Self::block_elements) elements: 1 to 34. KV-1.
    #[must_use]
    pub const fn block_bytes(self) -> u32 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Fp8 | Self::Int8 => 1,
            Self::Q8_0 => 34,
            Self::Q5_1 => 24,
            Self::Q5_0 => 22,
            Self::Q4_1 => 20,
            Self::Q4_0 => 18,
        }
    }

    /// Elements of one block: 1 or 32. KV-1.
    #[must_use]
    pub const fn block_elements(self) -> u32 {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 | Self::Fp8 | Self::Int8 => 1,
            Self::Q8_0 | Self::Q5_1 | Self::Q5_0 | Self::Q4_1 | Self::Q4_0 => 32,
        }
    }

    /// The format's name in lower case, such as `q8_0`. KV-1.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
            Self::Q8_0 => "q8_0",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
        }
    }

    /// The format of this name, without regard to ASCII case.
    ///
    /// # Errors
    ///
    /// [`Problem::Malformed`] for any other text.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Self::ALL
            .into_iter()
            .find(|format| format.name().eq_ignore_ascii_case(text))
            .ok_or(Problem::Malformed { expected: "one of f32, f16, bf16, fp8, int8, q8_0, q5_1, q5_0, q4_1, q4_0" })
    }

    /// Bytes of `elements` elements, the last block counted only as far as it is used: rounded up to a byte. KV-1.
    fn bytes(self, elements: u64) -> u64 {
        let block = u64::from(self.block_elements());
        // Neither saturates for the elements of a layer: below 2^39.
        let scaled = elements.saturating_mul(u64::from(self.block_bytes()));
        let rounded = scaled.saturating_add(block.saturating_sub(1));
        // A block is never empty, so there is a quotient.
        rounded.checked_div(block).unwrap_or(scaled)
    }
}

/// How an engine stores KV: the format of an element and the size of a page. KV-1, KV-2.
///
/// The default is f16, not paged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KvLayout {
    /// Format of an element.
    pub format: KvFormat,
    /// Tokens of a page, which is allocated as a whole; 1 (and 0) when the engine does not store KV in pages.
    pub block_tokens: u32,
}

impl KvLayout {
    /// Tokens that a layer has room for when it holds `tokens`: whole pages, below 2^33. KV-2.
    fn whole_blocks(self, tokens: u32) -> u64 {
        let tokens = u64::from(tokens);
        // There is no multiple of 0: not paged.
        tokens.checked_next_multiple_of(u64::from(self.block_tokens)).unwrap_or(tokens)
    }
}

impl Default for KvLayout {
    fn default() -> Self {
        Self { format: KvFormat::F16, block_tokens: 1 }
    }
}

/// KV bytes of a job with a context of `context_tokens`: the sum over the layers of the tokens each of them holds,
/// times its bytes per token. KV-1, KV-2.
///
/// # Errors
///
/// [`Problem::TooLarge`] for an estimate above [`BYTES_MAX`] (2^48 - 1).
pub fn est_kv_bytes(dims: &ModelDims, layout: KvLayout, context_tokens: u32) -> Result<u64, Problem> {
    let SlidingWindow { layers, window_tokens } =
        dims.sliding.unwrap_or(SlidingWindow { layers: 0, window_tokens: u32::MAX });
    // Exact: there are at most as many windowed layers as layers (`ModelDims::new`), and the sum of the products is at
    // most that of all layers and a whole context, below 2^49.
    let whole = u64::from(dims.layers.saturating_sub(layers)).saturating_mul(layout.whole_blocks(context_tokens));
    let windowed = u64::from(layers).saturating_mul(layout.whole_blocks(context_tokens.min(window_tokens)));
    whole
        .saturating_add(windowed)
        .checked_mul(bytes_per_layer(dims, layout))
        .filter(|bytes| *bytes <= BYTES_MAX)
        .ok_or(Problem::TooLarge { max: BYTES_MAX })
}

/// KV bytes of one token over all layers, where every layer holds it and pages are not counted. Below 2^51. KV-1.
///
/// ```
/// use orchestrator_core::{Attention, KvLayout, ModelDims, bytes_per_token};
///
/// // DeepSeek-V3: 61 layers with a latent of 512 and a rotary part of 64.
/// let dims = ModelDims::new(61, Attention::Latent { kv_lora_rank: 512, rope_dim: 64 }, None).unwrap();
/// assert_eq!(bytes_per_token(&dims, KvLayout::default()), 70_272);
/// ```
#[must_use]
pub fn bytes_per_token(dims: &ModelDims, layout: KvLayout) -> u64 {
    // Never saturates: below 2^16 layers times below 2^35 bytes.
    u64::from(dims.layers).saturating_mul(bytes_per_layer(dims, layout))
}

/// KV bytes of one token in one layer; below 2^35. KV-1.
fn bytes_per_layer(dims: &ModelDims, layout: KvLayout) -> u64 {
    layout.format.bytes(dims.attention.elements())
}

/// Refuses a value above its limit.
const fn at_most(field: &'static str, value: u32, max: u32) -> Result<(), FieldError> {
    if value > max { Err(FieldError::new(field, Problem::TooLarge { max: max as u64 })) } else { Ok(()) }
}

/// Refuses 0 and a value above its limit.
const fn at_least_1(field: &'static str, value: u32, max: u32) -> Result<(), FieldError> {
    if value == 0 {
        return Err(FieldError::new(field, Problem::Contradiction { why: "must be at least 1" }));
    }
    at_most(field, value, max)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    const F16: KvLayout = KvLayout { format: KvFormat::F16, block_tokens: 1 };

    fn heads(layers: u32, kv_heads: u32, head_dim: u32) -> ModelDims {
        ModelDims::new(layers, Attention::Heads { kv_heads, head_dim }, None).unwrap()
    }

    fn latent(layers: u32, kv_lora_rank: u32, rope_dim: u32) -> ModelDims {
        ModelDims::new(layers, Attention::Latent { kv_lora_rank, rope_dim }, None).unwrap()
    }

    // KV-1: bytes per token in f16, from the published configurations.
    #[test]
    fn known_models() {
        let table = [
            ("Llama 3.1 8B", heads(32, 8, 128), 131_072),
            ("Llama 3.1 70B", heads(80, 8, 128), 327_680),
            ("Llama 2 7B (MHA)", heads(32, 32, 128), 524_288),
            ("Qwen2.5 7B", heads(28, 4, 128), 57_344),
            ("Falcon 7B (MQA)", heads(32, 1, 64), 8_192),
            // 61 * (512 + 64) * 2.
            ("DeepSeek-V3 (MLA)", latent(61, 512, 64), 70_272),
        ];
        for (model, dims, bytes) in table {
            assert_eq!(bytes_per_token(&dims, F16), bytes, "{model}");
            assert_eq!(est_kv_bytes(&dims, F16, 1), Ok(bytes), "{model}");
            assert_eq!(est_kv_bytes(&dims, F16, 131_072), Ok(bytes * 131_072), "{model}");
            assert_eq!(est_kv_bytes(&dims, F16, 0), Ok(0), "{model}");
        }
        assert_eq!(KvLayout::default(), F16);
    }

    // KV-1: bytes of one layer, rounded up where the elements do not fill blocks.
    #[test]
    fn formats() {
        // Name, block, bytes of 2 * 8 * 128 = 2,048 elements and of 2 * 1 * 3 = 6.
        let table = [
            ("f32", 4, 1, 8192, 24),
            ("f16", 2, 1, 4096, 12),
            ("bf16", 2, 1, 4096, 12),
            ("fp8", 1, 1, 2048, 6),
            ("int8", 1, 1, 2048, 6),
            // 6 * 34 / 32 = 6.375.
            ("q8_0", 34, 32, 2176, 7),
            // 4.5, 4.125, 3.75, 3.375.
            ("q5_1", 24, 32, 1536, 5),
            ("q5_0", 22, 32, 1408, 5),
            ("q4_1", 20, 32, 1280, 4),
            ("q4_0", 18, 32, 1152, 4),
        ];
        assert_eq!(table.len(), KvFormat::ALL.len());
        for ((name, bytes, elements, of_2048, of_6), format) in table.into_iter().zip(KvFormat::ALL) {
            assert_eq!((format.name(), format.block_bytes(), format.block_elements()), (name, bytes, elements));
            assert_eq!(KvFormat::parse(name), Ok(format));
            assert_eq!(KvFormat::parse(&name.to_ascii_uppercase()), Ok(format));
            let layout = KvLayout { format, block_tokens: 1 };
            assert_eq!(bytes_per_token(&heads(1, 8, 128), layout), of_2048, "{name}");
            assert_eq!(bytes_per_token(&heads(1, 1, 3), layout), of_6, "{name}");
            // The rounding is per layer and token, not over the sum.
            assert_eq!(est_kv_bytes(&heads(10, 1, 3), layout, 10), Ok(of_6 * 100), "{name}");
        }
        for text in ["", "f64", "q8", "q8_0 ", " f16", "fp16", "q8-0", "ｆ16"] {
            assert!(matches!(KvFormat::parse(text), Err(Problem::Malformed { .. })), "{text:?}");
        }
    }

    // KV-2: Gemma 3 27B has 62 layers with 16 KV heads of 128; every sixth layer is global (10), the other 52 keep a
    // window of 1,024 tokens. A layer takes 2 * 16 * 128 * 2 = 8,192 bytes per token.
    // At 131,072 tokens: 10 * 131,072 * 8,192 = 10,737,418,240 and 52 * 1,024 * 8,192 = 436,207,616.
    #[test]
    fn sliding_windows() {
        let attention = Attention::Heads { kv_heads: 16, head_dim: 128 };
        let window = SlidingWindow { layers: 52, window_tokens: 1024 };
        let gemma = ModelDims::new(62, attention, Some(window)).unwrap();
        assert_eq!(bytes_per_token(&gemma, F16), 507_904);
        let table = [
            (0, 0),
            (1, 507_904),
            (1023, 1023 * 507_904),
            (1024, 1024 * 507_904),
            (1025, 1024 * 507_904 + 10 * 8192),
            (131_072, 10_737_418_240 + 436_207_616),
        ];
        for (context, bytes) in table {
            assert_eq!(est_kv_bytes(&gemma, F16, context), Ok(bytes), "{context}");
        }
        assert_eq!((gemma.layers(), gemma.attention(), gemma.sliding()), (62, attention, Some(window)));

        // All layers with a window.
        let all = ModelDims::new(2, attention, Some(SlidingWindow { layers: 2, window_tokens: 10 })).unwrap();
        assert_eq!(est_kv_bytes(&all, F16, u32::MAX), Ok(2 * 10 * 8192));
    }

    // KV-2: whole pages, of the window too.
    #[test]
    fn pages() {
        let dims = heads(1, 1, 1);
        let table =
            [(0, 16, 0), (1, 16, 16), (16, 16, 16), (17, 16, 32), (17, 1, 17), (17, 0, 17), (1, u32::MAX, u32::MAX)];
        for (context, block_tokens, tokens) in table {
            let layout = KvLayout { format: KvFormat::Fp8, block_tokens };
            assert_eq!(est_kv_bytes(&dims, layout, context), Ok(2 * u64::from(tokens)), "{context} by {block_tokens}");
        }
        let window = SlidingWindow { layers: 1, window_tokens: 20 };
        let dims = ModelDims::new(2, Attention::Heads { kv_heads: 1, head_dim: 1 }, Some(window)).unwrap();
        let layout = KvLayout { format: KvFormat::Fp8, block_tokens: 16 };
        // 100 tokens are 7 pages, a window of 20 is 2.
        assert_eq!(est_kv_bytes(&dims, layout, 100), Ok(2 * (112 + 32)));
    }

    // JOB-3: 2^48 bytes and more are refused, also where the product is above 2^64.
    #[test]
    fn estimates_at_their_limit() {
        let too_large = Err(Problem::TooLarge { max: BYTES_MAX });
        let layout = KvLayout { format: KvFormat::Int8, block_tokens: 1 };
        // 2^48 - 1 = 3 * 65,535 * 1,431,677,611.
        let dims = latent(3, 65_535, 0);
        assert_eq!(est_kv_bytes(&dims, layout, 1_431_677_611), Ok(BYTES_MAX));
        assert_eq!(est_kv_bytes(&dims, layout, 1_431_677_612), too_large);
        // 65,535 + 1 elements are 2^16 bytes; all tokens of a u32 in pages of 2^31 are 2^32: one byte too many.
        let dims = latent(1, 65_535, 1);
        assert_eq!(est_kv_bytes(&dims, layout, u32::MAX), Ok((1 << 48) - (1 << 16)));
        let paged = KvLayout { format: KvFormat::Int8, block_tokens: 1 << 31 };
        assert_eq!(est_kv_bytes(&dims, paged, u32::MAX), too_large);
        let huge = heads(ModelDims::LAYERS_MAX, ModelDims::KV_HEADS_MAX, ModelDims::HEAD_DIM_MAX);
        for format in KvFormat::ALL {
            for block_tokens in [1, u32::MAX] {
                assert_eq!(est_kv_bytes(&huge, KvLayout { format, block_tokens }, u32::MAX), too_large);
            }
        }
        let most = KvLayout { format: KvFormat::F32, block_tokens: 1 };
        assert_eq!(bytes_per_token(&huge, most), 65_535 * 65_535 * 65_535 * 8);
    }

    // KV-1, KV-2: each dimension at its limit, above it and at 0.
    #[test]
    fn dimensions_are_checked() {
        let ok = |layers, kv_heads, head_dim| {
            ModelDims::new(layers, Attention::Heads { kv_heads, head_dim }, None).map(|_| ())
        };
        let mla =
            |kv_lora_rank, rope_dim| ModelDims::new(1, Attention::Latent { kv_lora_rank, rope_dim }, None).map(|_| ());
        let window = |layers, window_tokens| {
            let attention = Attention::Heads { kv_heads: 1, head_dim: 1 };
            ModelDims::new(4, attention, Some(SlidingWindow { layers, window_tokens })).map(|_| ())
        };
        let large = |field, max| Err(FieldError::new(field, Problem::TooLarge { max }));
        let zero = |field| Err(FieldError::new(field, Problem::Contradiction { why: "must be at least 1" }));
        let table = [
            (ok(65_535, 65_535, 65_535), Ok(())),
            (ok(1, 1, 1), Ok(())),
            (ok(65_536, 1, 1), large("layers", 65_535)),
            (ok(1, 65_536, 1), large("kv_heads", 65_535)),
            (ok(1, 1, 65_536), large("head_dim", 65_535)),
            (ok(u32::MAX, u32::MAX, u32::MAX), large("layers", 65_535)),
            (ok(0, 1, 1), zero("layers")),
            (ok(1, 0, 1), zero("kv_heads")),
            (ok(1, 1, 0), zero("head_dim")),
            (mla(65_535, 65_535), Ok(())),
            (mla(1, 0), Ok(())),
            (mla(65_536, 0), large("kv_lora_rank", 65_535)),
            (mla(1, 65_536), large("rope_dim", 65_535)),
            (mla(0, 64), zero("kv_lora_rank")),
            (window(4, u32::MAX), Ok(())),
            (window(1, 1), Ok(())),
            (window(5, 1), large("sliding.layers", 4)),
            (window(0, 1), zero("sliding.layers")),
            (window(1, 0), zero("sliding.window_tokens")),
        ];
        for (place, (made, expected)) in table.into_iter().enumerate() {
            assert_eq!(made, expected, "case {place}");
        }
    }

    fn any_dims() -> impl Strategy<Value = ModelDims> {
        let attention = prop_oneof![
            (1..=65_535u32, 1..=65_535u32).prop_map(|(kv_heads, head_dim)| Attention::Heads { kv_heads, head_dim }),
            (1..=128u32, 1..=512u32).prop_map(|(kv_heads, head_dim)| Attention::Heads { kv_heads, head_dim }),
            (1..=65_535u32, 0..=65_535u32)
                .prop_map(|(kv_lora_rank, rope_dim)| Attention::Latent { kv_lora_rank, rope_dim }),
        ];
        (prop_oneof![1..=65_535u32, 1..=128u32], attention, any::<(bool, u32)>(), 1..=u32::MAX).prop_map(
            |(layers, attention, (has_window, some), window_tokens)| {
                let window = SlidingWindow { layers: some % layers + 1, window_tokens };
                ModelDims::new(layers, attention, has_window.then_some(window)).unwrap()
            },
        )
    }

    fn any_layout() -> impl Strategy<Value = KvLayout> {
        (proptest::sample::select(KvFormat::ALL.to_vec()), prop_oneof![0..64u32, any::<u32>()])
            .prop_map(|(format, block_tokens)| KvLayout { format, block_tokens })
    }

    proptest! {
        // KV-1, KV-2: the rule again, in 128 bits and layer by kind of layer.
        #[test]
        fn estimates_are_exact_or_refused(dims in any_dims(), layout in any_layout(), context in any::<u32>()) {
            let elements = match dims.attention() {
                Attention::Heads { kv_heads, head_dim } => 2 * u128::from(kv_heads) * u128::from(head_dim),
                Attention::Latent { kv_lora_rank, rope_dim } => u128::from(kv_lora_rank) + u128::from(rope_dim),
            };
            let per_layer = (elements * u128::from(layout.format.block_bytes()))
                .div_ceil(u128::from(layout.format.block_elements()));
            let page = u128::from(layout.block_tokens.max(1));
            let held = |tokens: u32| u128::from(tokens).div_ceil(page) * page;
            let windowed = dims.sliding().map_or(0, |window| window.layers);
            let window = dims.sliding().map_or(0, |window| window.window_tokens);
            let exact = per_layer
                * (u128::from(dims.layers() - windowed) * held(context)
                    + u128::from(windowed) * held(context.min(window)));
            let expected = u64::try_from(exact).ok().filter(|bytes| *bytes < 1 << 48);
            prop_assert_eq!(est_kv_bytes(&dims, layout, context).ok(), expected);
            prop_assert_eq!(u128::from(bytes_per_token(&dims, layout)), per_layer * u128::from(dims.layers()));
        }

        // KV-2: more context never takes less.
        #[test]
        fn estimates_are_monotonic(dims in any_dims(), layout in any_layout(), a in 0..1u32 << 25, b in 0..1u32 << 25) {
            let estimate = |context| est_kv_bytes(&dims, layout, context).unwrap_or(u64::MAX);
            prop_assert!(estimate(a.min(b)) <= estimate(a.max(b)));
        }
    }
}
