//! What a path leads to in a document.
//!
//! A path that leads to one place gives the value there, or the reason why there is none; others give an array of all that they
//! find. While every step so far was sure of its place, a step that does not fit the value is an error; behind a wildcard
//! it only finds nothing.

use super::Json;
use super::number::Number;
use super::path::{Argument, Function, ModalPath, Path, Step};

/// Of a lax path what is not there is `None`; of a strict one it is an error, and so is a NULL.
pub(crate) fn search(path: &ModalPath, document: &Json) -> Result<Option<Json>, String> {
    match find(&path.path, document, document) {
        Ok(Json::Null) if path.lax => Ok(None),
        Ok(Json::Null) => Err("a strict JSON path must not lead to null".into()),
        Ok(value) => Ok(Some(value)),
        Err(_) if path.lax && path.path.is_definite() => Ok(None),
        Err(_) if path.lax => Ok(Some(Json::Array(Vec::new()))),
        Err(reason) => Err(reason),
    }
}

/// The same of what `lookup` found.
pub(crate) fn at_simple_path(path: &ModalPath, found: Option<Json>) -> Result<Option<Json>, String> {
    match found {
        Some(Json::Null) | None if path.lax => Ok(None),
        Some(Json::Null) => Err("a strict JSON path must not lead to null".into()),
        None => Err("the JSON path leads to nothing".into()),
        found => Ok(found),
    }
}

/// The value, or why there is none.
pub(crate) fn find(path: &Path, element: &Json, document: &Json) -> Result<Json, String> {
    let start = if path.from_element { element } else { document };
    let steps = path.steps.as_slice();
    let mut walk = Walk { document, found: Vec::new() };
    if let [before @ .., Step::Descend, last, Step::Function { name, arguments }] = steps {
        // A function behind a search at any depth is about all that was found.
        let steps: Vec<Step> = before.iter().chain([&Step::Descend, last]).cloned().collect();
        walk.step(&steps, start, true)?;
        return apply(*name, arguments, &Json::Array(walk.found), start, document);
    }
    walk.step(steps, start, true)?;
    if !path.is_definite() {
        return Ok(Json::Array(walk.found));
    }
    walk.found.pop().ok_or_else(|| "the JSON path leads to nothing".to_string())
}

struct Walk<'d> {
    document: &'d Json,
    found: Vec<Json>,
}

impl Walk<'_> {
    /// `sure`: every step so far led to one place.
    fn step(&mut self, steps: &[Step], value: &Json, sure: bool) -> Result<(), String> {
        let Some((step, rest)) = steps.split_first() else {
            self.found.push(value.clone());
            return Ok(());
        };
        let sure_behind = sure && step.is_definite(rest.is_empty());
        match step {
            Step::Fields(names) => self.fields(names, rest, value, sure),
            Step::Indices(indices) => {
                let Some(items) = self.items(value, sure)? else { return Ok(()) };
                for index in indices {
                    let place = if *index < 0 { index + items.len() as i64 } else { *index };
                    if let Some(item) = usize::try_from(place).ok().and_then(|place| items.get(place)) {
                        self.step(rest, item, sure_behind)?;
                    }
                }
                Ok(())
            }
            Step::Slice { from, to } => {
                let Some(items) = self.items(value, sure)? else { return Ok(()) };
                for item in sliced(items, *from, *to) {
                    self.step(rest, item, false)?;
                }
                Ok(())
            }
            Step::Wildcard => match value {
                Json::Array(items) => items.iter().try_for_each(|item| self.step(rest, item, false)),
                Json::Object(fields) => {
                    fields.iter().try_for_each(|(_, field)| self.step(rest, field, false))
                }
                _ => Ok(()),
            },
            Step::Filter(condition) => match value {
                Json::Array(items) => items
                    .iter()
                    .filter(|item| condition.holds(item, self.document))
                    .try_for_each(|item| self.step(rest, item, false)),
                Json::Object(_) if condition.holds(value, self.document) => self.step(rest, value, false),
                Json::Object(_) => Ok(()),
                _ if sure => Err("a filter cannot be applied to a scalar".into()),
                _ => Ok(()),
            },
            Step::Descend => self.descend(rest, value),
            Step::Function { name, arguments } => {
                let result = apply(*name, arguments, value, value, self.document)?;
                self.found.push(result);
                Ok(())
            }
        }
    }

    fn fields(&mut self, names: &[String], rest: &[Step], value: &Json, sure: bool) -> Result<(), String> {
        let Json::Object(fields) = value else {
            return if sure {
                Err("the JSON path wants an object where there is none".into())
            } else {
                Ok(())
            };
        };
        if let [name] = names {
            return match value.field(name) {
                Some(field) => self.step(rest, field, sure),
                None if sure && !rest.is_empty() => Err(format!("the object has no field '{name}'")),
                None => Ok(()),
            };
        }
        if rest.is_empty() {
            let named = names.iter().filter_map(|name| fields.iter().find(|(own, _)| own == name));
            self.found.push(Json::Object(named.cloned().collect()));
            return Ok(());
        }
        names.iter().filter_map(|name| value.field(name)).try_for_each(|field| self.step(rest, field, false))
    }

    fn items<'v>(&self, value: &'v Json, sure: bool) -> Result<Option<&'v [Json]>, String> {
        match value {
            Json::Array(items) => Ok(Some(items)),
            _ if sure => Err("the JSON path wants an array where there is none".into()),
            _ => Ok(None),
        }
    }

    /// The steps from every place below a value, that of the value first.
    fn descend(&mut self, steps: &[Step], value: &Json) -> Result<(), String> {
        let Some((first, rest)) = steps.split_first() else { return Ok(()) };
        let fits = match (first, value) {
            (Step::Fields(names), Json::Object(_)) => names.iter().all(|name| value.field(name).is_some()),
            (Step::Indices(_) | Step::Slice { .. }, Json::Array(_)) => true,
            (Step::Wildcard, Json::Array(_) | Json::Object(_)) => true,
            (Step::Filter(condition), Json::Array(_) | Json::Object(_)) => {
                condition.holds(value, self.document)
            }
            _ => false,
        };
        match value {
            // As the library does it: behind an array that fits, the next step is taken from all of its elements.
            Json::Array(items) if fits && !rest.is_empty() => {
                items.iter().try_for_each(|item| self.step(rest, item, false))?;
            }
            _ if fits => self.step(steps, value, false)?,
            _ => {}
        }
        match value {
            Json::Array(items) => items.iter().try_for_each(|item| self.descend(steps, item)),
            Json::Object(fields) => fields.iter().try_for_each(|(_, field)| self.descend(steps, field)),
            _ => Ok(()),
        }
    }
}

