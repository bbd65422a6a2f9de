//! Texts around every page, of signing in, and of errors.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! frame {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
            language: "en", "id";
            other_language: "id", "en";
            other_language_name: "Bahasa Indonesia", "English";
            just_now: "just now", "baru saja";
            ago: "{} ago", "{} lalu";
            within: "in {}", "dalam {}";
            day: "d", "hari";
            internal: "something went wrong", "terjadi kesalahan";

            skip_to_content: "Skip to content", "Langsung ke isi";
            theme: "Light or dark", "Terang atau gelap";
            sign_out: "Sign out", "Keluar";
            sign_in: "Sign in", "Masuk";
            sign_in_lead: "One schedule, many channels, nothing spilled.", "Satu jadwal, banyak saluran, tak setetes pun tumpah.";
            sign_in_by_provider: "Sign in with your organisation", "Masuk dengan akun organisasi";
            bad_password: "user name and password do not fit", "nama pengguna dan kata sandi tidak cocok";
            bad_link: "this link was used before, or it is too old: ask for a new one", "tautan ini sudah dipakai atau terlalu lama: mintalah yang baru";
            too_many_sign_ins: "too many failed sign-ins: try again in {} s", "terlalu banyak percobaan masuk yang gagal: coba lagi dalam {} dtk";
            error_dag_not_found: "DAG not found", "DAG tidak ditemukan";
            error_run_not_found: "Run not found", "Run tidak ditemukan";
            error_task_not_found: "Task instance not found", "Instans task tidak ditemukan";
            error_not_found: "Not found", "Tidak ditemukan";
            error_method: "Method not allowed", "Metode tidak diizinkan";
            error_conflict: "Conflict", "Bentrok";
            error_request: "Invalid request", "Permintaan tidak sah";
            error_bad_request: "Bad request", "Permintaan keliru";
            error_sign_in_needed: "Sign-in needed", "Harus masuk dulu";
            error_sign_in: "Sign-in failed", "Gagal masuk";
            error_not_allowed: "Not allowed", "Tidak diizinkan";
            error_cross_site: "Request from another site", "Permintaan dari situs lain";
            error_too_many_sign_ins: "Too many sign-ins", "Terlalu banyak percobaan masuk";
            error_too_large: "Request too large", "Permintaan terlalu besar";
            error_timed_out: "Timed out", "Waktu habis";
            error_unavailable: "Unavailable", "Sedang tidak tersedia";
            error_internal: "Internal error", "Kesalahan internal";
            username: "User name", "Nama pengguna";
            password: "Password", "Kata sandi";
            sign_in_hint: "No account yet? An administrator makes one with “subak users add”.", "Belum punya akun? Administrator membuatnya dengan “subak users add”.";
            away: "Not connected: what is shown may be old. Trying again…", "Tidak tersambung: yang terlihat mungkin sudah lama. Mencoba lagi…";
            api: "REST API", "REST API";
            api_lead: "Airflow 3.3's paths and fields, and what Subak has beside them. A token comes from POST /auth/token.", "Alamat dan bidang dari Airflow 3.3, ditambah milik Subak sendiri. Token didapat dari POST /auth/token.";
            api_not_built: "not built yet", "belum dibuat";
            back_home: "Back to the first page", "Kembali ke halaman pertama";
        }
    };
}
