//! Lookup joins against a scripted outside table: rows, order, watermarks, caches, replays and restores.

use super::fixtures::*;
use crate::engine::{DataflowOptions, Question, ScanInput, StepInput, StepOutput};
use crate::expression::Expression;
use crate::lookup::{AnswerRows, Found, LookupCodec};
use crate::plan::{
    AggregateFunction, JoinKind, LookupAsking, LookupCache, LookupJoin, NodeId, NodeKind, Plan, WindowKind,
    answers_schema,
};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::{DataType, Field, Schema};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const ORDERS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];
const SHOPS: &[(&str, DataType)] =
    &[("id", DataType::Utf8), ("city", DataType::Utf8), ("rank", DataType::Int32)];

const NO_CACHE: Option<LookupCache> = None;
const CACHE: LookupCache = LookupCache {
    keys_max: None,
    expire_after_write_ms: None,
    expire_after_access_ms: None,
    caches_missing_keys: true,
};

struct Job {
    plan: Arc<Plan>,
    orders: NodeId,
    answers: NodeId,
    codec: LookupCodec,
}

#[derive(Clone)]
struct Kind {
    join: JoinKind,
    ordered: bool,
    cache: Option<LookupCache>,
    residual: Option<Arc<dyn Expression>>,
}

fn kind(join: JoinKind, ordered: bool, cache: Option<LookupCache>) -> Kind {
    Kind { join, ordered, cache, residual: None }
}

/// `orders JOIN shops ON k = id`, and how many orders each window of 10 ms has behind it.
fn job(kind: &Kind) -> Job {
    let mut planner = Planner::default();
    let orders = planner.scan("orders", ORDERS, true);
    let marked = planner.watermark(orders, 0, 3);
    let (join, answers, codec) = looked_up(&mut planner, marked, kind);
    planner.sink(join, "out");
    let window = WindowKind::Tumble { size_ms: 10, offset_ms: 0 };
    let counts =
        planner.aggregate(join, 0, window, &[], vec![call(AggregateFunction::Count, None, DataType::Int64)]);
    planner.sink(counts, "windows");
    Job { plan: planner.build(), orders, answers, codec }
}

/// The join of orders with shops, its answers, and how they are written.
fn looked_up(planner: &mut Planner, marked: NodeId, kind: &Kind) -> (NodeId, NodeId, LookupCodec) {
    let answers = planner.add(NodeKind::LookupAnswers, &[], answers_schema());
    let shops = schema(SHOPS);
    let fields =
        planner.schema(marked).fields().iter().chain(shops.fields()).cloned().collect::<Vec<Arc<Field>>>();
    let join = LookupJoin {
        kind: kind.join,
        table: table("shops", shops),
        projection: vec![0, 1, 2],
        stream_keys: vec![1],
        table_keys: vec![0],
        residual: kind.residual.clone(),
        ordered: kind.ordered,
        cache: kind.cache,
        asking: LookupAsking::DEFAULT,
    };
    let codec = LookupCodec::new(&join).unwrap();
    let join =
        planner.add(NodeKind::LookupJoin(Box::new(join)), &[marked, answers], Arc::new(Schema::new(fields)));
    (join, answers, codec)
}

/// Shops by id.
type Shops = BTreeMap<&'static str, Vec<(&'static str, i32)>>;

fn shops() -> Shops {
    BTreeMap::from([
        ("k0", vec![("Ulm", 4)]),
        ("k1", vec![("Bonn", 1), ("Kiel", 9)]),
        ("k2", vec![("Trier", 7)]),
        ("k4", vec![]),
    ])
}

