//! `why`: what keeps rows from coming out of a running job.

use crate::cli::{Form, WhyArguments};
use crate::jobs::Jobs;
use serde_json::{Value, json};
use std::fmt::Write;

pub fn why(arguments: &WhyArguments) -> anyhow::Result<()> {
    let jobs = Jobs::open(&arguments.jobs)?;
    let names = match &arguments.job {
        Some(job) => vec![job.clone()],
        None => jobs.list()?.into_iter().map(|job| job.name).collect(),
    };
    let answers = names.iter().map(|name| jobs.why(name)).collect::<anyhow::Result<Vec<Value>>>()?;
    match arguments.jobs.output {
        Form::Json => println!("{}", json!(answers.iter().map(answer_json).collect::<Vec<_>>())),
        Form::Text if answers.is_empty() => println!("there are no jobs"),
        Form::Text => answers.iter().for_each(|answer| print!("{}", text(answer))),
    }
    Ok(())
}

fn answer_json(answer: &Value) -> Value {
    json!({ "job": answer["name"], "id": answer["jid"], "state": answer["state"], "findings": answer["findings"] })
}

fn text(answer: &Value) -> String {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let _ = writeln!(text, "job {}: {}", word(&answer["name"]), word(&answer["state"]));
    let mut sink = None;
    for finding in answer["findings"].as_array().into_iter().flatten() {
        if let Some(name) = finding["sink"].as_str().filter(|name| sink != Some(*name)) {
            let _ = writeln!(text, "  table {name}");
            sink = Some(name);
        }
        let indent = if finding["sink"].is_null() { "  " } else { "    " };
        let _ = writeln!(text, "{indent}{}: {}", word(&finding["cause"]), word(&finding["what"]));
        if let Some(advice) = finding["advice"].as_str() {
            let _ = writeln!(text, "{indent}  help: {advice}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_below_the_table_that_they_are_about() {
        let answer = json!({"name": "sums", "jid": "ab", "state": "RUNNING", "findings": [
            {"cause": "disk-full", "sink": null, "what": "no room", "advice": "make room"},
            {"cause": "filtered", "sink": "a", "what": "none of 3 rows", "advice": null},
            {"cause": "late", "sink": "a", "what": "2 of 2 rows", "advice": "wait"},
            {"cause": "flows", "sink": "b", "what": "7 rows", "advice": null},
        ]});
        let wanted = "job sums: RUNNING\n  disk-full: no room\n    help: make room\n  table a\n    filtered: none of 3 rows\n    \
            late: 2 of 2 rows\n      help: wait\n  table b\n    flows: 7 rows\n";
        assert_eq!(text(&answer), wanted);
        assert_eq!(answer_json(&answer)["findings"][1]["cause"], "filtered");
    }
}
