//! Keeps templates small enough to be read: minijinja's trees grow by one level a token, and are
//! walked and dropped by recursion.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

/// Tokens between `{{` and `}}`.
const TAG_TOKENS: usize = 400;

/// `{{ … }}` and `{% … %}` in one template.
const TAGS: usize = 2_000;

/// Refuses a template that is too long to be read.
pub(super) fn check(text: &str) -> Result<(), Error> {
    let (mut tags, mut tokens) = (0, 0);
    for token in tokenize(text, false, SyntaxConfig::default()) {
        // What can't be split into tokens is told with its place by the parser.
        let Ok((token, _)) = token else { return Ok(()) };
        tokens += 1;
        if matches!(token, Token::VariableStart | Token::BlockStart) {
            tokens = 0;
            tags += 1;
        }
        if tokens > TAG_TOKENS || tags > TAGS {
            return Err(Error::new(ErrorKind::SyntaxError, "it is too long: split it up"));
        }
    }
    Ok(())
}
