//! Texts of dead letters.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! letters {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
            dead_letters: "Dead letters", "Dead letter";
            no_letters: "No record was rejected.", "Tidak ada rekaman yang ditolak.";
            no_letters_match: "No dead letter matches.", "Tidak ada dead letter yang cocok.";
            search_reasons: "Search in reasons", "Cari dalam alasan";
            search_dag: "DAG id", "Id DAG";
            all_letters: "All dead letters", "Semua dead letter";
            record: "Record", "Rekaman";
            reasons: "Reasons", "Alasan";
            more_reasons: "and {} more", "dan {} lagi";
            rejected_at: "Rejected", "Ditolak";
            letter_of_topic: "{}, partition {}, offset {}", "{}, partisi {}, offset {}";
            letter_of_file: "{}, line {}", "{}, baris {}";
            record_bytes: "It is not UTF-8: these are its bytes.", "Bukan UTF-8: ini bita-bitanya.";
            record_cut: "Only the first {} are shown; the API has all of it.", "Hanya {} pertama yang ditampilkan; API memuat semuanya.";
            run_gone: "dropped", "sudah dihapus";
            state_open: "open", "terbuka";
            state_replayed: "replayed", "sudah diulang";
            state_superseded: "superseded", "tergantikan";
            replay: "Replay", "Ulangi";
            replay_these: "Replay open ones", "Ulangi yang terbuka";
            replay_sure: "Run the DAG on these records again? Each is put through once.", "Jalankan DAG lagi atas rekaman ini? Masing-masing diproses sekali.";
            replay_run: "Replayed by", "Diulang oleh";
            replay_of: "Rejected before", "Ditolak sebelumnya";
            replayed_as: "Rejected again", "Ditolak lagi";
            state_dismissed: "dismissed", "diabaikan";
            dismiss: "Dismiss", "Abaikan";
            dismiss_these: "Dismiss open ones", "Abaikan yang terbuka";
            dismiss_sure: "Dismiss these records? They are not put through again, and go with their runs.", "Abaikan rekaman ini? Rekaman tidak diproses lagi, dan hilang bersama run-nya.";
        }
    };
}
