use base64::engine::general_purpose::URL_SAFE;
use proptest::prelude::*;

use super::*;

fn mask(secrets: &[&str], pieces: &[&[u8]]) -> Vec<u8> {
    let patterns = Patterns::new(secrets.iter().copied());
    let (mut masker, mut out) = (Masker::default(), Vec::new());
    for piece in pieces {
        masker.feed(&patterns, piece, &mut out);
    }
    masker.finish(&patterns, &mut out);
    out
}

fn check(secrets: &[&str], text: &str, expected: &str) {
    assert_eq!(String::from_utf8(mask(secrets, &[text.as_bytes()])).unwrap(), expected);
}

#[test]
fn hides_whole_secrets_and_nothing_else() {
    check(&["hunter22"], "password is hunter22, hunter2 is not", "password is ***, hunter2 is not");
    check(&["abc", "abcdef"], "abcd abcdef", "***d ***");
    check(&["abcd", "cdef"], "xabcdefx", "x***x");
    check(&["ab"], "ab is too short to be one", "ab is too short to be one");
    check(&[], "nothing is secret", "nothing is secret");
}

#[test]
fn hides_encoded_secrets() {
    let secret = "p@ss word/\"1\"";
    for text in ["p%40ss%20word%2F%221%22", "p%40ss+word%2f%221%22", "p@ss word/\\\"1\\\""] {
        check(&[secret], text, "***");
    }
    check(&[secret], &STANDARD.encode(secret), "***");
    for prefix in ["u:", "us:", "use:"] {
        let shown =
            mask(&[secret], &[STANDARD.encode(format!("{prefix}{secret}:tail")).as_bytes()]);
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("***") && shown.len() < 22, "{shown}");
    }
}

#[test]
fn hides_each_line_of_a_key() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n-----END KEY-----\n";
    check(&[key], "a\nMIIEvQIBADANBgkqhkiG\nb\n", "a\n***\nb\n");
}

fn secrets() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab%/+ =\"é\n]{3,9}", 1..4)
}

fn hidden_forms(secret: &str) -> [Vec<u8>; 4] {
    [
        secret.as_bytes().to_vec(),
        STANDARD.encode(secret).into_bytes(),
        URL_SAFE.encode(secret).trim_end_matches('=').as_bytes().to_vec(),
        secret.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>().into_bytes(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However the output is cut, no secret in any form gets through, and the cuts change nothing.
    #[test]
    fn no_split_lets_a_secret_through(
        secrets in secrets(),
        noise in prop::collection::vec("[ab%/+ =\"é\nxyz]{0,6}", 4),
        pick in prop::collection::vec((0_usize..4, 0_usize..3), 3),
        cuts in prop::collection::vec(0_usize..200, 0..12),
    ) {
        let mut text = Vec::new();
        for (at, (secret, form)) in pick.iter().enumerate() {
            text.extend_from_slice(noise[at].as_bytes());
            text.extend_from_slice(&hidden_forms(&secrets[secret % secrets.len()])[*form]);
        }
        text.extend_from_slice(noise[3].as_bytes());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        let names: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let shown = mask(&names, &pieces);
        prop_assert_eq!(&shown, &mask(&names, &[&text]));
        for secret in &secrets {
            for form in &hidden_forms(secret)[..3] {
                let found = shown.windows(form.len()).any(|window| window == form.as_slice());
                prop_assert!(!found, "{:?} in {:?}", secret, String::from_utf8_lossy(&shown));
            }
        }
    }
}
