//! Texts of runs and tasks: logs, data, versions, and why something waits.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! tasks {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
            state: "State", "Status";
            operator: "Operator", "Operator";
            started: "Started", "Mulai";
            ended: "Ended", "Selesai";
            duration: "Duration", "Durasi";
            timeline: "Gantt", "Gantt";
            tries: "Tries", "Percobaan";
            try_label: "Try {}", "Percobaan {}";
            not_newest: "This is try {}, not the newest: its state, times, log and error. What a task handed on is kept of its newest try alone.", "Ini percobaan {}, bukan yang terbaru: status, waktu, log, dan galatnya. Yang diteruskan task hanya disimpan dari percobaan terbarunya.";
            to_newest: "Go to the newest try", "Ke percobaan terbaru";
            worker: "Worker", "Worker";
            triggered_by: "Triggered by", "Dijalankan oleh";
            logical_date: "Logical date", "Tanggal logis";
            cancel: "Cancel run", "Batalkan run";
            cancel_sure: "Cancel this run? Its running tasks are ended.", "Batalkan run ini? Task yang berjalan akan dihentikan.";
            clear: "Run again", "Jalankan ulang";
            clear_sure: "Run all tasks of this run again?", "Jalankan ulang semua task dari run ini?";
            clear_failed: "Run failed ones again", "Ulangi yang gagal";
            clear_task: "Run this task again", "Jalankan ulang task ini";
            clear_task_sure: "Run this task and those after it again?", "Jalankan ulang task ini dan task sesudahnya?";
            cancelled: "Cancelled: {}", "Dibatalkan: {}";
            cancelled_by: "Cancelled by {}", "Dibatalkan oleh {}";
            progress_done: "{} done", "{} selesai";

            log: "Log", "Log";
            no_log: "No log yet.", "Belum ada log.";
            log_earlier: "This is the end of a long log. Earlier lines are in the whole log:", "Ini akhir dari log yang panjang. Baris sebelumnya ada di log lengkap:";
            log_whole: "Whole log", "Log lengkap";
            log_download: "Download", "Unduh";
            find_in_log: "Find in log", "Cari di log";
            search_log: "Search all", "Cari di semua";
            hits_title: "Lines with “{}”", "Baris dengan “{}”";
            hits_none: "No line has it.", "Tidak ada baris yang memuatnya.";
            hits_go_on: "Go on after line {}", "Lanjutkan setelah baris {}";
            log_around: "These are the lines around line {}.", "Ini baris di sekitar baris {}.";
            log_to_end: "Go to the end of the log", "Ke akhir log";
            follow: "Follow", "Ikuti";
            error: "Error", "Galat";
            exit_code: "exit code {}", "kode keluar {}";
            settings: "Settings", "Pengaturan";
            rendered_fields: "Rendered fields", "Argumen setelah templat diisi";
            upstream: "Upstream", "Hulu";
            downstream: "Downstream", "Hilir";
            xcoms: "XComs", "XCom";
            xcom_large: "too large for this page; the API shows it", "terlalu besar untuk halaman ini; API menampilkannya";
            dataset: "Dataset {}", "Dataset {}";
            rows: "Rows", "Baris";
            size: "Size", "Ukuran";
            not_counted: "not counted yet", "belum dihitung";
            column: "Column", "Kolom";
            data_type: "Type", "Tipe";
            nulls: "Nulls", "Null";
            distinct: "Distinct", "Berbeda";
            smallest: "Smallest", "Terkecil";
            largest: "Largest", "Terbesar";
            what_errors_mean: "What these messages mean", "Arti pesan-pesan ini";
            preview: "First rows", "Baris pertama";
            rows_rejected: "{} rows were rejected.", "{} baris ditolak.";
            due: "Next try", "Percobaan berikut";
            more_actions: "More…", "Lainnya…";
            mark_as: "Mark as…", "Tandai sebagai…";
            mark_success: "Mark as success", "Tandai berhasil";
            mark_failed: "Mark as failed", "Tandai gagal";
            mark_skipped: "Mark as skipped", "Tandai dilewati";
            mark_run_sure: "Mark all tasks of this run as successful? Those that run are ended.", "Tandai semua task run ini berhasil? Yang berjalan akan dihentikan.";
            delete_run: "Delete run", "Hapus run";
            delete_run_sure: "Delete this run with its history and logs?", "Hapus run ini beserta riwayat dan lognya?";
            note_change: "Change the note", "Ubah catatan";
            save: "Save", "Simpan";
            versions: "Versions", "Versi";
            made: "Made", "Dibuat";
            all_versions: "All versions", "Semua versi";
            compare_before: "Compare with the one before", "Bandingkan dengan sebelumnya";
            compare: "Compare", "Bandingkan";
            compare_from: "From version", "Dari versi";
            compare_to: "to version", "ke versi";
            not_newest_version: "This is not the newest version.", "Ini bukan versi terbaru.";
            to_newest_version: "Go to the newest version", "Ke versi terbaru";
            difference: "From version {}", "Dari versi {}";
            no_difference: "Their sources are the same.", "Sumbernya sama.";
            why: "Why", "Mengapa";
            why_waits: "Why it waits", "Mengapa menunggu";
        }
    };
}
