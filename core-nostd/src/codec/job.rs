//! A job as bytes: only what it says takes room, so that a usual one fits a queue's slot.

use super::flags::{Flags, encode_present};
use super::reader::{Decode, DecodeError, Reader};
use super::scratch::{Scratch, take_list};
use super::writer::{Encode, OutOfRoom, Sink, encoded_bytes};
use crate::input::{
    Budget, DeterminismSpec, JobSpec, KvHint, ModelRequirements, PlacementHints, PlacementMode, Priority,
};
use crate::limits::{EXTENSIONS_MAX, HINTS_MAX};

/// Names and ids that [`with_job`] has room for: those of the fullest job inside every limit.
const JOB_TEXTS_MAX: usize = 2 * HINTS_MAX + EXTENSIONS_MAX;
/// Jobs as most are: their lists have no more entries than bytes are left beside those of an empty job.
const SHORT_JOB_BYTES: usize = 48;
/// Bytes of a job with empty texts and without all that may be absent.
const EMPTY_JOB_BYTES: usize = 16;
/// A text takes at least the byte of its length.
const SHORT_JOB_TEXTS: usize = SHORT_JOB_BYTES - EMPTY_JOB_BYTES;
/// A label takes two texts.
const SHORT_JOB_LABELS: usize = SHORT_JOB_TEXTS / 2;

coded_enum!(Priority { 0 => Interactive, 1 => Batch });
coded_enum!(PlacementMode { 0 => Auto, 1 => Pin, 2 => Prefer });

/// Writes a job. Any job can be written, also one that breaks a rule.
///
/// # Errors
/// The sink has no room; [`job_bytes`] says how much is needed.
pub fn encode_job<S: Sink + ?Sized>(job: &JobSpec<'_>, sink: &mut S) -> Result<(), OutOfRoom> {
    job.encode(sink)
}

/// How many bytes [`encode_job`] writes. O(list entries).
#[must_use]
pub fn job_bytes(job: &JobSpec<'_>) -> usize {
    encoded_bytes(job)
}

/// Reads a job that is all of `bytes`, with room for 64 labels and 192 other list entries, as many as a valid job has.
///
/// `read` is called once, if at all. Takes about 5 KiB of stack on a machine of 64 bits for a job with lists of more than 48
/// bytes, and a fifth of that for others.
///
/// # Errors
/// The bytes are no job, or its lists have more entries.
pub fn with_job<R>(bytes: &[u8], mut read: impl FnMut(&JobSpec<'_>) -> R) -> Result<R, DecodeError> {
    if bytes.len() <= SHORT_JOB_BYTES {
        return with_room::<SHORT_JOB_TEXTS, SHORT_JOB_LABELS, R>(bytes, &mut read);
    }
    // Most jobs have no lists, and room for those of the fullest takes longer to lay out than such a job to read.
    with_room::<0, 0, R>(bytes, &mut read).or_else(|_| with_room::<JOB_TEXTS_MAX, HINTS_MAX, R>(bytes, &mut read))
}

#[inline(never)] // The frame of the longest jobs stays off the stack of the others.
fn with_room<const TEXTS: usize, const LABELS: usize, R>(
    bytes: &[u8],
    read: &mut impl FnMut(&JobSpec<'_>) -> R,
) -> Result<R, DecodeError> {
    // One by one: a pair of them would stand on the stack twice.
    let mut texts = [""; TEXTS];
    let mut labels = [("", ""); LABELS];
    let mut scratch = Scratch { texts: &mut texts, labels: &mut labels, ..Scratch::default() };
    let mut reader = Reader::new(bytes);
    let decoded = decode_job(&mut reader, &mut scratch);
    // By reference: a job is large, and moved it would stand on the stack twice.
    let job = decoded.as_ref().map_err(|error| *error)?;
    reader.finish()?;
    Ok(read(job))
}

/// Reads who a job is and how much it asks for, of bytes that begin with one: all but its requirements, its determinism,
/// its hints and its budget, which are as if it had none. Without room for lists, so it takes little stack.
///
/// # Errors
/// The bytes do not begin with a job.
pub(crate) fn job_head(bytes: &[u8]) -> Result<JobSpec<'_>, DecodeError> {
    decode_head(&mut Reader::new(bytes))
}

impl Encode for JobSpec<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self {
            id,
            engine,
            model_id,
            priority,
            prompt_tokens,
            expected_tokens,
            max_tokens,
            required_ctx,
            est_kv_bytes,
            session_id,
            tenant_id,
            kv_hint,
            deadline_ms,
            requirements,
            determinism,
            placement,
            budget,
        } = self;
        Flags([
            matches!(priority, Priority::Interactive),
            matches!(kv_hint, KvHint::Cold),
            expected_tokens.is_some(),
            max_tokens.is_some(),
            required_ctx.is_some(),
            est_kv_bytes.is_some(),
            session_id.is_some(),
            tenant_id.is_some(),
            deadline_ms.is_some(),
        ])
        .encode(sink)?;
        (id, engine, model_id, prompt_tokens).encode(sink)?;
        encode_present(&[expected_tokens, max_tokens, required_ctx, est_kv_bytes].map(|count| *count), sink)?;
        encode_present(&[*session_id, *tenant_id], sink)?;
        encode_present(&[*deadline_ms], sink)?;
        (requirements, determinism, placement, budget).encode(sink)
    }
}

