//! Texts by pattern, in SQL and in memory, as Airflow's API has them.

use sqlx::{Postgres, QueryBuilder};

/// What a text is like; all conditions together. Empty: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextFilter {
    /// Any of these is part of it, in any case; `%` and `_` stand for others as in LIKE.
    like: Vec<String>,
    /// It begins with one of these.
    prefixes: Vec<String>,
}

impl TextFilter {
    /// Reads a pattern and a prefix as people write them: `|` stands between alternatives, with blanks or
    /// without, `~` is anything. What a prefix ends with besides letters and digits does not count, as in
    /// Airflow.
    #[must_use]
    pub fn new(pattern: Option<&str>, prefix: Option<&str>) -> Self {
        let parts = |text: Option<&str>| -> Vec<String> {
            let text = text.filter(|text| *text != "~").unwrap_or_default();
            let several = text.contains('|');
            let parts = text.split('|').map(|part| if several { part.trim() } else { part });
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let mut prefixes = parts(prefix);
        for prefix in &mut prefixes {
            prefix.truncate(prefix.trim_end_matches(|it: char| !it.is_alphanumeric()).len());
        }
        Self { like: parts(pattern), prefixes }
    }

    /// What has this text somewhere, in any case, with nothing in it special.
    #[must_use]
    pub fn containing(text: &str) -> Self {
        let plain = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let like = Some(plain).filter(|text| !text.is_empty()).into_iter().collect();
        Self { like, prefixes: Vec::new() }
    }

    /// Whether any text is like it.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.like.is_empty() && self.prefixes.is_empty()
    }

    /// Whether a text is like it.
    #[must_use]
    pub fn takes(&self, text: &str) -> bool {
        let lower = text.to_lowercase();
        let is_like = |part: &String| like(&format!("%{}%", part.to_lowercase()), &lower);
        (self.like.is_empty() || self.like.iter().any(is_like))
            && (self.prefixes.is_empty() || self.prefixes.iter().any(|it| text.starts_with(it)))
    }

    /// Adds the condition on a column.
    pub(crate) fn push(&self, query: &mut QueryBuilder<Postgres>, column: &str) {
        if !self.like.is_empty() {
            let like: Vec<String> = self.like.iter().map(|part| format!("%{part}%")).collect();
            query.push(" AND ").push(column).push(" ILIKE ANY(").push_bind(like).push(")");
        }
        if !self.prefixes.is_empty() {
            query.push(" AND EXISTS (SELECT FROM unnest(").push_bind(self.prefixes.clone());
            query.push("::text[]) AS p (prefix) WHERE starts_with(").push(column);
            query.push(", p.prefix))");
        }
    }
}

/// LIKE: `%` is any text, `_` any character, and what follows `\` is itself.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut reached = vec![true];
    reached.resize(pattern.len() + 1, false);
    let step_over = |reached: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            if reached[at] && pattern[at] == '%' {
                reached[at + 1] = true;
            }
        }
    };
    step_over(&mut reached);
    for letter in text.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for at in (0..pattern.len()).filter(|at| reached[*at]) {
            match (pattern[at], pattern.get(at + 1)) {
                ('%', _) => next[at] = true,
                ('_', _) => next[at + 1] = true,
                ('\\', Some(escaped)) => next[at + 2] |= *escaped == letter,
                (plain, _) => next[at + 1] |= plain == letter,
            }
        }
        reached = next;
        step_over(&mut reached);
    }
    reached[pattern.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: Option<&str>, prefix: Option<&str>, takes: &[&str], refuses: &[&str]) {
        let filter = TextFilter::new(pattern, prefix);
        for text in takes {
            assert!(filter.takes(text), "{filter:?} takes {text}");
        }
        for text in refuses {
            assert!(!filter.takes(text), "{filter:?} refuses {text}");
        }
    }

    #[test]
    fn a_text_is_found_by_part_pattern_or_prefix() {
        check(Some("sho"), None, &["shop", "WORKSHOP"], &["sop", ""]);
        check(Some("%sho%"), None, &["shop", "workshop"], &["sop"]);
        check(Some("s_op"), None, &["shop", "stops? stop", "s_op"], &["sop"]);
        check(Some(r"s\_op"), None, &["s_op"], &["shop"]);
        check(Some("a%z|b"), None, &["a to z", "obi"], &["za"]);
        check(Some("quick | slow| "), None, &["quick", "slow"], &["idle"]);
        check(Some("a day"), None, &["a day"], &["aday"]);
        check(Some("~"), None, &["", "anything"], &[]);
        check(None, Some("sh_"), &["shop"], &["idle"]);
        check(None, Some("sh|id"), &["shop", "idle"], &["workshop", "SHOP"]);
        check(None, Some("sh | id"), &["shop", "idle"], &["workshop"]);
        check(Some("p"), Some("sh"), &["shop"], &["shot", "top"]);
        check(None, None, &["", "a"], &[]);
    }
}