impl Job {
    /// What an outside table answers.
    fn answer(&self, shops: &Shops, questions: &[Question]) -> RecordBatch {
        let keys = self.codec.keys(questions.iter().map(|question| question.key.as_slice())).unwrap();
        let (mut text, mut counts) = (String::new(), Vec::new());
        for key in keys.column(0).as_string::<i32>() {
            let found = shops.get(key.unwrap()).map_or(&[][..], Vec::as_slice);
            counts.push(found.len() as u32);
            for (city, rank) in found {
                text += &format!("{} {city} {rank}\n", key.unwrap());
            }
        }
        let found = Found { rows: rows(&schema(SHOPS), &text), counts };
        let numbers: Vec<u64> = questions.iter().map(|question| question.number).collect();
        let mut answers = AnswerRows::default();
        for record in self.codec.answers(&numbers, &found).unwrap() {
            answers.push(&record).unwrap();
        }
        answers.finish().unwrap()
    }

    fn orders(&self, text: &str, finished: bool) -> ScanInput {
        read(self.orders, 0, rows(&schema(ORDERS), text), finished)
    }

    fn answers(&self, shops: &Shops, questions: &[Question]) -> ScanInput {
        read(self.answers, 0, self.answer(shops, questions), false)
    }

    fn end_of_answers(&self) -> ScanInput {
        read(self.answers, 0, RecordBatch::new_empty(answers_schema()), true)
    }

    fn lines(&self, output: &StepOutput) -> Vec<String> {
        output_lines(&self.plan, output)
    }
}

fn at(clock_ms: i64, reads: Vec<ScanInput>) -> StepInput {
    StepInput { clock_ms, reads }
}

#[test]
fn rows_wait_for_their_answer_and_leave_in_order() {
    let job = job(&kind(JoinKind::Left, true, NO_CACHE));
    let mut dataflow = dataflow(&job.plan);
    let first = step(&mut dataflow, vec![job.orders("1 k1 10\n2 k0 20\n3 - 30\n4 k9 40", false)]).unwrap();
    assert!(job.lines(&first).is_empty());
    let asked: Vec<u64> = first.questions.iter().map(|question| question.number).collect();
    assert_eq!(asked, [1, 2, 4]);
    // The second answer comes first, and waits for the first; the row without a key stands in line too.
    let second = step(&mut dataflow, vec![job.answers(&shops(), &first.questions[1..])]).unwrap();
    assert!(job.lines(&second).is_empty());
    assert_eq!(dataflow.lookups()[0].waiting, 4);
    let third = step(&mut dataflow, vec![job.answers(&shops(), &first.questions[..1])]).unwrap();
    assert_eq!(
        job.lines(&third),
        [
            "out: 1 k1 10 k1 Bonn 1",
            "out: 1 k1 10 k1 Kiel 9",
            "out: 2 k0 20 k0 Ulm 4",
            "out: 3 - 30 - - -",
            "out: 4 k9 40 - - -"
        ]
    );
    // A second answer to the same question reaches nobody.
    let fourth = step(&mut dataflow, vec![job.answers(&shops(), &first.questions[..1])]).unwrap();
    assert!(job.lines(&fourth).is_empty());
}

#[test]
fn unordered_rows_leave_with_their_answer_and_the_watermark_waits() {
    let job = job(&kind(JoinKind::Inner, false, NO_CACHE));
    let mut dataflow = dataflow(&job.plan);
    let first = step(&mut dataflow, vec![job.orders("1 k0 10\n25 k2 20\n26 - 30\n50 k9 40", false)]).unwrap();
    let second = step(&mut dataflow, vec![job.answers(&shops(), &first.questions[1..])]).unwrap();
    // The window of the first row must not be over before that row was there.
    assert_eq!(job.lines(&second), ["out: 25 k2 20 k2 Trier 7"]);
    let third = step(&mut dataflow, vec![job.answers(&shops(), &first.questions[..1])]).unwrap();
    assert_eq!(job.lines(&third), ["out: 1 k0 10 k0 Ulm 4", "windows: 1 0 10 9", "windows: 1 20 30 29"]);
    assert_eq!(third.late_rows, 0);
}

