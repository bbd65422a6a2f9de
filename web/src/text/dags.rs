//! Texts of DAGs, their graphs and forms.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! dags {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
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
            run_held: "The DAG is paused: nothing of this run starts until it goes on.", "DAG dijeda: tidak ada yang mulai dari run ini sampai DAG dilanjutkan.";
            trigger_held: "The DAG is paused: the run waits until it goes on.", "DAG dijeda: run menunggu sampai DAG dilanjutkan.";
            delete_dag: "Delete DAG", "Hapus DAG";
            delete_dag_sure: "Delete this DAG with its runs, their history and logs?", "Hapus DAG ini beserta run, riwayat, dan lognya?";
            stale: "file gone", "berkas hilang";
            broken_file: "file does not parse", "berkas tidak terbaca";
            broken_files_one: "1 DAG file does not parse; a DAG that was read from it before goes on.", "1 berkas DAG tidak terbaca; DAG yang sebelumnya terbaca darinya tetap berjalan.";
            broken_files_many: "{} DAG files do not parse; DAGs that were read from them before go on.", "{} berkas DAG tidak terbaca; DAG yang sebelumnya terbaca darinya tetap berjalan.";
            back: "Back", "Kembali";
            previous: "Previous", "Sebelumnya";
            next: "Next", "Berikutnya";

            runs: "Runs", "Run";
            run: "Run", "Run";
            no_runs: "No run yet.", "Belum ada run.";
            run_is_gone: "the run is gone", "run sudah tidak ada";
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
        }
    };
}
