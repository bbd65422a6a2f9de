//! Records on their way into librdkafka's queue, which is bounded.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::BaseRecord;

use crate::target::Writer;

/// Between two looks at a full queue.
const FULL: Duration = Duration::from_millis(50);

/// Why a record is not in the queue.
pub(crate) enum NotTaken {
    Cancelled,
    Refused(KafkaError),
}

/// Hands a record over; waits while the queue is full, unless that is cancelled. Blocks.
pub(crate) fn enqueue(
    producer: &Writer,
    mut record: BaseRecord<'_, [u8], [u8], usize>,
    is_cancelled: impl Fn() -> bool,
) -> Result<(), NotTaken> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, again)) if error.rdkafka_error_code() == Some(Code::QueueFull) => {
                if is_cancelled() {
                    return Err(NotTaken::Cancelled);
                }
                producer.poll(FULL);
                record = again;
            }
            Err((error, _)) => return Err(NotTaken::Refused(error)),
        }
    }
}