#[test]
fn further_conditions_choose_among_what_was_found() {
    let residual = Some(greater(5, 5));
    for (join, expected) in [
        (JoinKind::Inner, vec!["out: 1 k1 10 k1 Kiel 9"]),
        (JoinKind::Left, vec!["out: 1 k1 10 k1 Kiel 9", "out: 2 k0 20 - - -"]),
    ] {
        let job = job(&Kind { residual: residual.clone(), ..kind(join, true, NO_CACHE) });
        let mut dataflow = dataflow(&job.plan);
        let first = step(&mut dataflow, vec![job.orders("1 k1 10\n2 k0 20", false)]).unwrap();
        let second = step(&mut dataflow, vec![job.answers(&shops(), &first.questions)]).unwrap();
        assert_eq!(job.lines(&second), expected);
    }
}

#[test]
fn it_is_done_when_its_stream_has_ended_and_nothing_waits() {
    let job = job(&kind(JoinKind::Inner, true, NO_CACHE));
    let mut dataflow = dataflow(&job.plan);
    let first = step(&mut dataflow, vec![job.orders("1 k0 10", true)]).unwrap();
    assert!(!dataflow.lookups()[0].is_done);
    let second = step(&mut dataflow, vec![job.answers(&shops(), &first.questions)]).unwrap();
    assert!(dataflow.lookups()[0].is_done);
    assert_eq!(job.lines(&second), ["out: 1 k0 10 k0 Ulm 4", "windows: 1 0 10 9"]);
}

#[test]
fn a_join_is_idle_while_its_stream_is_and_nothing_waits() {
    let mut planner = Planner::default();
    let [orders, others] = ["orders", "others"].map(|name| planner.scan(name, ORDERS, false));
    let [marked, other] = [orders, others].map(|scan| planner.watermark_with_idleness(scan, 0, 0));
    let (join, answers, codec) = looked_up(&mut planner, marked, &kind(JoinKind::Left, true, NO_CACHE));
    let wanted = planner.project(join, &[("t", column(0, TIMESTAMP)), ("k", column(1, DataType::Utf8))]);
    let other = planner.project(other, &[("t", column(0, TIMESTAMP)), ("k", column(1, DataType::Utf8))]);
    let both = planner.union(&[wanted, other]);
    let window = WindowKind::Tumble { size_ms: 10, offset_ms: 0 };
    let counts =
        planner.aggregate(both, 0, window, &[], vec![call(AggregateFunction::Count, None, DataType::Int64)]);
    planner.sink(counts, "windows");
    let job = Job { plan: planner.build(), orders, answers, codec };
    let mut flow = dataflow(&job.plan);
    let other = |text: &str| read(others, 0, rows(&schema(ORDERS), text), false);
    let idle = || ScanInput { idle: true, ..job.orders("", false) };
    let mut take = |reads: Vec<ScanInput>| {
        let output = step(&mut flow, reads).unwrap();
        (job.lines(&output), output.questions)
    };
    let (_, asked) = take(vec![job.orders("1 k0 1", false)]);
    // The stream is idle, and a row of it still waits.
    assert_eq!(take(vec![idle()]).0, [""; 0]);
    assert_eq!(take(vec![other("15 k 1\n25 k 1")]).0, [""; 0]);
    // The answer lets it go: what is behind it no longer waits for the stream.
    assert_eq!(take(vec![job.answers(&shops(), &asked)]).0, ["windows: 1 0 10 9", "windows: 1 10 20 19"]);
    assert_eq!(take(vec![other("35 k 1")]).0, ["windows: 1 20 30 29"]);
    // A row ends it. Once its answer has brought the stream up with the other, that one waits for the next row.
    let (_, asked) = take(vec![job.orders("36 k0 1", false)]);
    assert_eq!(take(vec![job.answers(&shops(), &asked)]).0, [""; 0]);
    let (_, asked) = take(vec![job.orders("38 k0 1", false)]);
    assert_eq!(take(vec![other("45 k 1")]).0, [""; 0]);
    assert_eq!(take(vec![job.answers(&shops(), &asked)]).0, [""; 0]);
    // Nothing waits when the stream falls idle again.
    assert_eq!(take(vec![idle()]).0, ["windows: 3 30 40 39"]);
}

