//! A DAG's YAML as numbered lines, with comments, keys and strings told apart.

use std::fmt::Write as _;

use askama::filters::{Html, escape};

/// Returns the source as markup, one element a line. Everything in it is escaped.
#[must_use]
pub fn markup(source: &str) -> String {
    let mut out = String::with_capacity(source.len() * 2);
    for (number, line) in (1..).zip(source.lines()) {
        let _infallible = write!(out, "<div class=\"l\"><i>{number}</i><span>");
        push_line(&mut out, line);
        out.push_str("</span></div>");
    }
    out
}

fn push_line(out: &mut String, line: &str) {
    let body = line.trim_start();
    push(out, "", &line[..line.len() - body.len()]);
    if body.starts_with('#') {
        return push(out, "y-comment", body);
    }
    let (dash, body) = match body.strip_prefix("- ") {
        Some(rest) => ("- ", rest),
        None => ("", body),
    };
    push(out, "y-mark", dash);
    match key_end(body) {
        Some(end) => {
            push(out, "y-key", &body[..end]);
            push(out, "y-mark", ":");
            push_value(out, &body[end + 1..]);
        }
        None => push_value(out, body),
    }
}

/// Where a plain key at the line's start ends.
fn key_end(body: &str) -> Option<usize> {
    let end = body.find(':')?;
    let follows = body[end + 1..].chars().next();
    let is_key = body[..end].chars().all(|c| c.is_alphanumeric() || "_-.$/ ".contains(c));
    (is_key && end > 0 && follows.is_none_or(char::is_whitespace)).then_some(end)
}

fn push_value(out: &mut String, value: &str) {
    let comment = value.find(" #").unwrap_or(value.len());
    let (value, comment) = value.split_at(comment);
    let quoted = value.trim_start().starts_with(['"', '\'']);
    push(out, if quoted { "y-string" } else { "" }, value);
    push(out, "y-comment", comment);
}

fn push(out: &mut String, class: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    let Ok(text) = escape(text, Html);
    let _infallible = if class.is_empty() {
        write!(out, "{text}")
    } else {
        write!(out, "<b class=\"{class}\">{text}</b>")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_text_whatever_it_holds() {
        let html = markup("dag_id: <script>\n# <b>\n- a: \"x\" # y");
        assert!(!html.contains("<script>") && !html.contains("<b>"));
        assert!(html.contains("<b class=\"y-key\">dag_id</b>"));
        assert!(html.contains("<b class=\"y-comment\"># &#60;b&#62;</b>"), "{html}");
        assert!(html.contains("<b class=\"y-comment\"> # y</b>"));
    }
}
