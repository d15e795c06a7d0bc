//! What a driver told the scheduler, with its time, as bytes.

use super::job::decode_job;
use super::pool::decode_snapshot;
use super::reader::{DecodeError, DecodeProblem, Reader};
use super::scratch::Scratch;
use super::writer::{Encode, OutOfRoom, Sink};
use crate::scheduler::{CancelCause, FailureCause, Input};

coded_enum!(FailureCause { 0 => Engine, 1 => WorkerReset, 2 => DecodeTimeout });
coded_enum!(CancelCause { 0 => ClientRequest, 1 => Disconnect, 2 => Timeout, 3 => Admin });

const SNAPSHOT: u8 = 0;
const REMOVE_POOL: u8 = 1;
const DRAIN: u8 = 2;
const SUBMIT: u8 = 3;
const STARTED: u8 = 4;
const FIRST_TOKEN: u8 = 5;
const PROGRESS: u8 = 6;
const FINISHED: u8 = 7;
const FAILED: u8 = 8;
const CANCEL: u8 = 9;
const END_SESSION: u8 = 10;
const SET_POLICIES: u8 = 11;
const TICK: u8 = 12;

/// Writes an input and its time. RECORD-1.
///
/// # Errors
/// The sink has no room.
pub fn encode_input<S: Sink + ?Sized>(now_us: u64, input: &Input<'_>, sink: &mut S) -> Result<(), OutOfRoom> {
    (now_us, input).encode(sink)
}

/// Reads an input and its time that are all of `bytes`; its lists are in `scratch`.
///
/// # Errors
/// The bytes are no input, or its lists have more entries than the scratch has places.
pub fn with_input<'a, R>(
    bytes: &'a [u8],
    mut scratch: Scratch<'_, 'a>,
    read: impl FnOnce(u64, Input<'_>) -> R,
) -> Result<R, DecodeError> {
    let mut reader = Reader::new(bytes);
    let now_us = reader.take()?;
    match reader.take::<u8>()? {
        SNAPSHOT => {
            let snapshot = decode_snapshot(&mut reader, &mut scratch)?;
            reader.finish()?;
            Ok(read(now_us, Input::Snapshot(&snapshot)))
        }
        SUBMIT => {
            let job = decode_job(&mut reader, &mut scratch)?;
            reader.finish()?;
            Ok(read(now_us, Input::Submit(&job)))
        }
        SET_POLICIES => {
            let (placement, scheduler) = (reader.take()?, reader.take()?);
            reader.finish()?;
            Ok(read(now_us, Input::SetPolicies { placement: &placement, scheduler: &scheduler }))
        }
        tag => {
            let input = decode_small_input(tag, &mut reader)?;
            reader.finish()?;
            Ok(read(now_us, input))
        }
    }
}

impl Encode for Input<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        match self {
            Self::Snapshot(snapshot) => (SNAPSHOT, snapshot).encode(sink),
            Self::RemovePool { id, replica_id } => (REMOVE_POOL, id, replica_id).encode(sink),
            Self::Drain { id, replica_id, draining } => (DRAIN, id, replica_id, draining).encode(sink),
            Self::Submit(job) => (SUBMIT, job).encode(sink),
            Self::Started { job_id } => (STARTED, job_id).encode(sink),
            Self::FirstToken { job_id } => (FIRST_TOKEN, job_id).encode(sink),
            Self::Progress { job_id, tokens_out } => (PROGRESS, job_id, tokens_out).encode(sink),
            Self::Finished { job_id, tokens_out } => (FINISHED, job_id, tokens_out).encode(sink),
            Self::Failed { job_id, cause, tokens_out } => (FAILED, job_id, cause, tokens_out).encode(sink),
            Self::Cancel { job_id, cause } => (CANCEL, job_id, cause).encode(sink),
            Self::EndSession { session_id } => (END_SESSION, session_id).encode(sink),
            Self::SetPolicies { placement, scheduler } => (SET_POLICIES, placement, scheduler).encode(sink),
            Self::Tick => TICK.encode(sink),
        }
    }
}

/// Reads an input that borrows nothing but texts.
fn decode_small_input<'a>(tag: u8, reader: &mut Reader<'a>) -> Result<Input<'a>, DecodeError> {
    Ok(match tag {
        REMOVE_POOL => Input::RemovePool { id: reader.take()?, replica_id: reader.take()? },
        DRAIN => Input::Drain { id: reader.take()?, replica_id: reader.take()?, draining: reader.take()? },
        STARTED => Input::Started { job_id: reader.take()? },
        FIRST_TOKEN => Input::FirstToken { job_id: reader.take()? },
        PROGRESS => Input::Progress { job_id: reader.take()?, tokens_out: reader.take()? },
        FINISHED => Input::Finished { job_id: reader.take()?, tokens_out: reader.take()? },
        FAILED => Input::Failed { job_id: reader.take()?, cause: reader.take()?, tokens_out: reader.take()? },
        CANCEL => Input::Cancel { job_id: reader.take()?, cause: reader.take()? },
        END_SESSION => Input::EndSession { session_id: reader.take()? },
        TICK => Input::Tick,
        _ => return reader.fail(DecodeProblem::UnknownTag),
    })
}
