//! Searches among records, and how much one answer has.

use crate::site::Site;
use crate::{API, append, numbers};
use serde_json::{Value, json};

/// The lines of a search, the last of which says how it ended.
pub(crate) fn search(site: &Site, topic: &str, query: &str) -> (Value, Vec<Value>) {
    let (status, _, body) = site.whole("GET", &format!("{API}/topics/{topic}/search?{query}"), &[], "");
    assert_eq!(status, 200, "{body}");
    // The body is chunked: lines of JSON stand between the sizes.
    let lines: Vec<Value> =
        body.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    (lines.last().expect("it ends").clone(), lines)
}

#[test]
fn a_search_finds_what_fits_and_goes_on_where_it_ended() {
    let site = Site::new();
    site.filled("t", 2, 1_000);
    let found = |query: &str| -> Vec<i64> {
        let (end, lines) = search(&site, "t", query);
        assert_eq!(end["ended"], "end", "{end}");
        let mut found: Vec<i64> = lines
            .iter()
            .filter_map(|line| line["record"]["timestamp"].as_i64())
            .map(|time| time - 1_000_000)
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found("text=HELLO%20777"), [777]);
    assert_eq!(found("key=k5"), [5]);
    assert_eq!(found("where=$.number%20%3E%20997"), [998, 999]);
    assert_eq!(found("where=$.said%20%3D%20%22Hello%2042%22&partition=0"), [42]);
    assert_eq!(found("where=$.said%20%3D%20%22Hello%2042%22&partition=1"), [0; 0]);
    assert_eq!(found("text=hello&since=1000010&until=1000012"), [10, 11, 12]);
    // More fit than are given at once.
    let (mut query, mut all) = ("text=hello".to_owned(), Vec::new());
    loop {
        let (end, lines) = search(&site, "t", &query);
        all.extend(lines.iter().filter_map(|line| line["record"]["timestamp"].as_i64()));
        match end["next"].as_str() {
            Some(next) => query = format!("text=hello&at={next}"),
            None => break,
        }
        assert_eq!(end["ended"], "enough");
    }
    all.sort_unstable();
    assert_eq!(all, (1_000_000..1_001_000).collect::<Vec<_>>());
    site.end();
}

/// What was found, and the bytes of the lines and those read between two messages of how far it has come.
fn portions(lines: &[Value]) -> (Vec<i64>, Vec<usize>, Vec<i64>) {
    let (mut found, mut shown, mut read) = (Vec::new(), vec![0], vec![0]);
    for line in lines {
        match line["record"]["timestamp"].as_i64() {
            Some(time) => {
                found.push(time - 1_000_000);
                *shown.last_mut().expect("one") += line.to_string().len();
            }
            None => {
                shown.push(0);
                read.push(line["bytes"].as_i64().expect("a number"));
            }
        }
    }
    let read = read.windows(2).map(|pair| pair[1] - pair[0]).collect();
    (found, shown, read)
}

#[test]
fn large_records_are_looked_at_in_bounded_pieces() {
    const COUNT: i64 = 40;
    let site = Site::new();
    let mut client = site.filled("t", 1, 0);
    append(&mut client, "t", COUNT, "x".repeat(1_000_000).as_bytes(), &[]);
    let (end, lines) = search(&site, "t", "key=none");
    let (_, _, read) = portions(&lines);
    assert_eq!(end["ended"], "end");
    assert!(read.iter().all(|bytes| *bytes <= 10 << 20), "{read:?}");
    let (_, lines) = search(&site, "t", "text=xx");
    assert_eq!(portions(&lines).0, (0..COUNT).rev().collect::<Vec<_>>(), "each is found once");
    // A page reads so much and no more, and the next one goes on.
    let (mut seen, mut at, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = site.api(&format!("topics/t/records?max=500{at}"));
        let numbers = numbers(&page);
        assert!((1..=33).contains(&numbers.len()), "{numbers:?}");
        assert!(page["next"].is_null() || page["cut"] == true);
        seen.extend(numbers);
        pages += 1;
        match page["next"].as_str() {
            Some(next) => at = format!("&at={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..COUNT).rev().collect::<Vec<_>>());
    assert!(pages <= 12, "{pages}");
    site.end();
}

#[test]
fn lines_of_what_was_found_are_bounded_together() {
    const COUNT: i64 = 300;
    let site = Site::new();
    let mut client = site.filled("t", 1, 0);
    let long = [b'h'; 3_000];
    append(&mut client, "t", COUNT, b"x", &[("h", Some(&long[..])); 5]);
    let (mut query, mut all) = ("text=x".to_owned(), Vec::new());
    loop {
        let (end, lines) = search(&site, "t", &query);
        let (found, shown, _) = portions(&lines);
        assert!(shown.iter().all(|bytes| *bytes <= 1 << 20), "{shown:?}");
        all.extend(found);
        match end["next"].as_str() {
            Some(next) => query = format!("text=x&at={next}"),
            None => break,
        }
    }
    assert_eq!(all, (0..COUNT).rev().collect::<Vec<_>>());
    site.end();
}

#[test]
fn a_page_of_large_letters_ends_early_and_says_which_of_them_wait() {
    let site = Site::new();
    let mut client = site.filled("dlq", 1, 0);
    let headers =
        [("topic", "t"), ("partition", "0"), ("offset", "7"), ("group", "g"), ("message", "it failed")];
    let headers = headers.map(|(name, value)| (format!("__dlq.errors.{name}"), value));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&name[..], Some(value.as_bytes()))).collect();
    append(&mut client, "dlq", 20, "x".repeat(900_000).as_bytes(), &headers);
    let of_page = || {
        let page = site.api("letters/dlq");
        let letters = page["letters"].as_array().expect("a list").clone();
        let waiting = letters.iter().filter(|letter| letter["waiting"] == true).count();
        assert_eq!((&letters[0]["source_offset"], &letters[0]["cause"]), (&json!(7), &json!("it failed")));
        (letters.len(), waiting, page["waiting"].clone(), page["more"].clone())
    };
    assert_eq!(of_page(), (19, 19, json!(20), json!(true)));
    let reset = json!({ "topic": "dlq", "to": "offset", "offset": 5, "confirm": true });
    site.change("groups/eventwright-dlq-redrive/reset", &reset);
    assert_eq!(of_page(), (19, 14, json!(15), json!(true)));
    site.end();
}
