//! What goes wrong, on demand: `ORCHESTRATOR_STUB_FAULT` names one fault. Counts begin at 1.
//!
//! | fault | what happens |
//! |---|---|
//! | `no_device` | there is no device |
//! | `driver_mismatch` | the driver does not fit the system |
//! | `driver_version:N` | the driver is of this version: 1000 times the major one, 10 times the minor one |
//! | `bad_ptx` | every image is refused |
//! | `missing_function:NAME` | images are without this kernel |
//! | `out_of_memory_at:N` | there is no device memory from the N-th allocation on |
//! | `launch_failure_at:N` | the N-th launch fails, and with it the context |
//! | `wrong_result_at:N` | a bit of what the N-th copy to the host brings is another |
//! | `init_status:CODE` | the driver does not begin, and this status says why |
//! | `no_memory_pools` | the driver does not know what memory pools are |
//! | `event_failure_at:N` | the N-th record of an event fails, once |
//! | `status_at:N:CODE` | the N-th launch fails with this status of the driver, whatever it means |
//! | `device_lost_at:N` | the device is gone from the N-th launch on |

use std::env;

/// The fault of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    NoDevice,
    DriverMismatch,
    DriverVersion(i32),
    InitStatus(u32),
    BadPtx,
    NoMemoryPools,
    EventFailureAt(u64),
    MissingFunction(String),
    OutOfMemoryAt(u64),
    LaunchFailureAt(u64),
    WrongResultAt(u64),
    DeviceLostAt(u64),
    StatusAt(u64, u32),
}

impl Fault {
    /// The fault that the environment names; a name that is none must not pass for a driver without faults.
    pub(crate) fn of_environment() -> Result<Self, String> {
        let Ok(text) = env::var("ORCHESTRATOR_STUB_FAULT") else { return Ok(Self::None) };
        Self::parse(&text).ok_or_else(|| format!("ORCHESTRATOR_STUB_FAULT={text}: no such fault"))
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        Some(match name {
            "" => Self::None,
            "no_device" => Self::NoDevice,
            "driver_mismatch" => Self::DriverMismatch,
            "driver_version" => Self::DriverVersion(value.parse().ok()?),
            "init_status" => Self::InitStatus(value.parse().ok()?),
            "no_memory_pools" => Self::NoMemoryPools,
            "event_failure_at" => Self::EventFailureAt(value.parse().ok()?),
            "bad_ptx" => Self::BadPtx,
            "missing_function" => Self::MissingFunction(value.to_owned()),
            "out_of_memory_at" => Self::OutOfMemoryAt(value.parse().ok()?),
            "launch_failure_at" => Self::LaunchFailureAt(value.parse().ok()?),
            "wrong_result_at" => Self::WrongResultAt(value.parse().ok()?),
            "status_at" => {
                let (at, code) = value.split_once(':')?;
                Self::StatusAt(at.parse().ok()?, code.parse().ok()?)
            }
            "device_lost_at" => Self::DeviceLostAt(value.parse().ok()?),
            _ => return None,
        })
    }
}
