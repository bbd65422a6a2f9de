//! Texts of the grid, the audit log, users and tokens.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! accounts {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
            grid: "Grid", "Kisi";
            audit: "Audit log", "Catatan audit";
            no_audit: "Nothing on record yet.", "Belum ada catatan.";
            at: "When", "Kapan";
            event: "Event", "Kejadian";
            about: "About", "Tentang";
            details: "Details", "Rincian";
            subject: "subject", "subjek";
            before: "before", "sebelum";
            after: "after", "sesudah";
            request: "request", "permintaan";
            manage: "Manage", "Kelola";
            users: "Users", "Pengguna";
            role: "Role", "Peran";
            grants: "For single DAGs", "Untuk DAG tertentu";
            grant: "Grant", "Beri hak";
            all_grants: "All of them", "Semuanya";
            no_grants: "Nothing is granted for single DAGs.", "Tidak ada hak untuk DAG tertentu.";
            take_away: "Take away", "Cabut";
            kind: "Kind", "Jenis";
            new_link: "Sign-in link", "Tautan masuk";
            link_for: "Signs in once, within a day:", "Untuk masuk sekali, dalam sehari:";
            disable: "Disable", "Nonaktifkan";
            disabled: "disabled", "nonaktif";
            enable: "Enable", "Aktifkan";
            disable_sure: "Disable this user? Their sessions and tokens end at once.", "Nonaktifkan pengguna ini? Sesi dan tokennya langsung berakhir.";
            add_user: "Add user", "Tambah pengguna";
            tokens: "API tokens", "Token API";
            tokens_lead: "Programs send one as “Authorization: Bearer …”. A token may do what its user may, or less.", "Program mengirimnya sebagai “Authorization: Bearer …”. Token boleh melakukan apa yang boleh dilakukan penggunanya, atau kurang.";
            token_once: "The token, shown this once:", "Tokennya, hanya ditampilkan sekali ini:";
            no_tokens: "No token yet.", "Belum ada token.";
            scope: "May at most", "Paling banyak";
            expires: "Expires", "Berakhir";
            last_used: "Last used", "Terakhir dipakai";
            never: "never", "tidak pernah";
            revoke: "Revoke", "Cabut";
            revoke_sure: "Revoke this token? Whoever uses it is refused at once.", "Cabut token ini? Pemakainya langsung ditolak.";
            add_token: "Make a token", "Buat token";
        }
    };
}
