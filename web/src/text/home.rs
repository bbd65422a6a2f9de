//! Texts of the first page.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! home {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
            home: "Home", "Beranda";
            health: "Health", "Kesehatan";
            well: "well", "baik";
            amiss: "amiss", "bermasalah";
            goes_on: "Running now", "Sedang berjalan";
            has_failed: "Failed in the last day", "Gagal sehari terakhir";
            late: "Late", "Terlambat";
            nothing_runs: "Nothing runs.", "Tidak ada yang berjalan.";
            nothing_failed: "Nothing failed.", "Tidak ada yang gagal.";
            nothing_late: "Everything is on time.", "Semua tepat waktu.";
            was_due: "due", "jatuh tempo";
            runs_wait: "{} runs wait for their turn", "{} run menunggu giliran";
            count_running: "running", "berjalan";
            count_waiting: "waiting", "menunggu";
            count_failed: "failed, 24 h", "gagal, 24 jam";
            count_success: "succeeded, 24 h", "berhasil, 24 jam";
            count_late: "late", "terlambat";
            count_rejected: "open dead letters", "dead letter terbuka";
            database: "Database", "Basis data";
            scheduler: "Scheduler", "Penjadwal";
            upkeep: "Upkeep", "Pemeliharaan";
            dag_files: "DAG files", "Berkas DAG";
            answers: "answers", "menjawab";
            answers_not: "does not answer", "tidak menjawab";
            makes_progress: "makes progress", "berjalan lancar";
            makes_no_progress: "makes no progress", "tidak bergerak";
            keeps_up: "keeps up", "terkendali";
            strained: "old snapshots or dead rows hold it up: see the server's log", "terhambat snapshot lama atau baris mati: lihat log server";
            workers_joined: "{} joined", "{} bergabung";
            files_parse: "all parse", "semua terbaca";
            files_broken: "{} do not parse", "{} tidak terbaca";
            folder_read: "the folder is watched, read", "folder dipantau, dibaca";
            folder_not_read: "the folder is not read any more (see the server's log), last", "folder tidak lagi dibaca (lihat log server), terakhir";
            folder_none: "this server watches no folder", "server ini tidak memantau folder";
        }
    };
}
