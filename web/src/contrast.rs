//! Holds the colours of `app.css` to WCAG 2.2 AA: texts 4.5 to 1, what surrounds an input 3 to 1.

use std::collections::HashMap;

const CSS: &str = include_str!("../assets/app.css");

/// Texts, and what they stand on.
const TEXTS: &[&str] = &["ink", "soft", "faint", "link"];
const GROUNDS: &[&str] = &["ground", "card", "sunk"];
const STATES: &[&str] = &[
    "success", "failed", "running", "waiting", "retry", "deferred", "skipped", "upstream", "none",
];
/// The share of its colour in a badge's ground.
const TINT: f64 = 0.12;

/// Red, green and blue, each from 0 to 1.
type Colour = [f64; 3];

/// The colours of one theme: 0 is light, 1 is dark.
fn palette(theme: usize) -> HashMap<&'static str, Colour> {
    let declared = CSS.split("--").filter_map(|part| {
        let (name, rest) = part.split_once(": light-dark(#")?;
        let (pair, _) = rest.split_once(')')?;
        let colour = pair.split(", #").nth(theme)?;
        Some((name, parse(colour)))
    });
    declared.collect()
}

fn parse(hex: &str) -> Colour {
    [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0)
}

fn luminance(colour: Colour) -> f64 {
    let [red, green, blue] =
        colour.map(
            |part| {
                if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            },
        );
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(left: Colour, right: Colour) -> f64 {
    let (left, right) = (luminance(left), luminance(right));
    (left.max(right) + 0.05) / (left.min(right) + 0.05)
}

fn mix(colour: Colour, share: f64, ground: Colour) -> Colour {
    [0, 1, 2].map(|part| colour[part] * share + ground[part] * (1.0 - share))
}

#[test]
fn black_on_white_is_twenty_one_to_one() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    // The grey that WCAG's examples know as just enough.
    assert!((contrast(parse("767676"), [1.0; 3]) - 4.54).abs() < 0.01);
}

#[test]
fn every_text_can_be_read_in_light_and_in_dark() {
    for theme in [0, 1] {
        let colours = palette(theme);
        let at_least = |least: f64, what: &str, colour: Colour, ground: Colour| {
            let found = contrast(colour, ground);
            assert!(found >= least, "theme {theme}: {what} has {found:.2}, not {least}");
        };
        for ground in GROUNDS {
            for text in TEXTS.iter().chain(STATES) {
                let what = format!("{text} on {ground}");
                at_least(4.5, &what, colours[text], colours[ground]);
            }
        }
        for state in STATES {
            let tinted = mix(colours[state], TINT, colours["card"]);
            at_least(4.5, &format!("badge {state}"), colours[state], tinted);
        }
        at_least(4.5, "a button", colours["brand-ink"], colours["brand"]);
        at_least(3.0, "an input's edge", colours["edge"], colours["card"]);
        at_least(3.0, "an input's edge", colours["edge"], colours["ground"]);
        at_least(3.0, "the focus ring", colours["brand"], colours["ground"]);
    }
}

#[test]
fn no_colour_is_outside_the_palette() {
    let after_palette = CSS.split_once("--shadow").unwrap().1;
    let strays: Vec<&str> = after_palette
        .split('#')
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap())
        .filter(|digits| digits.len() == 6 || digits.len() == 3)
        .filter(|digits| *digits != "fff")
        .collect();
    assert_eq!(strays, Vec::<&str>::new());
}