#[test]
fn answers_end_behind_the_last_scan_that_asks() {
    let mut planner = Planner::default();
    let ids: &[(&str, DataType)] = &[("id", DataType::Utf8)];
    let stream = planner.scan("stream", ids, false);
    let orders = planner.scan("orders", ORDERS, true);
    let names = planner.scan("names", ids, true);
    let known = planner.join([orders, names], JoinKind::Inner, (1, 0), None);
    let (looked_up, answers, _) = looked_up(&mut planner, known, &kind(JoinKind::Inner, true, NO_CACHE));
    let join = planner.join([stream, looked_up], JoinKind::Inner, (0, 1), None);
    planner.sink(join, "out");
    let plan = planner.build();
    plan.validate().unwrap();
    assert_eq!([names, orders, answers, stream].map(|scan| plan.phase(scan)), [0, 1, 1, 2]);
}

/// Steps with their clocks: the orders' keys, and how many questions they ask. Answers come at once.
fn asked(cache: LookupCache, steps: &[(i64, &str)]) -> Vec<String> {
    let job = job(&kind(JoinKind::Left, true, Some(cache)));
    let mut dataflow = dataflow(&job.plan);
    let mut asked = Vec::new();
    for (clock_ms, keys) in steps {
        let text: String = keys.split_whitespace().map(|key| format!("{clock_ms} {key} 1\n")).collect();
        let output = dataflow.step(at(*clock_ms, vec![job.orders(&text, false)])).unwrap();
        let batch = job.codec.keys(output.questions.iter().map(|question| question.key.as_slice())).unwrap();
        let keys: Vec<_> = batch.column(0).as_string::<i32>().iter().flatten().map(str::to_string).collect();
        asked.push(keys.join(" "));
        let answered = dataflow.step(at(*clock_ms, vec![job.answers(&shops(), &output.questions)])).unwrap();
        assert!(answered.questions.is_empty());
        assert_eq!(dataflow.lookups()[0].waiting, 0);
    }
    asked
}

#[test]
fn a_cache_asks_once() {
    assert_eq!(asked(CACHE, &[(0, "k0 k0 k9"), (1, "k9 k1 k0")]), ["k0 k9", "k1"]);
    let forgets_missing = LookupCache { caches_missing_keys: false, ..CACHE };
    assert_eq!(asked(forgets_missing, &[(0, "k0 k9"), (1, "k9 k0")]), ["k0 k9", "k9"]);
}

#[test]
fn cached_answers_expire_by_the_clock_of_the_steps() {
    let written = LookupCache { expire_after_write_ms: Some(10), ..CACHE };
    assert_eq!(asked(written, &[(0, "k0"), (9, "k0"), (10, "k0"), (19, "k0")]), ["k0", "", "k0", ""]);
    let used = LookupCache { expire_after_access_ms: Some(10), ..CACHE };
    assert_eq!(asked(used, &[(0, "k0"), (9, "k0"), (18, "k0"), (28, "k0")]), ["k0", "", "", "k0"]);
    let both = LookupCache { expire_after_write_ms: Some(15), ..used };
    assert_eq!(asked(both, &[(0, "k0"), (9, "k0"), (15, "k0")]), ["k0", "", "k0"]);
}

