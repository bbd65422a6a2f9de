//! What states are called.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! states {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
            state_none: "no status", "belum ada";
            state_scheduled: "scheduled", "terjadwal";
            state_queued: "queued", "antre";
            state_running: "running", "berjalan";
            state_restarting: "restarting", "memulai ulang";
            state_up_for_retry: "up for retry", "akan diulang";
            state_up_for_reschedule: "up for reschedule", "akan dijadwal ulang";
            state_deferred: "deferred", "ditunda";
            state_awaiting_input: "awaiting input", "menunggu masukan";
            state_success: "success", "berhasil";
            state_failed: "failed", "gagal";
            state_skipped: "skipped", "dilewati";
            state_upstream_failed: "upstream failed", "hulu gagal";
            state_removed: "removed", "dihapus";
        }
    };
}
