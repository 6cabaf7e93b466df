//! A deterministic fuzz: damaged statements of the corpus must be answered, never panic, and their messages must
//! render.

use crate::golden;
use sql::parser::parse_script;
use sql::source::SourceText;

/// xorshift64*: the same texts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// Pieces that change what surrounds them.
const PIECES: &[&str] = &[
    "(",
    ")",
    "'",
    "`",
    "\"",
    ";",
    ",",
    ".",
    "*",
    "/*",
    "*/",
    "/*+",
    "--",
    "\n",
    "<",
    ">",
    "[",
    "]",
    "=",
    "=>",
    "${A}",
    "SELECT ",
    "FROM ",
    " AS ",
    " NOT ",
    " ON ",
    " BY ",
    " END",
    "1e",
    "0x",
    "U&'\\d83d'",
    "é",
    "\u{1f600}",
    "\u{0}",
    "INTERVAL '",
    " OVER (",
    "ROW<",
    "CASE ",
    "VALUES ",
    "9999999999999999999999",
    "\\",
];

fn mutate(text: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(3) {
        let at = random.below(letters.len() + 1);
        match random.below(5) {
            0 => {
                let end = (at + random.below(12)).min(letters.len());
                letters.drain(at..end);
            }
            1 | 2 => {
                let piece = PIECES[random.below(PIECES.len())];
                letters.splice(at..at, piece.chars());
            }
            3 => {
                let from = random.below(letters.len() + 1);
                let end = (from + random.below(20)).min(letters.len());
                let copy: Vec<char> = letters[from..end].to_vec();
                letters.splice(at..at, copy);
            }
            _ => letters.truncate(at),
        }
    }
    letters.into_iter().collect()
}

#[test]
fn no_damage_makes_the_parser_panic() {
    let mut random = Random(0x5eed);
    let mut refused = 0;
    let mut stable = 0;
    for (_, text) in golden::files(&golden::directory("parser/corpus"), ".sql") {
        for statement in text.trim().split("\n\n") {
            for _ in 0..100 {
                let damaged = mutate(statement, &mut random);
                let lookup = |name: &str| (name == "A").then(|| "a'b".to_string());
                let (source, _) = SourceText::with_variables("damaged.sql", damaged.as_str(), &lookup);
                let (statements, diagnostics) = parse_script(&source);
                for diagnostic in &diagnostics {
                    let rendered = diagnostic.render(&source);
                    assert!(rendered.contains("--> damaged.sql:"), "{rendered}");
                    assert!(
                        diagnostic.span.end as usize <= source.text().len(),
                        "{damaged:?}: {diagnostic:?}"
                    );
                    assert!(source.text().is_char_boundary(diagnostic.span.start as usize), "{damaged:?}");
                }
                refused += usize::from(!diagnostics.is_empty());
                // What is still a statement keeps its meaning through its canonical text.
                for statement in &statements {
                    let once = statement.to_string();
                    let (again, diagnostics) = parse_script(&SourceText::new("canonical", once.as_str()));
                    assert!(diagnostics.is_empty(), "{damaged:?}\n{once}\n{diagnostics:?}");
                    assert_eq!(again.len(), 1, "{damaged:?}\n{once}");
                    assert_eq!(again[0].to_string(), once, "{damaged:?}");
                    stable += 1;
                }
            }
        }
    }
    assert!(
        refused > 10_000 && stable > 1500,
        "the mutations do not bite: refused={refused} stable={stable}"
    );
}
