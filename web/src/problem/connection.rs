//! What is wrong with a connection, in Indonesian.

use subak_core::connection::ConnectionProblem;

/// Says what is wrong.
pub(super) fn in_indonesian(problem: &ConnectionProblem) -> String {
    use ConnectionProblem as P;
    let told = match problem {
        P::Type { found, known } => {
            return format!("tipe koneksi `{found}` tidak ada: pilih salah satu dari {known}");
        }
        P::OtherType { found, needed } => {
            return format!("bertipe `{found}`, padahal perlu yang bertipe `{needed}`");
        }
        P::Unknown { setting, known } => {
            return format!("extra `{setting}` tidak dikenal: yang ada {known}");
        }
        P::Misspelt { setting, meant } => {
            return format!("extra `{setting}` tidak dikenal: maksudnya `{meant}`");
        }
        P::NotOneOf { setting, value, allowed } => {
            return format!(
                "extra `{setting}` tidak dapat `{value}`: pilih salah satu dari {allowed}"
            );
        }
        P::NoSeconds { setting, value } => {
            return format!("extra `{setting}` tidak dapat `{value}`: isinya bilangan bulat detik");
        }
        P::NoText(setting) => return format!("extra `{setting}` harus teks"),
        P::NoTextOrNumber(setting) => return format!("extra `{setting}` harus teks atau angka"),
        P::NoScalar(setting) => {
            return format!("extra `{setting}` harus teks, angka, true atau false");
        }
        P::Empty(setting) => return format!("extra `{setting}` kosong"),
        P::Protocol(found) => return format!("protokol `{found}` bukan http atau https"),
        P::HeaderName(name) => return format!("`{name}` bukan nama header, seperti X-Api-Key"),
        P::HeaderValue(name) => {
            return format!(
                "nilai header `{name}` memuat yang tidak boleh ada di header: ganti baris, atau huruf \
                 di luar ASCII"
            );
        }
        P::Broker(found) => return format!("`{found}` bukan `host:port`"),
        P::NoProperty(name) => {
            return format!(
                "extra `{name}` bukan properti librdkafka: contohnya `socket.timeout.ms`"
            );
        }
        P::BrokersInExtra(name) => return format!("extra `{name}`: tempat broker di `host`"),
        P::SecretInExtra(name) => {
            return format!(
                "extra `{name}`: tempat pengguna dan kata sandi di `login` dan `password`"
            );
        }
        P::Ours(name) => {
            return format!("extra `{name}` diatur Subak, agar setiap rekaman dimuat tepat sekali");
        }
        P::Code(name) => return format!("extra `{name}` akan memuat pustaka ke dalam worker"),
        P::LoginWithoutSasl(found) => {
            return format!("`login` hanya untuk SASL, sedangkan security.protocol adalah {found}");
        }
        P::Fields => {
            "punya isian selain conn_type, host, port, login, password, schema dan extra, atau salah \
             satunya bertipe lain"
        }
        P::NoBase => {
            "`host` tidak ada: sebutkan alamat dasarnya, seperti https://api.example.org/v1"
        }
        P::SecretInHost => {
            "`host` memuat pengguna atau rahasia: tempatnya di `login` dan `password`"
        }
        P::MoreThanBase => "`host` adalah alamat dasar: tanpa kueri, fragmen atau spasi",
        P::TwoPorts => "port ada di `host` dan di `port`: kosongkan salah satu",
        P::TestPath => "extra `test_path` adalah jalur di bawah alamat dasar",
        P::NoHeaderPassword => "`password` yang dibawa header tidak ada",
        P::LoginBesideHeader => {
            "dengan extra `header` tidak ada `login`: header yang membawa kata sandinya"
        }
        P::Colon => "`login` tidak boleh memuat titik dua",
        P::Headers => "extra `headers` harus peta",
        P::HeaderLine => "header dalam extra `headers` harus satu baris teks",
        P::HeaderLetters => "nama header dalam extra `headers` terdiri dari huruf, angka, - dan _",
        P::SlackAddress => {
            "koneksi bertipe slack perlu alamat webhook selengkapnya sebagai kata sandinya"
        }
        P::WebhookAddress => {
            "koneksi bertipe webhook perlu alamat selengkapnya sebagai host: https://…"
        }
        P::MailHost => "koneksi bertipe smtp perlu host",
        P::MailFrom => "koneksi bertipe smtp perlu extra `from`: alamat pengirim surelnya",
        P::MailTls => "extra `tls` adalah salah satu dari starttls, implicit, none",
        P::NoDatabase => "koneksi kafka tidak punya basis data (`schema`): kosongkan",
        P::NoBroker => {
            "`host` tidak ada: sebutkan satu broker sebagai host atau host:port, atau beberapa dengan \
             koma di antaranya"
        }
        P::NoLogin => "SASL perlu `login` dan `password`",
        P::NoPassword => "`password` untuk login itu tidak ada",
        P::ServerAlone => {
            "`host` adalah nama server atau folder soket: pengguna, kata sandi, port dan basis data \
             punya isian sendiri"
        }
    };
    told.to_owned()
}
