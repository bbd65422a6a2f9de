//! All texts of the pages, one table a language. They stand by subject in the files of this folder; each
//! is a macro that hands its own on to the next, so that a page finds all of them in one table.

#[macro_use]
mod accounts;
#[macro_use]
mod dags;
#[macro_use]
mod frame;
#[macro_use]
mod home;
#[macro_use]
mod letters;
#[macro_use]
mod manage;
#[macro_use]
mod states;
#[macro_use]
mod tasks;
#[macro_use]
mod topics;

macro_rules! texts {
    (; $($name:ident: $english:literal, $indonesian:literal;)*) => {
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

frame! { home dags tasks letters topics manage accounts states texts; }

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
