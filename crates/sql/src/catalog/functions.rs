//! Functions that CREATE FUNCTION declares. Their names are matched without regard to case.

use super::{Catalog, Change, FullName, Prepared};
use crate::ast::{CreateFunction, DropObject, DropStatement, FunctionLanguage, ObjectName};
use crate::diagnostic::Diagnostic;
use crate::functions::{self, Function};
use std::collections::BTreeMap;

/// What is declared, by name; a system function has neither catalog nor database.
#[derive(Debug, Clone, Default)]
pub(super) struct Functions {
    declared: BTreeMap<FullName, Declared>,
}

#[derive(Debug, Clone, Copy)]
pub struct Declared {
    temporary: bool,
    function: &'static Function,
}

impl Functions {
    pub(super) fn define(&mut self, name: FullName, declared: Declared) {
        self.declared.insert(name, declared);
    }

    pub(super) fn remove(&mut self, name: &FullName) {
        self.declared.remove(name);
    }
}

impl Catalog {
    /// The function of that name: a system function, or one of a database.
    pub fn function(&self, name: &ObjectName) -> Option<&'static Function> {
        let system = (name.parts.len() == 1).then(|| self.function_name(name, true));
        let own = self.function_name(name, false);
        let found = system.into_iter().chain([own]).find_map(|name| self.functions.declared.get(&name));
        found.map(|declared| declared.function)
    }

    /// The names of all functions that were declared in the current database or for the whole session.
    pub fn user_functions(&self) -> Vec<String> {
        let here = |name: &&FullName| {
            let own = (self.current_catalog.as_str(), self.current_database.as_str());
            name.catalog.is_empty() || (name.catalog.as_str(), name.database.as_str()) == own
        };
        self.functions.declared.keys().filter(here).map(|name| name.name.clone()).collect()
    }

    fn function_name(&self, name: &ObjectName, is_system: bool) -> FullName {
        let full = self.full_name(name);
        let lower = full.name.to_lowercase();
        if is_system {
            FullName { catalog: String::new(), database: String::new(), name: lower }
        } else {
            FullName { name: lower, ..full }
        }
    }

    pub(super) fn create_function(&self, create: &CreateFunction) -> Prepared<Change> {
        let name = self.function_name(&create.name, create.system);
        if !create.system {
            self.check_database(&self.full_name(&create.name), &create.name)?;
        }
        if self.functions.declared.contains_key(&name) {
            if create.if_not_exists {
                return Ok(Change::Nothing);
            }
            return Err(Box::new(
                Diagnostic::invalid(create.name.span, format!("function `{}` exists already", name.name))
                    .with_hint("drop it first, or write IF NOT EXISTS to keep it"),
            ));
        }
        let class = &create.class.value;
        let language = match create.language {
            FunctionLanguage::Java | FunctionLanguage::Scala => "the JVM",
            FunctionLanguage::Python => "Python",
            FunctionLanguage::Sql => "SQL",
            FunctionLanguage::Wasm => "WebAssembly",
        };
        let built_in = if language == "the JVM" { functions::user::of_class(class) } else { None };
        let Some(function) = built_in else {
            let known: Vec<&str> = functions::user::classes().collect();
            return Err(Box::new(
                Diagnostic::unsupported(
                    create.class.span,
                    format!("'{class}' cannot be run: functions in {language} are not supported yet"),
                )
                .with_hint(format!(
                    "write it as an expression, or as a view of one; of classes only {} is built in",
                    known.join(", ")
                )),
            ));
        };
        Ok(Change::DefineFunction { name, declared: Declared { temporary: create.temporary, function } })
    }

    pub(super) fn drop_function(&self, statement: &DropStatement) -> Prepared<Change> {
        let name = self.function_name(&statement.name, statement.object == DropObject::SystemFunction);
        match self.functions.declared.get(&name) {
            Some(declared) if declared.temporary && !statement.temporary => Err(Box::new(
                Diagnostic::invalid(statement.name.span, format!("`{}` is a temporary function", name.name))
                    .with_hint("write DROP TEMPORARY FUNCTION"),
            )),
            Some(_) => Ok(Change::RemoveFunction(name)),
            None => self.drop_absent(statement, "function"),
        }
    }
}
