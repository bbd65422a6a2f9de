//! Refuses templates whose texts grow by themselves: fuel counts instructions, not bytes, and thirty
//! times `{% set a = a ~ a %}` is a gigabyte.

use std::collections::HashSet;

use minijinja::machinery::Token;

/// How often the values that a template sets may go into each other, multiplied along the way.
const MOST: u64 = 256;

/// What a template has set so far.
#[derive(Debug, Default)]
pub(super) struct Growth<'t> {
    /// Names that it has set, and macros.
    names: HashSet<&'t str>,
    macros: HashSet<&'t str>,
    /// How much they may have grown: twice as long for each that stands in another twice.
    factor: u64,
    loops: usize,
    /// `{% set name %}` that is not ended yet, and how many names stand in it.
    captured: Vec<u64>,
}

impl<'t> Growth<'t> {
    /// Takes the tokens within one `{{ … }}` or `{% … %}`; returns whether the template may go on.
    pub(super) fn allows(&mut self, tag: &[Token<'t>]) -> bool {
        match tag {
            [Token::Ident("for"), ..] => self.loops += 1,
            [Token::Ident("endfor"), ..] => self.loops = self.loops.saturating_sub(1),
            [Token::Ident("macro"), Token::Ident(name), ..] => {
                self.macros.insert(name);
            }
            [Token::Ident("endset"), ..] => {
                let mentions = self.captured.pop().unwrap_or_default();
                self.grow(mentions);
            }
            [Token::Ident("set"), Token::Ident(name), rest @ ..] => {
                return self.set(name, rest);
            }
            _ => {
                let (mentions, calls) = (self.mentions(tag), self.calls(tag));
                match self.captured.last_mut() {
                    Some(captured) => *captured += mentions + doubled(calls) - 1,
                    // Beside each other they only add up.
                    None => self.grow(doubled(calls.saturating_sub(1))),
                }
            }
        }
        self.factor <= MOST
    }

    fn set(&mut self, name: &'t str, rest: &[Token<'t>]) -> bool {
        let assign = rest.iter().position(|token| matches!(token, Token::Assign));
        let Some(assign) = assign else {
            self.captured.push(0);
            self.names.insert(name);
            return true;
        };
        let (target, value) = rest.split_at(assign);
        let own: Vec<_> = std::iter::once(Some(name)).chain(target.iter().map(text)).collect();
        let is_own = |at: &&[Token<'t>]| at.iter().map(text).eq(own.iter().copied());
        if self.loops > 0 && value.windows(own.len()).filter(is_own).count() > 1 {
            return false;
        }
        self.grow(self.mentions(value));
        self.grow(doubled(self.calls(value)));
        self.names.insert(name);
        self.factor <= MOST
    }

    fn grow(&mut self, mentions: u64) {
        self.factor = self.factor.max(1).saturating_mul(mentions.max(1));
    }

    /// How many names that were set stand in there.
    fn mentions(&self, tokens: &[Token<'t>]) -> u64 {
        names(tokens).filter(|name| self.names.contains(name)).count() as u64
    }

    /// How many calls of macros.
    fn calls(&self, tokens: &[Token<'t>]) -> u64 {
        names(tokens).filter(|name| self.macros.contains(name)).count() as u64
    }
}

/// What calls within calls may come to, if each says twice what it is given.
fn doubled(calls: u64) -> u64 {
    1 << calls.min(60)
}

/// Names of variables and calls, without attributes and filters.
fn names<'t>(tokens: &[Token<'t>]) -> impl Iterator<Item = &'t str> {
    let before = std::iter::once(None).chain(tokens.iter().map(Some));
    before.zip(tokens).filter_map(|(before, token)| match (before, token) {
        (Some(Token::Dot | Token::Pipe), _) => None,
        (_, Token::Ident(name)) => Some(*name),
        _ => None,
    })
}

/// What a token of a path is; nothing for any other.
fn text<'t>(token: &Token<'t>) -> Option<&'t str> {
    match token {
        Token::Ident(name) => Some(name),
        Token::Dot => Some("."),
        _ => None,
    }
}