#[test]
fn a_full_cache_forgets_what_was_not_used() {
    let small = LookupCache { keys_max: Some(2), ..CACHE };
    // k0 is used again and stays; k1 is the oldest of the others.
    assert_eq!(
        asked(small, &[(0, "k0 k1"), (1, "k0"), (2, "k2"), (3, "k0 k2"), (4, "k1")]),
        ["k0 k1", "", "k2", "", "k1"]
    );
    let none = LookupCache { keys_max: Some(0), ..CACHE };
    assert_eq!(asked(none, &[(0, "k0"), (1, "k0")]), ["k0", "k0"]);
}

#[test]
fn with_a_cache_rows_share_the_question_that_is_under_way() {
    for (cache, expected) in [(Some(CACHE), 0), (NO_CACHE, 1)] {
        let job = job(&kind(JoinKind::Inner, true, cache));
        let mut dataflow = dataflow(&job.plan);
        let first = step(&mut dataflow, vec![job.orders("1 k0 10", false)]).unwrap();
        let second = step(&mut dataflow, vec![job.orders("2 k0 20", false)]).unwrap();
        // Without one, a row never sees what was there before it came.
        assert_eq!(second.questions.len(), expected);
        let all = [first.questions, second.questions].concat();
        let third = step(&mut dataflow, vec![job.answers(&shops(), &all)]).unwrap();
        assert_eq!(job.lines(&third).len(), 2);
    }
}

/// A generator of small numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

struct Story {
    steps: Vec<StepInput>,
    hashes: Vec<u64>,
    questions: Vec<Vec<Question>>,
    lines: Vec<String>,
}

/// Orders in steps of random sizes, answers in a random order and late, until nothing waits.
fn live(job: &Job, orders: &[String], rows_max: u64, seed: u64) -> Story {
    let mut random = Random(seed);
    let mut dataflow = dataflow(&job.plan);
    let mut story = Story { steps: Vec::new(), hashes: Vec::new(), questions: Vec::new(), lines: Vec::new() };
    let mut rest: VecDeque<&String> = orders.iter().collect();
    let mut open: Vec<Question> = Vec::new();
    let (mut is_ended, mut clock_ms) = (false, 0);
    while !is_ended || !dataflow.lookups()[0].is_done {
        let mut reads = Vec::new();
        if random.below(3) > 0 && !is_ended {
            let size = (1 + random.below(rows_max) as usize).min(rest.len());
            let lines: Vec<&str> = rest.drain(..size).map(String::as_str).collect();
            is_ended = rest.is_empty();
            reads.push(job.orders(&lines.join("\n"), is_ended));
        }
        let mut answered = Vec::new();
        while !open.is_empty() && random.below(3) > 0 {
            answered.push(open.swap_remove(random.below(open.len() as u64) as usize));
        }
        if !answered.is_empty() {
            let place = random.below(reads.len() as u64 + 1) as usize;
            reads.insert(place, job.answers(&shops(), &answered));
        }
        clock_ms += random.below(3) as i64;
        story.steps.push(at(clock_ms, reads));
        let output = dataflow.step(story.steps[story.steps.len() - 1].clone()).unwrap();
        assert_eq!(output.late_rows, 0);
        open.extend(output.questions.clone());
        story.lines.extend(job.lines(&output));
        story.hashes.push(output.hash);
        story.questions.push(output.questions);
    }
    story.steps.push(at(clock_ms, vec![job.end_of_answers()]));
    let output = dataflow.step(story.steps[story.steps.len() - 1].clone()).unwrap();
    story.lines.extend(job.lines(&output));
    story.hashes.push(output.hash);
    story.questions.push(output.questions);
    story
}

fn orders(random: &mut Random, count: i64) -> Vec<String> {
    let order = |n: i64| {
        let key = random.below(7);
        let key = if key == 6 { "-".to_string() } else { format!("k{key}") };
        format!("{} {key} {n}", n * 2 + random.below(3) as i64)
    };
    (0..count).map(order).collect()
}

