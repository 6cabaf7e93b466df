//! Every expression of `tests/flink/expressions` has the type and the value that Flink gave for it.

use differential::evaluate::Evaluated;
use differential::refusals::Refusals;
use differential::{expressions, gaps};

#[test]
fn expressions_are_what_flink_gives() {
    let mut gaps = gaps::read().unwrap();
    let (mut wrong, mut equal, mut refusals) = (Vec::new(), Vec::new(), Refusals::new("expressions"));
    let mut count = 0;
    for family in expressions::families().unwrap() {
        let written = expressions::written_file(&family);
        for one in expressions::compare(&written, &expressions::golden_file(&family)).unwrap() {
            count += 1;
            let what = format!("expressions/{family}: {}", one.expression);
            if let Evaluated::Error(message) = &one.found {
                refusals.note(&what, message);
            }
            match (one.is_equal, gaps.remove(&what)) {
                (true, None) | (false, Some(_)) => {}
                (false, None) => wrong.push(format!("{family}: {}", expressions::show(&one))),
                (true, Some(_)) => equal.push(what),
            }
        }
    }
    equal.extend(gaps.into_keys().filter(|what| what.starts_with("expressions/")));
    if !gaps::close(&equal).unwrap() {
        wrong.extend(
            equal.iter().map(|what| format!("{what}\n    is equal now or gone: remove it from gaps.txt")),
        );
    }
    wrong.extend(refusals.differences().unwrap());
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
