//! `/schemas`: schemas by their number.

use super::subjects::described;
use super::{Call, Outcome, Reply};
use crate::content::Content;
use crate::refusal::Refusal;
use crate::state::{State, context_of};
use serde_json::{Map, Value, json};

impl Call<'_> {
    fn id(text: &str) -> Result<u32, Refusal> {
        text.parse().map_err(|_| Refusal::not_found())
    }

    /// The schema of a number, and a subject that has it, by whose context its references are found.
    fn find_schema<'s>(&self, state: &'s State, id: u32) -> Result<(&'s Content, String), Refusal> {
        let context = self.context_of_ids();
        let known = state.context(&context).and_then(|known| known.schemas.get(&id));
        let (content, _) = known.ok_or_else(|| Refusal::id_not_found(id))?;
        let subject = if context == "." { String::new() } else { format!(":{context}:") };
        Ok((content, subject))
    }

    pub(super) fn schema(&self, id: &str) -> Outcome {
        let id = Call::id(id)?;
        self.registry.read(|state| {
            let (content, subject) = self.find_schema(state, id)?;
            let mut object = Map::new();
            content.describe(&mut object);
            object.insert("schema".into(), self.formatted(state, &subject, content)?.into());
            if self.request.flag("fetchMaxId") {
                let last = state.context(&self.context_of_ids()).map_or(0, |context| context.last_id);
                object.insert("maxId".into(), json!(last));
            }
            Ok(Value::Object(object).into())
        })
    }

    pub(super) fn schema_text(&self, id: &str) -> Outcome {
        let id = Call::id(id)?;
        self.registry.read(|state| {
            let (content, subject) = self.find_schema(state, id)?;
            Ok(Reply::Text(self.formatted(state, &subject, content)?))
        })
    }

    /// The versions that have a number.
    fn places(&self, state: &State, id: u32) -> Result<Vec<(String, u32)>, Refusal> {
        self.find_schema(state, id)?;
        let context = self.context_of_ids();
        let deleted = self.request.flag("deleted");
        // A subject without a context only says which one is meant.
        let wanted =
            self.request.text("subject").filter(|subject| !subject.is_empty() && !subject.ends_with(':'));
        let mut places = Vec::new();
        for (subject, versions) in &state.subjects {
            if context_of(subject) != context
                || wanted.is_some_and(|wanted| crate::state::qualified(wanted) != *subject)
            {
                continue;
            }
            let has_it =
                versions.iter().filter(|(_, version)| version.id == id && (deleted || !version.is_deleted));
            places.extend(has_it.map(|(number, _)| (subject.clone(), *number)));
        }
        Ok(places)
    }

    pub(super) fn schema_subjects(&self, id: &str) -> Outcome {
        let id = Call::id(id)?;
        self.registry.read(|state| {
            let mut subjects: Vec<String> =
                self.places(state, id)?.into_iter().map(|(subject, _)| subject).collect();
            subjects.dedup();
            Ok(json!(self.request.page(subjects)).into())
        })
    }

    pub(super) fn schema_versions(&self, id: &str) -> Outcome {
        let id = Call::id(id)?;
        self.registry.read(|state| {
            let places = self.places(state, id)?;
            let shown: Vec<Value> = places
                .into_iter()
                .map(|(subject, version)| json!({"subject": subject, "version": version}))
                .collect();
            Ok(json!(self.request.page(shown)).into())
        })
    }

    pub(super) fn schemas(&self) -> Outcome {
        let (deleted, latest_only) = (self.request.flag("deleted"), self.request.flag("latestOnly"));
        self.registry.read(|state| {
            let mut found = Vec::new();
            for (subject, versions) in state.subjects.iter().filter(|(subject, _)| self.is_listed(subject)) {
                let versions = versions.iter().filter(|(_, version)| deleted || !version.is_deleted);
                let mut shown =
                    versions.map(|(number, version)| Value::Object(described(subject, *number, version)));
                match latest_only {
                    true => found.extend(shown.next_back()),
                    false => found.extend(shown),
                }
            }
            Ok(json!(self.request.page(found)).into())
        })
    }
}
