//! Keeps templates small enough to be read: minijinja's trees grow by one level a token, and are
//! walked and dropped by recursion.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

use super::growth::Growth;

/// Tokens between `{{` and `}}`.
const TAG_TOKENS: usize = 400;

/// `{{ … }}` and `{% … %}` in one template.
const TAGS: usize = 2_000;

/// Refuses a template that is too long to be read.
pub(super) fn check(text: &str) -> Result<(), Error> {
    let refused = |why| Err(Error::new(ErrorKind::SyntaxError, why));
    let (mut tags, mut tag, mut growth) = (0, Vec::new(), Growth::default());
    for token in tokenize(text, false, SyntaxConfig::default()) {
        // What can't be split into tokens is told with its place by the parser.
        let Ok((token, _)) = token else { return Ok(()) };
        match token {
            Token::VariableStart | Token::BlockStart => {
                tag.clear();
                tags += 1;
            }
            Token::VariableEnd | Token::BlockEnd => {
                if !growth.allows(&tag) {
                    return refused(
                        "it puts a value into itself again and again: it would not end",
                    );
                }
                tag.clear();
            }
            token => tag.push(token),
        }
        if tag.len() > TAG_TOKENS || tags > TAGS {
            return refused("it is too long: split it up");
        }
    }
    Ok(())
}
