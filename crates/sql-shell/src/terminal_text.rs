//! Words in columns, as a terminal lists them.

use unicode_width::UnicodeWidthStr;

pub fn in_columns(words: &[String], columns: usize) -> String {
    let wide = words.iter().map(|word| word.width()).max().unwrap_or(0) + 2;
    let in_line = (columns / wide).max(1);
    let mut text = String::new();
    for line in words.chunks(in_line) {
        let cells: Vec<String> =
            line.iter().map(|word| format!("{word}{}", " ".repeat(wide - word.width()))).collect();
        text.push_str(cells.concat().trim_end());
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::in_columns;

    #[test]
    fn words_stand_under_one_another() {
        let words = ["a", "東京", "c"].map(String::from);
        assert_eq!(in_columns(&words, 13), "a     東京\r\nc\r\n");
        assert_eq!(in_columns(&words, 1), "a\r\n東京\r\nc\r\n");
    }
}