/// Reads a job; its lists are in `scratch`.
///
/// # Errors
/// The bytes are no job, or its lists have more entries than the scratch has places.
pub fn decode_job<'s, 'a>(reader: &mut Reader<'a>, scratch: &mut Scratch<'s, 'a>) -> Result<JobSpec<'s>, DecodeError> {
    let mut job: JobSpec<'s> = decode_head(reader)?;
    job.requirements = decode_requirements(reader, scratch)?;
    job.determinism = reader.take()?;
    job.placement = decode_hints(reader, scratch)?;
    job.budget = reader.take()?;
    Ok(job)
}

fn decode_head<'a>(reader: &mut Reader<'a>) -> Result<JobSpec<'a>, DecodeError> {
    let Flags([interactive, cold, expected, max, ctx, kv, session, tenant, deadline]) = reader.take()?;
    Ok(JobSpec {
        priority: if interactive { Priority::Interactive } else { Priority::Batch },
        kv_hint: if cold { KvHint::Cold } else { KvHint::Reuse },
        id: reader.take()?,
        engine: reader.take()?,
        model_id: reader.take()?,
        prompt_tokens: reader.take()?,
        expected_tokens: reader.take_if(expected)?,
        max_tokens: reader.take_if(max)?,
        required_ctx: reader.take_if(ctx)?,
        est_kv_bytes: reader.take_if(kv)?,
        session_id: reader.take_if(session)?,
        tenant_id: reader.take_if(tenant)?,
        deadline_ms: reader.take_if(deadline)?,
        requirements: ModelRequirements::default(),
        determinism: DeterminismSpec::default(),
        placement: PlacementHints::default(),
        budget: Budget::default(),
    })
}

impl Encode for ModelRequirements<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { min_vram_bytes, quantization, min_compute_cap, device_mask, required_extensions, split_degree } =
            self;
        Flags([quantization.is_some(), min_compute_cap.is_some(), device_mask.is_some(), split_degree.is_some()])
            .encode(sink)?;
        min_vram_bytes.encode(sink)?;
        encode_present(&[*quantization, *min_compute_cap, *device_mask], sink)?;
        encode_present(&[*split_degree], sink)?;
        required_extensions.encode(sink)
    }
}

fn decode_requirements<'s, 'a>(
    reader: &mut Reader<'a>,
    scratch: &mut Scratch<'s, 'a>,
) -> Result<ModelRequirements<'s>, DecodeError> {
    let Flags([quantization, capability, mask, split]) = reader.take()?;
    Ok(ModelRequirements {
        min_vram_bytes: reader.take()?,
        quantization: reader.take_if(quantization)?,
        min_compute_cap: reader.take_if(capability)?,
        device_mask: reader.take_if(mask)?,
        split_degree: reader.take_if(split)?,
        required_extensions: take_list(reader, &mut scratch.texts)?,
    })
}

impl Encode for DeterminismSpec<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { seed, sampler_profile_version, engine_version, model_digest } = self;
        let versions = [*sampler_profile_version, *engine_version, *model_digest];
        let [profile, engine, digest] = versions.map(|version| version.is_some());
        Flags([seed.is_some(), profile, engine, digest]).encode(sink)?;
        encode_present(&[*seed], sink)?;
        encode_present(&versions, sink)
    }
}

impl<'a> Decode<'a> for DeterminismSpec<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let Flags([seed, profile, engine, digest]) = reader.take()?;
        Ok(Self {
            seed: reader.take_if(seed)?,
            sampler_profile_version: reader.take_if(profile)?,
            engine_version: reader.take_if(engine)?,
            model_digest: reader.take_if(digest)?,
        })
    }
}

impl Encode for PlacementHints<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { mode, pin_pool_id, prefer_pools, avoid_pools, require_device_mask, allow_fallback, require_labels } =
            self;
        Flags([*allow_fallback, mode.is_some(), pin_pool_id.is_some(), require_device_mask.is_some()]).encode(sink)?;
        encode_present(&[*mode], sink)?;
        encode_present(&[*pin_pool_id, *require_device_mask], sink)?;
        (prefer_pools, avoid_pools, require_labels).encode(sink)
    }
}

fn decode_hints<'s, 'a>(
    reader: &mut Reader<'a>,
    scratch: &mut Scratch<'s, 'a>,
) -> Result<PlacementHints<'s>, DecodeError> {
    let Flags([allow_fallback, mode, pin, mask]) = reader.take()?;
    Ok(PlacementHints {
        allow_fallback,
        mode: reader.take_if(mode)?,
        pin_pool_id: reader.take_if(pin)?,
        require_device_mask: reader.take_if(mask)?,
        prefer_pools: take_list(reader, &mut scratch.texts)?,
        avoid_pools: take_list(reader, &mut scratch.texts)?,
        require_labels: take_list(reader, &mut scratch.labels)?,
    })
}

impl Encode for Budget {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { tokens, time_ms, cost_micros } = self;
        Flags([tokens.is_some(), cost_micros.is_some(), time_ms.is_some()]).encode(sink)?;
        encode_present(&[*tokens, *cost_micros], sink)?;
        encode_present(&[*time_ms], sink)
    }
}

impl Decode<'_> for Budget {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let Flags([tokens, cost, time]) = reader.take()?;
        Ok(Self { tokens: reader.take_if(tokens)?, cost_micros: reader.take_if(cost)?, time_ms: reader.take_if(time)? })
    }
}
