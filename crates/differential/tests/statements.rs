//! Every query of `tests/flink/statements` gives the columns and net rows that Flink gave, in all manners of running.

use differential::refusals::Refusals;
use differential::statements::Given;
use differential::{gaps, statements};
use std::sync::Mutex;

#[test]
fn statements_give_the_rows_of_flink() {
    let mut gaps = gaps::read().unwrap();
    let topics = statements::topics().unwrap();
    let compared = Mutex::new(Vec::new());
    let next = Mutex::new(topics.iter());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let Some(topic) = next.lock().unwrap().next() else { break };
                    let (written, golden) = (statements::written_file(topic), statements::golden_file(topic));
                    let found = statements::compare(&written, &golden);
                    compared.lock().unwrap().push((topic, found));
                }
            });
        }
    });
    let (mut wrong, mut equal, mut refusals) = (Vec::new(), Vec::new(), Refusals::new("statements"));
    let mut count = 0;
    for (topic, found) in compared.into_inner().unwrap() {
        for one in found.unwrap() {
            count += 1;
            let what = format!("statements/{topic}: {}", one.query);
            if let Given::Error(message) = &one.found {
                refusals.note(&what, message);
            }
            match (one.difference.is_none(), gaps.remove(&what)) {
                (true, None) | (false, Some(_)) => {}
                (false, None) => wrong.push(format!("{topic}: {}", statements::show(&one, false))),
                (true, Some(_)) => equal.push(what),
            }
        }
    }
    equal.extend(gaps.into_keys().filter(|what| what.starts_with("statements/")));
    if !gaps::close(&equal).unwrap() {
        wrong.extend(
            equal.iter().map(|what| format!("{what}\n    is equal now or gone: remove it from gaps.txt")),
        );
    }
    wrong.extend(refusals.differences().unwrap());
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
