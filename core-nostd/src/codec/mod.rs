//! Inputs and outcomes as bytes: what the queue keeps of a waiting job, and what a recording holds.
//!
//! A waiting job must outlive the call that brought it, without an allocator: it is kept as bytes and read again when it
//! is its turn. A recording must be read by another build on another machine. Both use one form, little-endian and
//! written out byte by byte in `docs/recording.md`; a recording's header says which version of it. RECORD-1.
//!
//! ```
//! use orchestrator_core::JobSpec;
//! use orchestrator_core::codec::{Writer, encode_job, job_bytes, with_job};
//!
//! let mut job = JobSpec::new("job-1", "vllm", "some/model");
//! job.prompt_tokens = 700;
//!
//! let mut slot = [0; 128];
//! let mut writer = Writer::new(&mut slot);
//! encode_job(&job, &mut writer).expect("small enough");
//! assert_eq!(writer.written().len(), job_bytes(&job));
//! assert_eq!(with_job(writer.written(), |read| *read == job), Ok(true));
//! ```
//!
//! Invariants:
//! - different values have different bytes, and what was read has exactly the bytes it was read from: no value has two
//!   encodings (every NaN is one value);
//! - reading takes any bytes: it neither panics nor loops, and never reads more items than the scratch has places;
//! - texts are borrowed from the bytes; only lists need [`Scratch`].

/// Writes and reads a struct field by field, in this order.
macro_rules! coded_struct {
    ($type:ty { $($field:ident),+ $(,)? }) => {
        impl<'a> crate::codec::Encode for $type {
            fn encode<S: crate::codec::Sink + ?Sized>(&self, sink: &mut S) -> Result<(), crate::codec::OutOfRoom> {
                let Self { $($field),+ } = self;
                $($field.encode(sink)?;)+
                Ok(())
            }
        }

        impl<'a> crate::codec::Decode<'a> for $type {
            fn decode(reader: &mut crate::codec::Reader<'a>) -> Result<Self, crate::codec::DecodeError> {
                $(let $field = reader.take()?;)+
                Ok(Self { $($field),+ })
            }
        }
    };
}

/// Writes and reads an enum: the variant's byte, then its fields in this order.
macro_rules! coded_enum {
    ($type:ty { $($tag:literal => $variant:ident $({ $($field:ident),+ })? $(( $item:ident ))?),+ $(,)? }) => {
        impl<'a> crate::codec::Encode for $type {
            fn encode<S: crate::codec::Sink + ?Sized>(&self, sink: &mut S) -> Result<(), crate::codec::OutOfRoom> {
                match self {
                    $(Self::$variant $({ $($field),+ })? $(($item))? => {
                        sink.write(&[$tag])?;
                        $($($field.encode(sink)?;)+)?
                        $($item.encode(sink)?;)?
                        Ok(())
                    })+
                }
            }
        }

        impl<'a> crate::codec::Decode<'a> for $type {
            fn decode(reader: &mut crate::codec::Reader<'a>) -> Result<Self, crate::codec::DecodeError> {
                match reader.take::<u8>()? {
                    $($tag => {
                        $($(let $field = reader.take()?;)+)?
                        $(let $item = reader.take()?;)?
                        Ok(Self::$variant $({ $($field),+ })? $(($item))?)
                    })+
                    _ => reader.fail(crate::codec::DecodeProblem::UnknownTag),
                }
            }
        }
    };
}

mod flags;
mod input;
mod job;
mod outcome;
mod policy;
mod pool;
mod reader;
mod scratch;
mod writer;

pub use input::{encode_input, with_input};
pub(crate) use job::job_head;
pub use job::{decode_job, encode_job, job_bytes, with_job};
pub use outcome::{OutcomeItem, decode_item};
pub use policy::{decode_policy, decode_scheduler_policy, encode_policy, encode_scheduler_policy};
pub use pool::{decode_snapshot, encode_snapshot};
pub use reader::{DecodeError, DecodeProblem, Reader};
pub use scratch::Scratch;
pub use writer::{OutOfRoom, Sink, Writer};

pub(crate) use outcome::{ACTION_ITEM, ANSWER_ITEM, EVENT_ITEM};
pub(crate) use reader::Decode;
pub(crate) use writer::{Encode, Fixed, Raw, encoded_bytes};
