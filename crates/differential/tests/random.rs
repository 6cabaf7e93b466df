//! RAND, RAND_INTEGER and UUID give the same values when a job is restored amid its input, whatever the number of workers:
//! a replay must give the rows that were there.

use differential::run::Manner;
use differential::statements::{Runner, data_folder, split};

/// Steps that are cut in the same way.
const CUT: Option<u64> = Some(7);

fn rows(query: &str, workers: usize, restored_workers: Option<usize>) -> Vec<String> {
    let mut runner = Runner::default();
    let declarations = std::fs::read_to_string(data_folder().join("declarations.sql")).unwrap();
    let declarations = declarations.replace("${data}", &data_folder().display().to_string());
    split(&declarations).iter().for_each(|statement| runner.declare(statement).unwrap());
    runner.rows_in(query, Manner { workers, cut: CUT, restored_workers }).unwrap()
}

#[test]
fn random_values_are_the_same_after_a_restore() {
    for query in [
        "SELECT bidder, price, RAND(), RAND_INTEGER(1000000), UUID(), RAND(7), UUID() FROM bids",
        "SELECT bidder, price FROM bids WHERE RAND() < 0.5",
        "SELECT b.bidder, a.item, UUID() FROM bids AS b JOIN auctions AS a ON b.auction = a.id AND RAND() < 0.5",
        "SELECT auction, COUNT(*), SUM(r) FROM (SELECT auction, RAND() AS r FROM bids) GROUP BY auction",
    ] {
        let whole = rows(query, 1, None);
        assert!(!whole.is_empty(), "{query}");
        for (workers, restored) in [(1, Some(1)), (1, Some(3)), (3, Some(2)), (4, None)] {
            assert_eq!(
                whole,
                rows(query, workers, restored),
                "{query}: {workers} workers, then {restored:?}"
            );
        }
    }
}

#[test]
fn two_calls_and_two_rows_draw_different_values() {
    let rows = rows("SELECT UUID(), UUID() FROM bids", 1, None);
    let values: std::collections::BTreeSet<&str> =
        rows.iter().flat_map(|row| row.trim_matches(['(', ')']).split(", ")).collect();
    assert_eq!(values.len(), 2 * rows.len());
}
