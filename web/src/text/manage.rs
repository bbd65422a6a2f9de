//! Texts of what is kept (connections, pools, variables), workers, and the list of runs.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! manage {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
            connections: "Connections", "Koneksi";
            connection: "Connection", "Koneksi";
            connections_lead: "What tasks reach. Secrets are kept encrypted and shown nowhere.", "Yang dijangkau task. Rahasianya disimpan terenkripsi dan tidak ditampilkan di mana pun.";
            no_connections: "No connection yet.", "Belum ada koneksi.";
            connections_unread: "Where they lead is not shown: {}", "Tujuannya tidak ditampilkan: {}";
            name: "Name", "Nama";
            place: "Place", "Tempat";
            test: "Test", "Uji";
            works: "It works:", "Berfungsi:";
            works_not: "It does not work:", "Tidak berfungsi:";
            of_environment: "environment", "lingkungan";

            pools: "Pools", "Pool";
            pools_lead: "How many tasks may run at once beside the limits of their DAGs. A slot is taken from when a task is ready until it ends.", "Berapa banyak task boleh berjalan bersamaan di samping batas DAG-nya. Slot terpakai sejak task siap sampai selesai.";
            default_pool: "Tasks that name no pool.", "Task yang tidak menyebut pool.";
            slots: "Slots", "Slot";
            slots_used: "Slots taken", "Slot terpakai";
            slots_wanted: "Waiting", "Menunggu";
            wait: "wait", "menunggu";
            no_limit: "no limit", "tanpa batas";
            deferred_count: "Deferred count", "Hitung yang ditunda";
            yes: "yes", "ya";
            no: "no", "tidak";
            add_pool: "Add pool", "Tambah pool";
            change: "Change", "Ubah";
            changed: "Changed", "Diubah";
            description: "Description", "Keterangan";
            remove: "Remove", "Hapus";
            remove_sure: "Remove it? What names it from then on fails.", "Hapus? Yang memakainya sesudah itu akan gagal.";
            variables: "Variables", "Variabel";
            variables_lead: "Values that DAGs read as {{ var.value.NAME }}. They are kept encrypted; those whose names tell of a secret are not shown.", "Nilai yang dibaca DAG sebagai {{ var.value.NAMA }}. Disimpan terenkripsi; yang namanya menyiratkan rahasia tidak ditampilkan.";
            no_variables: "No variable.", "Tidak ada variabel.";
            add_variable: "Add variable", "Tambah variabel";
            variable_exists: "There is a variable {} already: change it in the list.", "Variabel {} sudah ada: ubah di daftar.";
            pool_exists: "There is a pool {} already: change it in the list.", "Pool {} sudah ada: ubah di daftar.";
            connection_exists: "There is a connection {} already: change it in the list.", "Koneksi {} sudah ada: ubah di daftar.";
            user_exists: "There is a user {} already.", "Pengguna {} sudah ada.";
            user_no_name: "“{}” cannot be a user name: use 1 to 100 letters, digits, “.”, “_”, “-” or “@”.", "“{}” tidak dapat menjadi nama pengguna: pakai 1 sampai 100 huruf, angka, “.”, “_”, “-” atau “@”.";
            secret: "secret", "rahasia";
            secret_stays: "left empty, it stays as it is", "dikosongkan berarti tetap";
            add_connection: "Add connection", "Tambah koneksi";
            change_title: "Change {}", "Ubah {}";
            host: "Host", "Host";
            port: "Port", "Port";
            database_name: "Database", "Basis data";
            login: "Login", "Login";
            extra: "More settings, as JSON", "Pengaturan lain, sebagai JSON";
            extra_hint: "Secrets are shown as ***; left so, they stay as they are.", "Rahasia ditampilkan sebagai ***; dibiarkan berarti tetap.";
            workers: "Workers", "Worker";
            no_workers: "No worker is joined: tasks wait. Start one with “subak worker --server …”.", "Belum ada worker: task menunggu. Jalankan dengan “subak worker --server …”.";
            queues: "Queues and slots", "Antrean dan slot";
            running_tasks: "Running tasks", "Task berjalan";
            server: "Server", "Server";
            since: "Since", "Sejak";
            drain: "Drain", "Kosongkan";
            drain_sure: "Let this worker take no more tasks? It ends when its running ones have; it does not come back by itself.", "Hentikan worker ini mengambil task baru? Ia berakhir setelah task-nya selesai, dan tidak kembali sendiri.";
            draining: "draining", "mengosongkan";
            import_errors: "Import errors", "Galat impor";
            import_errors_lead: "DAG files that do not parse. A DAG that was read from one before goes on.", "Berkas DAG yang tidak terbaca. DAG yang sebelumnya terbaca darinya tetap berjalan.";
            no_import_errors: "Every DAG file parses.", "Semua berkas DAG terbaca.";
            search_run: "Run id", "Id run";
            all_runs: "Runs of all DAGs", "Run semua DAG";
            all_states: "All states", "Semua status";
            all_types: "All run types", "Semua jenis run";
            run_type: "Run type", "Jenis run";
            type_scheduled: "scheduled", "terjadwal";
            type_manual: "manual", "manual";
            type_backfill: "backfill", "backfill";
            type_asset: "asset triggered", "dipicu aset";
            type_operator: "operator triggered", "dipicu operator";
            no_runs_match: "No run matches.", "Tidak ada run yang cocok.";
            pick_all: "Pick all", "Pilih semua";
            with_picked: "Do with those picked", "Lakukan pada yang dipilih";
            bulk_sure: "Do this with all runs that are picked?", "Lakukan ini pada semua run yang dipilih?";
            bulk_done: "Done with {} runs.", "Selesai untuk {} run.";
            bulk_none: "No run was picked.", "Tidak ada run yang dipilih.";
            trigger_again: "Trigger again", "Jalankan lagi";
            filled_from: "Filled in as in {}.", "Diisi seperti pada {}.";
            use_defaults: "Use the defaults", "Pakai nilai bawaan";
            wrap: "Wrap", "Lipat baris";
            zoom_in: "Larger", "Perbesar";
            zoom_out: "Smaller", "Perkecil";
        }
    };
}
