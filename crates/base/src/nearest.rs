//! Finds the known name that a misspelt one most likely meant.
//!
//! Restricted Damerau-Levenshtein distance, ignoring case; a candidate counts as near when no more
//! than a third of its letters differ.

/// The nearest of `candidates` to `name`, or `None` when none is near enough to be worth a hint.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().flat_map(char::to_lowercase).take(LENGTH_MAX).collect();
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).take(LENGTH_MAX).collect();
        let distance = distance(&wanted, &letters);
        let allowed = (wanted.len().max(letters.len()) / 3).max(1);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longer names are compared by their beginning: the work is quadratic in the length.
const LENGTH_MAX: usize = 128;

fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before_last = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    let mut current = vec![0; width];
    for i in 1..=a.len() {
        current[0] = i;
        for j in 1..width {
            let substitution = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = substitution.min(last[j] + 1).min(current[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            current[j] = least;
        }
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut current);
    }
    last[width - 1]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_a_swapped_or_missing_letter_and_refuses_strangers() {
        let names = ["connector", "format", "topic", "scan.startup.mode"];
        assert_eq!(nearest("conector", names), Some("connector"));
        assert_eq!(nearest("tpoic", names), Some("topic"));
        assert_eq!(nearest("scan.startup.mod", names), Some("scan.startup.mode"));
        assert_eq!(nearest("FORMAT", names), Some("format"));
        assert_eq!(nearest("watermark", names), None);
        assert_eq!(nearest("", names), None);
    }
}
