//! Reads tags and attributes of a page as a browser would, to judge what could be executed.

/// A start tag.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Returns every start tag of a page.
pub(crate) fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let (tag, after) = tag(rest);
            tags.push(tag);
            rest = after;
        }
    }
    tags
}

fn tag(text: &str) -> (Tag, &str) {
    let end = text.find([' ', '\n', '\t', '>', '/']).unwrap_or(text.len());
    let mut tag = Tag { name: text[..end].to_ascii_lowercase(), attributes: Vec::new() };
    let mut rest = &text[end..];
    loop {
        rest = rest.trim_start_matches([' ', '\n', '\t', '/']);
        if rest.is_empty() || rest.starts_with('>') {
            return (tag, rest);
        }
        let end = rest.find([' ', '\n', '\t', '=', '>', '/']).unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        let mut value = "";
        if let Some(given) = rest.strip_prefix('=') {
            (value, rest) = match given.chars().next() {
                Some(quote @ ('"' | '\'')) => given[1..].split_once(quote).unwrap_or((given, "")),
                _ => given.split_at(given.find([' ', '\n', '\t', '>']).unwrap_or(given.len())),
            };
        }
        tag.attributes.push((name, value.to_owned()));
    }
}

/// Asserts that a page can execute nothing but the scripts that we embed.
pub(crate) fn assert_harmless(what: &str, html: &str) {
    for tag in tags(html) {
        let known = [
            "a",
            "aside",
            "body",
            "button",
            "circle",
            "code",
            "datalist",
            "dd",
            "details",
            "div",
            "dl",
            "dt",
            "fieldset",
            "form",
            "g",
            "h1",
            "h2",
            "h3",
            "head",
            "header",
            "html",
            "i",
            "b",
            "input",
            "label",
            "legend",
            "li",
            "line",
            "link",
            "main",
            "meta",
            "nav",
            "noscript",
            "option",
            "p",
            "path",
            "pre",
            "rect",
            "script",
            "section",
            "select",
            "span",
            "summary",
            "svg",
            "table",
            "tbody",
            "td",
            "text",
            "textarea",
            "th",
            "thead",
            "time",
            "title",
            "tr",
            "ul",
            "use",
            "symbol",
            "hx-partial",
            "footer",
            "small",
            "strong",
            "kbd",
            "tspan",
            "ol",
            "dialog",
            "progress",
        ];
        assert!(known.contains(&tag.name.as_str()), "{what}: {tag:?}");
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on") && name != "style", "{what}: {tag:?}");
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-:_".contains(c));
            assert!(plain, "{what}: {tag:?}");
            if ["href", "src", "action", "hx-get", "hx-post", "hx-sse:connect"].contains(&&**name) {
                let is_ours = value.starts_with('/') && !value.starts_with("//");
                assert!(is_ours || value.starts_with('#'), "{what}: {tag:?}");
            }
        }
        if tag.name == "script" {
            let source = tag.attribute("src").unwrap_or("");
            assert!(source.starts_with("/assets/"), "{what}: {tag:?}");
        }
    }
}

#[test]
fn tags_are_read_as_a_browser_reads_them() {
    let html = "<p>1 < 2 <A hreF='/x' data-a=\"<b>\" hidden>x</a><img src=x onerror=alert(1)>";
    let tags = tags(html);
    let names: Vec<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
    assert_eq!(names, ["p", "a", "img"]);
    assert_eq!(tags[1].attribute("data-a"), Some("<b>"));
    assert_eq!(tags[1].attribute("hidden"), Some(""));
    assert_eq!(tags[2].attribute("onerror"), Some("alert(1)"));
}
