//! A pool's snapshot as bytes.

use super::flags::{Flags, encode_present};
use super::reader::{DecodeError, Reader};
use super::scratch::{Scratch, take_list};
use super::writer::{Encode, OutOfRoom, Sink};
use crate::input::{DeviceSnapshot, PoolSnapshot, PoolSupports, WarmSession};

coded_struct!(DeviceSnapshot<'a> { vram_total_bytes, vram_free_bytes, compute_capability });
coded_struct!(WarmSession<'a> { session_id, cached_tokens });

/// Writes a snapshot. Any snapshot can be written, also one that breaks a rule.
///
/// # Errors
/// The sink has no room.
pub fn encode_snapshot<S: Sink + ?Sized>(snapshot: &PoolSnapshot<'_>, sink: &mut S) -> Result<(), OutOfRoom> {
    snapshot.encode(sink)
}

impl Encode for PoolSnapshot<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self {
            id,
            replica_id,
            engine,
            engine_version,
            sampler_profile_version,
            slots_total,
            slots_free,
            vram_total_bytes,
            vram_free_bytes,
            compute_capability,
            perf_tokens_per_s,
            first_token_ms,
            prefill_tokens_per_s,
            admission_latency_ms,
            model_load_ms,
            age_ms,
            queue_depth,
            supports,
            resident_models,
            devices,
            device_mask,
            labels,
            warm_sessions,
            ready,
            draining,
        } = self;
        let texts = [*engine_version, *sampler_profile_version, *compute_capability, *device_mask];
        let measured = [*perf_tokens_per_s, *first_token_ms, *prefill_tokens_per_s];
        let [version, profile, capability, mask] = texts.map(|text| text.is_some());
        let [decode, first_token, prefill] = measured.map(|value| value.is_some());
        let resident = resident_models.is_some();
        Flags([*ready, *draining, version, profile, capability, mask, decode, first_token, prefill, resident])
            .encode(sink)?;
        (id, replica_id, engine).encode(sink)?;
        (slots_total, slots_free, vram_total_bytes, vram_free_bytes, queue_depth).encode(sink)?;
        (admission_latency_ms, model_load_ms, age_ms).encode(sink)?;
        encode_present(&texts, sink)?;
        encode_present(&measured, sink)?;
        encode_present(&[*resident_models], sink)?;
        (supports, devices, labels, warm_sessions).encode(sink)
    }
}

/// Reads a snapshot; its lists are in `scratch`.
///
/// # Errors
/// The bytes are no snapshot, or its lists have more entries than the scratch has places.
pub fn decode_snapshot<'s, 'a>(
    reader: &mut Reader<'a>,
    scratch: &mut Scratch<'s, 'a>,
) -> Result<PoolSnapshot<'s>, DecodeError> {
    let Flags([ready, draining, version, profile, capability, mask, decode, first_token, prefill, resident]) =
        reader.take()?;
    Ok(PoolSnapshot {
        ready,
        draining,
        id: reader.take()?,
        replica_id: reader.take()?,
        engine: reader.take()?,
        slots_total: reader.take()?,
        slots_free: reader.take()?,
        vram_total_bytes: reader.take()?,
        vram_free_bytes: reader.take()?,
        queue_depth: reader.take()?,
        admission_latency_ms: reader.take()?,
        model_load_ms: reader.take()?,
        age_ms: reader.take()?,
        engine_version: reader.take_if(version)?,
        sampler_profile_version: reader.take_if(profile)?,
        compute_capability: reader.take_if(capability)?,
        device_mask: reader.take_if(mask)?,
        perf_tokens_per_s: reader.take_if(decode)?,
        first_token_ms: reader.take_if(first_token)?,
        prefill_tokens_per_s: reader.take_if(prefill)?,
        resident_models: take_texts_if(resident, reader, scratch)?,
        supports: decode_supports(reader, scratch)?,
        devices: take_list(reader, &mut scratch.devices)?,
        labels: take_list(reader, &mut scratch.labels)?,
        warm_sessions: take_list(reader, &mut scratch.sessions)?,
    })
}

impl Encode for PoolSupports<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { quantizations, extensions, models, model_digests, ctx_max, min_compute_cap } = self;
        Flags([models.is_some(), ctx_max.is_some(), min_compute_cap.is_some()]).encode(sink)?;
        encode_present(&[*ctx_max], sink)?;
        encode_present(&[*min_compute_cap], sink)?;
        encode_present(&[*models], sink)?;
        (quantizations, extensions, model_digests).encode(sink)
    }
}

fn decode_supports<'s, 'a>(
    reader: &mut Reader<'a>,
    scratch: &mut Scratch<'s, 'a>,
) -> Result<PoolSupports<'s>, DecodeError> {
    let Flags([models, ctx_max, capability]) = reader.take()?;
    Ok(PoolSupports {
        ctx_max: reader.take_if(ctx_max)?,
        min_compute_cap: reader.take_if(capability)?,
        models: take_texts_if(models, reader, scratch)?,
        quantizations: take_list(reader, &mut scratch.texts)?,
        extensions: take_list(reader, &mut scratch.texts)?,
        model_digests: take_list(reader, &mut scratch.texts)?,
    })
}

/// Reads a list of texts that is there if `present`.
fn take_texts_if<'s, 'a>(
    present: bool,
    reader: &mut Reader<'a>,
    scratch: &mut Scratch<'s, 'a>,
) -> Result<Option<&'s [&'s str]>, DecodeError> {
    Ok(if present { Some(take_list(reader, &mut scratch.texts)?) } else { None })
}