fn sliced(items: &[Json], from: Option<i64>, to: Option<i64>) -> &[Json] {
    let count = items.len() as i64;
    let (from, to) = match (from, to) {
        // From the end.
        (Some(from), None) if from < 0 => ((count + from).max(0), count),
        (Some(from), None) => (from, count),
        (None, Some(to)) if to < 0 => (0, count + to),
        (None, Some(to)) => (0, to.min(count)),
        (Some(from), Some(to)) => (from, to.min(count)),
        (None, None) => (0, count),
    };
    match (usize::try_from(from), usize::try_from(to)) {
        (Ok(from), Ok(to)) if from < to => &items[from..to],
        _ => &[],
    }
}

fn apply(
    function: Function,
    arguments: &[Argument],
    value: &Json,
    element: &Json,
    document: &Json,
) -> Result<Json, String> {
    let arguments: Vec<Json> = arguments
        .iter()
        .map(|argument| match argument {
            Argument::Value(value) => Ok(value.clone()),
            Argument::Path(path) => find(path, element, document),
        })
        .collect::<Result<_, _>>()?;
    // Arguments that are arrays are what they hold.
    let spread = || {
        arguments.iter().flat_map(|argument| match argument {
            Json::Array(items) => items.clone(),
            other => vec![other.clone()],
        })
    };
    let items = match value {
        Json::Array(items) => Some(items),
        _ => None,
    };
    match function {
        Function::Length => Ok(match value {
            Json::Array(items) => Json::Number(Number::integer(items.len() as i64)),
            Json::Object(fields) => Json::Number(Number::integer(fields.len() as i64)),
            _ => Json::Null,
        }),
        Function::Keys => Ok(match value {
            Json::Object(fields) => {
                Json::Array(fields.iter().map(|(name, _)| Json::String(name.clone())).collect())
            }
            _ => Json::Null,
        }),
        Function::Append => Ok(match items {
            Some(items) => Json::Array(items.iter().cloned().chain(arguments).collect()),
            None => value.clone(),
        }),
        Function::Concatenate => {
            let all = items.into_iter().flatten().cloned().chain(spread());
            Ok(Json::String(all.filter(Json::is_scalar).map(|item| super::write::plain(&item)).collect()))
        }
        Function::First | Function::Last | Function::Index => {
            let items = items.ok_or("the function of a JSON path wants an array")?;
            let index = match (function, arguments.first()) {
                (Function::Last, _) => -1,
                (Function::Index, Some(Json::Number(number))) => number.to_f64() as i64,
                (Function::Index, _) => return Err("index(n) takes a number".into()),
                _ => 0,
            };
            let place = if index < 0 { index + items.len() as i64 } else { index };
            let item = usize::try_from(place).ok().and_then(|place| items.get(place));
            item.cloned().ok_or_else(|| "the array is too short".to_string())
        }
        Function::Minimum | Function::Maximum | Function::Average | Function::Deviation | Function::Sum => {
            let all = items.into_iter().flatten().cloned().chain(spread());
            let numbers: Vec<f64> = all
                .filter_map(|item| match item {
                    Json::Number(number) => Some(number.to_f64()),
                    _ => None,
                })
                .collect();
            aggregate(function, &numbers).map(|value| Json::Number(Number::double(value)))
        }
    }
}

fn aggregate(function: Function, numbers: &[f64]) -> Result<f64, String> {
    if numbers.is_empty() {
        return Err("the function of a JSON path found no numbers".into());
    }
    let count = numbers.len() as f64;
    let sum: f64 = numbers.iter().sum();
    Ok(match function {
        Function::Minimum => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Function::Maximum => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Function::Average => sum / count,
        Function::Deviation => {
            let squares: f64 = numbers.iter().map(|number| number * number).sum();
            (squares / count - sum * sum / count / count).sqrt()
        }
        _ => sum,
    })
}
