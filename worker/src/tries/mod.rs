//! One try, wherever its task came from: parameters rendered, operator run, time limited, panics
//! caught, the end put into words.

mod prepared;
mod rendered;
mod run;
mod stop;

pub(crate) use prepared::{PreparedTask, TaskCache};
pub(crate) use run::{End, Ended, Try, not_run, run, run_in_scratch};
pub(crate) use stop::{StopCause, StopOrder};
