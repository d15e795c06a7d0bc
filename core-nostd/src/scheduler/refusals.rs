//! What pools were asked for in vain since something changed that could help.
//!
//! A queue that is full of one model's jobs asks the same question again and again, and gives up before it comes to the
//! jobs of another. So a refusal is remembered, by what was asked for: whoever asks for the same, or for more of it, would
//! be refused too. QUEUE-13.
//!
//! Invariant: pools only fill up while a refusal is remembered; what could help makes all of them forgotten.

use heapless::Vec;

use crate::hash::ContentHasher;
use crate::input::{PlacementMode, ValidJob};
use crate::values::index::position;

/// Refusals that are remembered at most: about as many as models share a queue, in 200 bytes.
const REFUSALS_MAX: usize = 12;
/// KV cache is counted in units of 2^16 bytes, so that all of it below 2^48 fits into 32 bits.
const KV_UNIT_BYTES: u64 = 1 << 16;

/// What a job asks of a pool, so far as it decides whether the pool may take the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Wants {
    /// Hash of everything that is compared for equality; 0 is not known.
    kind: u64,
    /// The context that follows from its tokens; 0 where another one was asked for, which is part of the kind.
    tokens: u32,
    kv_units: u32,
}

impl Wants {
    /// Of a job that nobody has asked for yet.
    pub(super) const UNKNOWN: Self = Self { kind: 0, tokens: 0, kv_units: 0 };

    /// `tokens` are those of its admission.
    pub(super) fn of(job: &ValidJob<'_>, tokens: u32) -> Self {
        let kv_units = job.facts().est_kv_bytes.div_ceil(KV_UNIT_BYTES);
        Self {
            // Of all hashes the one that stands for none becomes another.
            kind: kind_of(job).max(1),
            tokens: if job.spec().required_ctx.is_some() { 0 } else { tokens },
            // Bytes are below 2^48.
            kv_units: u32::try_from(kv_units).unwrap_or(u32::MAX),
        }
    }

    /// From what is kept of a waiting job.
    pub(super) const fn kept(kind: u64, tokens: u32, kv_units: u32) -> Self {
        Self { kind, tokens, kv_units }
    }

    pub(super) const fn kind(&self) -> u64 {
        self.kind
    }

    pub(super) const fn kv_units(&self) -> u32 {
        self.kv_units
    }

    /// The least that a job of this kind can want.
    pub(super) const fn least(&self) -> Self {
        Self { kind: self.kind, tokens: 0, kv_units: 0 }
    }

    /// Whether a pool that may not take a job with these may not take one with `others` either.
    const fn imply(&self, others: &Self) -> bool {
        self.kind == others.kind && self.tokens <= others.tokens && self.kv_units <= others.kv_units
    }
}

/// The refusals since something changed that could help.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<Wants, REFUSALS_MAX>);

impl Refusals {
    /// Something changed that could help.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Whether a job is known to be refused. O(refusals).
    pub(super) fn include(&self, wants: &Wants) -> bool {
        wants.kind != Wants::UNKNOWN.kind && self.0.iter().any(|refused| refused.imply(wants))
    }

    /// Remembers a refusal that is not known, in place of one that follows from it; where there is no room, not.
    pub(super) fn remember(&mut self, wants: Wants) {
        match self.0.iter_mut().find(|refused| wants.imply(refused)) {
            Some(weaker) => *weaker = wants,
            // Without room the next such job is asked for again.
            None => drop(self.0.push(wants)),
        }
    }
}

/// Hash of what [`Wants`] compares for equality: all that FEAS-1 to FEAS-23 read of a job but its tokens and its KV cache.
///
/// What a job leaves open is a bit, not a value: most jobs leave nearly everything open, and a microcontroller hashes too.
fn kind_of(job: &ValidJob<'_>) -> u64 {
    let spec = job.spec();
    let (needs, tuple, hints) = (&spec.requirements, &spec.determinism, &spec.placement);
    let pin = hints.pin_pool_id.filter(|_| job.mode() == PlacementMode::Pin);
    // Where others may serve, a preference rules nothing out.
    let is_bound = job.mode() == PlacementMode::Prefer && !hints.allow_fallback;
    let preferred = if is_bound { hints.prefer_pools } else { &[] };
    let texts = [
        needs.quantization,
        needs.min_compute_cap,
        needs.device_mask,
        tuple.sampler_profile_version,
        tuple.engine_version,
        tuple.model_digest,
        hints.require_device_mask,
        pin,
    ];
    let numbers = [spec.required_ctx, needs.split_degree, Some(needs.min_vram_bytes).filter(|&bytes| bytes > 0)];
    let lists = [needs.required_extensions, hints.avoid_pools, preferred];

    let mut hasher = ContentHasher::new("wants");
    let given = texts.iter().map(Option::is_some).chain(numbers.iter().map(Option::is_some));
    let given = given.chain(lists.iter().map(|list| !list.is_empty())).chain([!hints.require_labels.is_empty()]);
    hasher.int(given.fold(0, |bits, is_given| (bits << 1) | u64::from(is_given)));
    hasher.text_lowercase(spec.engine);
    hasher.text(spec.model_id);
    texts.into_iter().flatten().for_each(|text| hasher.text(text));
    // Both are checked: neither is negative.
    numbers.into_iter().flatten().for_each(|number| hasher.int(number.cast_unsigned()));
    for list in lists.into_iter().filter(|list| !list.is_empty()) {
        hasher.int(position(list.len()).into());
        list.iter().for_each(|text| hasher.text(text));
    }
    if !hints.require_labels.is_empty() {
        hasher.int(position(hints.require_labels.len()).into());
    }
    for (key, value) in hints.require_labels {
        hasher.text(key);
        hasher.text(value);
    }
    hasher.finish()
}
