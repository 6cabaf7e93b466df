//! A `.proto` text without comments and superfluous blanks.

/// What two texts have in common that differ in their layout only.
pub(crate) fn without_layout(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut is_parted = false;
    let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-' | '+');
    while let Some(letter) = rest.next() {
        match letter {
            '/' if rest.peek() == Some(&'/') => {
                rest.by_ref().find(|letter| *letter == '\n');
                is_parted = true;
            }
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                let mut last = ' ';
                rest.by_ref().find(|letter| std::mem::replace(&mut last, *letter) == '*' && *letter == '/');
                is_parted = true;
            }
            blank if blank.is_whitespace() => is_parted = true,
            quote @ ('"' | '\'') => {
                out.push(quote);
                let mut is_escaped = false;
                for letter in rest.by_ref() {
                    out.push(letter);
                    if letter == quote && !is_escaped {
                        break;
                    }
                    is_escaped = letter == '\\' && !is_escaped;
                }
                is_parted = false;
            }
            letter => {
                if is_parted && is_word(letter) && out.ends_with(is_word) {
                    out.push(' ');
                }
                out.push(letter);
                is_parted = false;
            }
        }
    }
    out
}
