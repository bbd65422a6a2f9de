//! All texts of the pages, one table a language.

macro_rules! texts {
    ($($name:ident: $english:literal, $indonesian:literal;)*) => {
        /// The texts of one language. `{}` stands for a value.
        #[derive(Debug, PartialEq, Eq)]
        pub struct Text {
            $(pub $name: &'static str,)*
        }

        /// English.
        pub static ENGLISH: Text = Text { $($name: $english,)* };

        /// Indonesian.
        pub static INDONESIAN: Text = Text { $($name: $indonesian,)* };
    };
}

texts! {
    language: "en", "id";
    other_language: "id", "en";
    other_language_name: "Bahasa Indonesia", "English";
    just_now: "just now", "baru saja";
    ago: "{} ago", "{} lalu";
    within: "in {}", "dalam {}";
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
    api: "REST API", "REST API";
    api_lead: "Airflow 3.3's paths and fields, and what Subak has beside them. A token comes from POST /auth/token.", "Alamat dan bidang dari Airflow 3.3, ditambah milik Subak sendiri. Token didapat dari POST /auth/token.";
    api_not_built: "not built yet", "belum dibuat";
    back_home: "Back to the first page", "Kembali ke halaman pertama";

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

    dags: "DAGs", "DAG";
    dag: "DAG", "DAG";
    search_dags: "Search by name", "Cari nama";
    search: "Search", "Cari";
    all: "All", "Semua";
    active: "Active", "Aktif";
    paused: "Paused", "Dijeda";
    all_tags: "All tags", "Semua tag";
    no_dags: "No DAG yet. Put a YAML file into the DAG folder: it appears here within seconds.", "Belum ada DAG. Letakkan berkas YAML di folder DAG: ia muncul di sini dalam hitungan detik.";
    nothing_matches: "Nothing matches.", "Tidak ada yang cocok.";
    no_match: "No DAG matches.", "Tidak ada DAG yang cocok.";
    schedule: "Schedule", "Jadwal";
    by_hand: "by hand", "manual";
    next_run: "Next run", "Run berikutnya";
    last_runs: "Last runs", "Run terakhir";
    last_run: "Last run", "Run terakhir";
    any_last_run: "Any last run", "Run terakhir apa pun";
    never_ran: "never ran", "belum pernah";
    trigger: "Trigger", "Jalankan";
    pause: "Pause {}", "Jeda {}";
    resume: "Resume {}", "Lanjutkan {}";
    stale: "file gone", "berkas hilang";
    broken_file: "file does not parse", "berkas tidak terbaca";
    broken_files_one: "1 DAG file does not parse; its last good version goes on running.", "1 berkas DAG tidak terbaca; versi baik terakhirnya tetap berjalan.";
    broken_files_many: "{} DAG files do not parse; their last good versions go on running.", "{} berkas DAG tidak terbaca; versi baik terakhirnya tetap berjalan.";
    back: "Back", "Kembali";
    previous: "Previous", "Sebelumnya";
    next: "Next", "Berikutnya";

    runs: "Runs", "Run";
    run: "Run", "Run";
    no_runs: "No run yet.", "Belum ada run.";
    run_gone: "the run is gone", "run sudah tidak ada";
    graph: "Graph", "Graf";
    graph_tasks: "{} tasks", "{} task";
    graph_layer: "Layer {}", "Lapisan {}";
    graph_layers: "Layers {}", "Lapisan {}";
    graph_of_layers: "{} tasks, by layers", "{} task, menurut lapisan";
    graph_layers_why: "This graph is too large to be drawn task by task: a box stands for the tasks of a layer, which have the same number of steps before them, and leads to the one of them that is worst off. Search for a task to see what is around it.", "Graf ini terlalu besar untuk digambar per task: satu kotak mewakili task satu lapisan, yang jumlah langkah sebelumnya sama, dan membuka task di dalamnya yang paling bermasalah. Cari sebuah task untuk melihat sekitarnya.";
    graph_around: "{} of {} tasks", "{} dari {} task";
    graph_left_out: "{} more tasks are as near, and left out: fewer steps, or another task, show others.", "{} task lain sama dekatnya, tetapi tidak digambar: kurangi langkah atau pilih task lain.";
    graph_more: "{} more beside it: show what is around it", "{} lagi di sebelahnya: tampilkan sekitarnya";
    graph_steps: "Steps up and down", "Langkah ke hulu dan hilir";
    graph_whole: "Whole graph", "Seluruh graf";
    graph_find: "Show what is around a task", "Tampilkan sekitar sebuah task";
    graph_found: "{} tasks have “{}” in their names:", "{} task memuat “{}” dalam namanya:";
    graph_found_none: "No task has “{}” in its name.", "Tidak ada task yang namanya memuat “{}”.";
    graph_fold: "Fold {}", "Lipat {}";
    graph_stays_folded: "More than 300 boxes are not drawn at once: some groups stay folded. Fold others, or search for a task.", "Lebih dari 300 kotak tidak digambar sekaligus: sebagian grup tetap terlipat. Lipat grup lain, atau cari sebuah task.";
    graph_of_newest: "As in the newest run,", "Seperti pada run terbaru,";
    runs_all: "All, and several at once", "Semua, dan beberapa sekaligus";
    timezone: "Time zone", "Zona waktu";
    catchup: "Catch up", "Kejar yang tertinggal";
    start_date: "From", "Dari";
    end_date: "Until", "Sampai";
    max_active_runs: "Runs at once", "Run sekaligus";
    max_active_tasks: "Tasks of a run at once", "Task satu run sekaligus";
    tags: "Tags", "Tag";
    documentation: "Documentation", "Dokumentasi";
    code: "Code", "Kode";
    version: "Version", "Versi";
    file: "File", "Berkas";
    owner: "Owner", "Pemilik";
    tasks: "Tasks", "Task";
    task: "Task", "Task";
    instances: "Instances", "Instans";
    instances_of: "{} instances", "{} instans";
    params: "Parameters", "Parameter";
    no_params: "This DAG takes no parameters.", "DAG ini tidak punya parameter.";
    required: "required", "wajib";
    empty_is_null: "left empty, it is null", "dikosongkan berarti null";
    one_a_line: "one a line", "satu per baris";
    conf: "Configuration", "Konfigurasi";
    conf_more: "More configuration, as JSON", "Konfigurasi lain, sebagai JSON";
    conf_hint: "Merged over the fields above.", "Digabung di atas isian tadi.";
    note: "Note", "Catatan";
    trigger_title: "Trigger {}", "Jalankan {}";
    trigger_problem: "The run was not started:", "Run tidak dijalankan:";
    not_json: "is not JSON: {}", "bukan JSON: {}";
    not_number: "is not a number", "bukan angka";
    not_object: "must be a JSON object", "harus berupa objek JSON";
    value_missing: "needs a value", "harus diisi";

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

    topics: "Topics", "Topik";
    topic: "Topic", "Topik";
    topics_missing: "What the brokers have is missing:", "Data dari broker tidak ada:";
    no_kafka: "No connection of type kafka. Add one with “subak connections add NAME --type kafka --host …”.", "Belum ada koneksi bertipe kafka. Tambahkan dengan “subak connections add NAMA --type kafka --host …”.";
    no_topics: "The brokers have no topic.", "Broker tidak punya topik.";
    more_topics: "{} more are not shown.", "{} lagi tidak ditampilkan.";
    cluster_about: "cluster {}, {} brokers", "klaster {}, {} broker";
    show: "Show", "Tampilkan";
    partitions: "Partitions", "Partisi";
    partition: "Partition", "Partisi";
    replicas: "Copies", "Salinan";
    read_by: "Read by", "Dibaca oleh";
    pipelines: "Read by", "Dibaca oleh";
    lag: "Lag", "Ketertinggalan";
    open_ranges: "Open ranges", "Rentang terbuka";
    low_watermark: "First offset", "Offset pertama";
    high_watermark: "End", "Akhir";
    offsets: "Offsets", "Offset";
    leader: "Leader", "Pemimpin";
    in_sync: "In sync", "Sinkron";
    consumer_group: "Consumer group", "Grup konsumen";
    consumer_groups: "Consumer groups", "Grup konsumen";
    positions: "Positions", "Posisi";
    position_read: "Read up to", "Dibaca sampai";
    position_loaded: "Loaded up to", "Dimuat sampai";
    latest_records: "Latest records", "Rekaman terbaru";
    no_records: "There is no record.", "Tidak ada rekaman.";
    when: "When", "Kapan";
    key: "Key", "Kunci";
    value: "Value", "Nilai";
    missing: "missing", "tidak ada";
    not_begun: "not begun", "belum mulai";
    lag_unknown: "not known", "tidak diketahui";
    no_lag: "up to date", "mutakhir";
    behind: "{} behind", "tertinggal {}";
    tombstone: "tombstone", "tanda hapus";
    bytes_of: "{} that are no text", "{} yang bukan teks";
    first_of: "the first of {}", "awal dari {}";
    progress: "Progress", "Kemajuan";

    pools: "Pools", "Pool";
    pools_lead: "How many tasks may run at once beside the limits of their DAGs. A slot is taken from when a task is ready until it ends.", "Berapa banyak task boleh berjalan bersamaan di samping batas DAG-nya. Slot terpakai sejak task siap sampai selesai.";
    no_pools: "No pool but the default one, which has no limit.", "Tidak ada pool selain pool bawaan, yang tanpa batas.";
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
    import_errors_lead: "DAG files that do not parse. The last good version of each goes on running.", "Berkas DAG yang tidak terbaca. Versi baik terakhirnya tetap berjalan.";
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

impl Text {
    /// Returns the table of a language that somebody has chosen.
    #[must_use]
    pub fn named(language: &str) -> Option<&'static Self> {
        [&ENGLISH, &INDONESIAN].into_iter().find(|text| text.language == language)
    }

    /// Returns the table for a browser's `Accept-Language`.
    #[must_use]
    pub fn accepted(accept_language: &str) -> &'static Self {
        let first = accept_language.split([',', ';']).next().unwrap_or("").trim();
        let language = first.split('-').next().unwrap_or("");
        if language.eq_ignore_ascii_case("id") { &INDONESIAN } else { &ENGLISH }
    }

    /// What a type of runs is called.
    #[must_use]
    pub fn run_type(&self, kind: &str) -> &'static str {
        match kind {
            "scheduled" => self.type_scheduled,
            "manual" => self.type_manual,
            "backfill" => self.type_backfill,
            "asset_triggered" => self.type_asset,
            _ => self.type_operator,
        }
    }

    /// Fills the place of a pattern.
    #[must_use]
    pub fn fill(&self, pattern: &str, value: impl std::fmt::Display) -> String {
        pattern.replacen("{}", &value.to_string(), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_its_language_or_english() {
        assert_eq!(Text::accepted("id-ID,id;q=0.9").language, "id");
        assert_eq!(Text::accepted("de-DE").language, "en");
        assert_eq!(Text::accepted("").language, "en");
        assert_eq!(Text::named("id"), Some(&INDONESIAN));
        assert_eq!(Text::named("de"), None);
    }
}
