//! Texts of topics.

/// Adds them to those that are there, and hands all on to the next.
macro_rules! topics {
    ($next:ident $($rest:ident)*; $($texts:tt)*) => {
        $next! { $($rest)*; $($texts)*
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
        }
    };
}
