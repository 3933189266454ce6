//! Texts of others, as a terminal may print them: nothing in them moves a cursor, changes a colour or
//! turns the direction of reading.

use std::borrow::Cow;

/// The text without control characters and the sequences that they begin. Tabs stay, line ends do
/// not.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(misleads) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' && letters.next_if_eq(&'[').is_some() {
            // Parameters, then a letter that says what to do with them.
            while letters.next_if(|next| matches!(next, ' '..='?')).is_some() {}
            letters.next_if(|next| matches!(next, '@'..='~'));
        } else if !misleads(letter) {
            kept.push(letter);
        }
    }
    Cow::Owned(kept)
}

fn misleads(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || matches!(letter, '\u{2028}' | '\u{2029}') || (letter.is_control() && letter != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for (said, shown) in [
            ("plain\ttext ä", "plain\ttext ä"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
            ("a\u{9b}2Jb\u{0}c\r\n", "a2Jbc"),
            ("\u{202e}txt.exe\u{2028}", "txt.exe"),
            ("cut \u{1b}[", "cut "),
        ] {
            assert_eq!(plain(said), shown, "{said:?}");
        }
    }
}
