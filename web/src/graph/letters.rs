//! How wide a name is in a drawing: nobody asks the browser, so that this is about the widest of the usual
//! fonts.

/// The size of a name's letters.
const SIZE: f64 = 13.0;

/// About the width of a text as it is drawn.
pub(super) fn drawn_width(text: &str) -> f64 {
    text.chars().map(width).sum()
}

/// Cuts a text that is wider.
pub(super) fn cut_to(text: &str, most: f64) -> String {
    if drawn_width(text) <= most {
        return text.to_owned();
    }
    let mut left = most - width('…');
    let fits = |it: &char| {
        left -= width(*it);
        left >= 0.0
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

fn width(letter: char) -> f64 {
    let part = match letter {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | 'I' | 'J' | ' '..='/' | ':' | ';' | '_' => 0.5,
        'm' | 'w' | 'M' | 'W' | '@' | '…' => 1.05,
        '0'..='9' | 'a'..='z' => 0.71,
        // Those of East Asia, and pictures, fill their squares.
        '\u{1100}'.. => 1.1,
        // Capitals, and letters of other alphabets.
        _ => 0.8,
    };
    part * SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_are_fewer_in_the_same_room() {
        let kept = |text: &str| cut_to(text, 100.0).chars().count();
        assert_eq!(cut_to("load_sales", 100.0), "load_sales");
        assert_eq!(kept(&"i".repeat(40)), 14);
        assert_eq!(kept(&"u".repeat(40)), 10);
        assert_eq!(kept(&"W".repeat(40)), 7);
        for letter in ["i", "u", "W", "稲"] {
            let short = cut_to(&letter.repeat(40), 100.0);
            assert!(short.ends_with('…') && drawn_width(&short) <= 100.0, "{short}");
        }
    }
}
