//! A schedule in words, in the language of the page.

use subak_core::dag::model::Schedule;
use subak_core::schedule::{self, Phrases, Tz};

use crate::text::{INDONESIAN, Text};

static IN_INDONESIAN: Phrases = Phrases {
    days: ["Minggu", "Senin", "Selasa", "Rabu", "Kamis", "Jumat", "Sabtu", "Minggu"],
    every: "setiap {}",
    every_minute: "setiap menit",
    every_minutes: "setiap {} menit",
    every_hour: "setiap jam",
    every_hour_at: "setiap jam pada menit {}",
    every_day: "setiap hari pukul {}",
    workdays: "Senin sampai Jumat pukul {}",
    every_week: "setiap {} pukul {}",
    last_of_month: "pada hari terakhir setiap bulan pukul {}",
    every_month: "pada tanggal {} setiap bulan pukul {}",
    one_date: "pada satu tanggal",
    dates: "pada {} tanggal",
    once: "sekali",
    always: "terus-menerus, satu run setiap kali",
};

/// Says when a schedule fires.
#[must_use]
pub fn in_words(schedule: &Schedule, zone: Tz, t: &Text) -> String {
    if t.language == INDONESIAN.language {
        schedule::in_words_of(&IN_INDONESIAN, schedule, zone)
    } else {
        schedule::in_words(schedule, zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::ENGLISH;

    #[test]
    fn a_schedule_is_told_in_the_language_of_the_page() {
        let check = |cron: &str, english: &str, indonesian: &str| {
            let schedule = Schedule::Cron(cron.to_owned());
            let told = |t| in_words(&schedule, Tz::UTC, t);
            assert_eq!(told(&ENGLISH), format!("{english} (UTC)"));
            assert_eq!(told(&INDONESIAN), format!("{indonesian} (UTC)"));
        };
        check("0 6 * * *", "every day at 06:00", "setiap hari pukul 06:00");
        check("30 7 * * 1", "every Monday at 07:30", "setiap Senin pukul 07:30");
        check(
            "0 0 1 * *",
            "on day 1 of the month at 00:00",
            "pada tanggal 1 setiap bulan pukul 00:00",
        );
        check("0 0 1 */3 *", "0 0 1 */3 *", "0 0 1 */3 *");
    }
}