/// What a join of the orders with the shops as they are is.
fn model(orders: &[String], kind: &Kind) -> Vec<String> {
    let shops = shops();
    let mut lines = Vec::new();
    for order in orders {
        let key = order.split(' ').nth(1).unwrap();
        let found = shops.get(key).map_or(&[][..], Vec::as_slice);
        let matching = found.iter().filter(|(_, rank)| kind.residual.is_none() || *rank > 5);
        let before = lines.len();
        lines.extend(matching.map(|(city, rank)| format!("out: {order} {key} {city} {rank}")));
        if lines.len() == before && kind.join == JoinKind::Left {
            lines.push(format!("out: {order} - - -"));
        }
    }
    lines
}

fn kinds() -> Vec<Kind> {
    let caches = [
        NO_CACHE,
        Some(CACHE),
        Some(LookupCache { expire_after_write_ms: Some(4), keys_max: Some(3), ..CACHE }),
        Some(LookupCache { expire_after_access_ms: Some(3), caches_missing_keys: false, ..CACHE }),
    ];
    let mut kinds = Vec::new();
    for (index, cache) in caches.into_iter().enumerate() {
        for ordered in [true, false] {
            let join = if index % 2 == 0 { JoinKind::Left } else { JoinKind::Inner };
            let residual = (index > 1).then(|| greater(5, 5));
            kinds.push(Kind { residual, ..kind(join, ordered, cache) });
        }
    }
    kinds
}

#[test]
fn rows_do_not_depend_on_steps_nor_on_when_answers_come() {
    for (index, kind) in kinds().iter().enumerate() {
        let job = job(kind);
        let mut random = Random(7 + index as u64);
        let orders = orders(&mut random, 60);
        let mut expected = model(&orders, kind);
        let mut windows: Option<Vec<String>> = None;
        if !kind.ordered {
            expected.sort();
        }
        for rows_max in [1, 4, 25] {
            let story = live(&job, &orders, rows_max, index as u64 * 31 + rows_max);
            let (mut out, mut counts): (Vec<_>, Vec<_>) =
                story.lines.into_iter().partition(|line| line.starts_with("out"));
            if !kind.ordered {
                out.sort();
            }
            assert_eq!(out, expected, "kind {index} rows_max {rows_max}");
            counts.sort();
            assert_eq!(windows.get_or_insert(counts.clone()), &counts, "kind {index} rows_max {rows_max}");
        }
    }
}

#[test]
fn a_replay_gives_the_same_at_any_number_of_workers_and_through_restores() {
    for (index, kind) in kinds().iter().enumerate() {
        let job = job(kind);
        let mut random = Random(100 + index as u64);
        let orders = orders(&mut random, 80);
        let story = live(&job, &orders, 9, index as u64);
        for (workers, budget_bytes, restores) in [(1, usize::MAX, 3), (3, 1, 2), (8, 1 << 12, 4)] {
            let options = || DataflowOptions { workers, parallel_rows_min: 1 };
            let mut home = Home::new(budget_bytes);
            let (mut dataflow, mut store) = home.begin(&job.plan, options());
            let mut open: Vec<Question> = Vec::new();
            for (number, input) in story.steps.iter().enumerate() {
                let output = dataflow.step(input.clone()).unwrap();
                assert_eq!(output.hash, story.hashes[number], "kind {index} step {number} workers {workers}");
                assert_eq!(output.questions, story.questions[number]);
                dataflow.relieve().unwrap();
                open.extend(output.questions);
                let answered = input.reads.iter().filter(|read| read.scan == job.answers);
                for read in answered {
                    let numbers =
                        read.rows.column(0).as_primitive::<arrow_array::types::Int64Type>().values();
                    open.retain(|question| !numbers.contains(&(question.number as i64)));
                }
                if random.below(restores) == 0 {
                    (dataflow, store) = home.restore(&job.plan, options(), (dataflow, store));
                    // Nothing that still waits is forgotten, and nothing else is asked again.
                    assert_eq!(dataflow.open_questions().unwrap(), open);
                }
            }
        }
    }
}
