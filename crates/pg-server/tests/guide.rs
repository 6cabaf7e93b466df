//! The statements of docs/guide/postgresql-queries.md run as they stand there.

mod site;

use site::Site;

#[test]
fn every_statement_of_the_guide_runs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/postgresql-queries.md");
    let guide = std::fs::read_to_string(path).expect("the guide");
    let site = Site::new();
    site.topic("orders", 2);
    site.produce("orders", 0, &[r#"{"city": "Rome", "total": 5, "to": {"street": "Via"}}"#; 3]);
    site.produce("orders", 1, &[r#"{"city": "Oslo", "total": 1.5}"#]);
    site.sell(1_000, &[("Rome", 1, Some(5)), ("Oslo", 2, None)]);
    let mut client = site.client();
    let mut count = 0;
    for block in guide.split("```sql\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for statement in block.lines() {
            let got = client.query(statement);
            assert!(got.errors.is_empty(), "{statement}: {got:?}");
            assert!(!got.tags.is_empty(), "{statement}: {got:?}");
            count += 1;
        }
    }
    assert!(count > 20, "{count} statements");
}
