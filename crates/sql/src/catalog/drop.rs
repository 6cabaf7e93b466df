//! DROP: what it would remove.

use super::{Catalog, Change, Prepared};
use crate::ast::*;
use crate::diagnostic::Diagnostic;

impl Catalog {
    pub(super) fn drop_object(&self, statement: &DropStatement) -> Prepared<Change> {
        match statement.object {
            DropObject::Table | DropObject::View | DropObject::MaterializedTable => {
                self.drop_table_or_view(statement)
            }
            DropObject::Database => self.drop_database(statement),
            DropObject::Catalog => self.drop_catalog(statement),
            DropObject::Function | DropObject::SystemFunction => self.drop_function(statement),
            DropObject::Model => self.drop_absent(statement, "model"),
        }
    }

    /// Objects that cannot be created yet, so that none is there.
    pub(super) fn drop_absent(&self, statement: &DropStatement, what: &str) -> Prepared<Change> {
        if statement.if_exists {
            return Ok(Change::Nothing);
        }
        let message = format!("{what} `{}` does not exist", self.full_name(&statement.name).short());
        Err(Box::new(Diagnostic::unknown(statement.name.span, message)))
    }

    fn drop_table_or_view(&self, statement: &DropStatement) -> Prepared<Change> {
        let name = self.full_name(&statement.name);
        let what = match statement.object {
            DropObject::View => "view",
            DropObject::MaterializedTable => "materialized table",
            _ => "table",
        };
        let temporary = self.temporary.get(&name);
        let entry = if statement.temporary { temporary } else { self.permanent(&name) };
        let Some(entry) = entry else {
            if let Some(hidden) = temporary.filter(|_| !statement.temporary) {
                let message = format!("`{}` is a temporary {}", name.short(), hidden.object.kind());
                let hint = format!("write DROP TEMPORARY {}", hidden.object.kind().to_uppercase());
                return Err(Box::new(Diagnostic::invalid(statement.name.span, message).with_hint(hint)));
            }
            if statement.if_exists {
                return Ok(Change::Nothing);
            }
            let what = if statement.temporary { format!("temporary {what}") } else { what.to_string() };
            return Err(self.unknown(&statement.name, &what));
        };
        if entry.object.kind() != what {
            let temporary = if statement.temporary { "TEMPORARY " } else { "" };
            let other = format!("DROP {temporary}{}", entry.object.kind().to_uppercase());
            return Err(self.wrong_kind(&statement.name, &entry.object, &other));
        }
        if temporary.is_some() && !statement.temporary {
            let message = format!("a temporary object hides `{}`", name.short());
            return Err(Box::new(
                Diagnostic::invalid(statement.name.span, message)
                    .with_hint("drop that first, with DROP TEMPORARY"),
            ));
        }
        Ok(Change::Remove { name, temporary: statement.temporary })
    }

    fn drop_database(&self, statement: &DropStatement) -> Prepared<Change> {
        let (catalog, name) = match self.database_name(&statement.name) {
            Ok(found) => found,
            Err(_) if statement.if_exists => return Ok(Change::Nothing),
            Err(error) => return Err(error),
        };
        let span = statement.name.span;
        if (&catalog, &name) == (&self.current_catalog, &self.current_database) {
            return Err(Box::new(
                Diagnostic::invalid(span, format!("database `{name}` is in use"))
                    .with_hint("USE another database first"),
            ));
        }
        let filled = self.database(&catalog, &name).is_some_and(|database| !database.objects.is_empty());
        if filled && !statement.cascade {
            return Err(Box::new(
                Diagnostic::invalid(span, format!("database `{name}` is not empty"))
                    .with_hint("CASCADE drops its tables and views too"),
            ));
        }
        Ok(Change::DropDatabase { catalog, name })
    }

    fn drop_catalog(&self, statement: &DropStatement) -> Prepared<Change> {
        let name = statement.name.last();
        if statement.if_exists && !self.catalogs.contains_key(&name.value) {
            return Ok(Change::Nothing);
        }
        self.named_catalog(&name.value, name.span)?;
        if name.value == self.current_catalog {
            return Err(Box::new(
                Diagnostic::invalid(name.span, format!("catalog `{}` is in use", name.value))
                    .with_hint("USE CATALOG another one first"),
            ));
        }
        Ok(Change::DropCatalog(name.value.clone()))
    }
}
