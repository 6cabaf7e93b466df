//! ALTER and DROP.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    pub(super) fn alter(&mut self) -> Parsed<StatementKind> {
        self.advance();
        if self.take_word("TABLE") {
            return self.alter_table();
        }
        if self.take_word("VIEW") {
            let name = self.table_name("the name of the view")?;
            let action = if self.take_word("RENAME") {
                self.expect_word("TO")?;
                AlterViewAction::RenameTo(self.table_name("the new name")?)
            } else if self.take_word("AS") {
                AlterViewAction::As(Box::new(self.query()?))
            } else {
                return Err(self.expected("RENAME TO or AS"));
            };
            return Ok(StatementKind::AlterView(Box::new(AlterView { name, action })));
        }
        if self.take_word("MATERIALIZED") {
            self.expect_word("TABLE")?;
            return self.alter_materialized_table();
        }
        if self.take_word("CATALOG") {
            return self.alter_catalog();
        }
        if self.take_word("DATABASE") {
            let name = self.table_name("the name of the database")?;
            self.expect_word("SET")?;
            return Ok(StatementKind::AlterDatabase { name, options: self.options()? });
        }
        for word in ["FUNCTION", "MODEL", "CONNECTION", "TEMPORARY"] {
            if self.is_word_at(0, word) {
                return self.unsupported(self.span(), &format!("ALTER {word}"), "drop it and create it anew");
            }
        }
        Err(self.expected("TABLE, VIEW, DATABASE or CATALOG"))
    }

    fn alter_table(&mut self) -> Parsed<StatementKind> {
        let if_exists = self.if_exists()?;
        let name = self.table_name("the name of the table")?;
        let action = if self.take_word("RENAME") {
            self.rename()?
        } else if self.take_word("ADD") {
            AlterTableAction::Add(self.altered_elements()?)
        } else if self.take_word("MODIFY") {
            AlterTableAction::Modify(self.altered_elements()?)
        } else if self.take_word("DROP") {
            self.drop_part()?
        } else if self.take_word("SET") {
            AlterTableAction::Set(self.options()?)
        } else if self.take_word("RESET") {
            AlterTableAction::Reset(self.option_keys()?)
        } else {
            return Err(self.expected("RENAME, ADD, MODIFY, DROP, SET or RESET"));
        };
        Ok(StatementKind::AlterTable(Box::new(AlterTable { name, if_exists, action })))
    }

    fn option_keys(&mut self) -> Parsed<Vec<Text>> {
        self.parenthesized_list(|parser| parser.option_text("the name of an option as a string in quotes"))
    }

    /// `RENAME TO table` or `RENAME column TO column`.
    fn rename(&mut self) -> Parsed<AlterTableAction> {
        if self.take_word("TO") {
            return self.table_name("the new name").map(AlterTableAction::RenameTo);
        }
        let from = self.object_name("TO and the new name, or the name of a column")?;
        self.expect_word("TO")?;
        Ok(AlterTableAction::RenameColumn { from, to: self.identifier("the new name")? })
    }

    fn altered_elements(&mut self) -> Parsed<Vec<AlteredElement>> {
        if self.is_word_at(0, "PARTITION") {
            return self.unsupported(self.span(), "ALTER TABLE … PARTITION", "partitions come with the data");
        }
        if self.is(TokenKind::LeftParen) {
            return self.parenthesized_list(Parser::altered_element);
        }
        if self.is_word("DISTRIBUTION") || self.is_word("DISTRIBUTED") {
            let start = self.span();
            self.advance();
            return Ok(vec![AlteredElement::Distribution(self.distribution_tail(start)?)]);
        }
        Ok(vec![self.altered_element()?])
    }

    fn altered_element(&mut self) -> Parsed<AlteredElement> {
        if self.is_word("WATERMARK") {
            return self.watermark().map(AlteredElement::Watermark);
        }
        if self.begins_constraint() {
            return self.primary_key().map(AlteredElement::PrimaryKey);
        }
        if self.is_word_at(0, "COLUMN") {
            let mut error = self.expected("the definition of a column");
            error.hint = Some("leave out COLUMN: ALTER TABLE t ADD name type".into());
            return Err(error);
        }
        let column = self.column_definition()?;
        let position = if self.take_word("FIRST") {
            Some(ColumnPosition::First)
        } else if self.take_word("AFTER") {
            Some(ColumnPosition::After(self.identifier("the name of a column")?))
        } else {
            None
        };
        Ok(AlteredElement::Column { column, position })
    }

    fn drop_part(&mut self) -> Parsed<AlterTableAction> {
        if self.is_word_at(0, "PARTITION") {
            return self.unsupported(self.span(), "ALTER TABLE … PARTITION", "partitions go with the data");
        }
        if self.take_words(&["PRIMARY", "KEY"]) {
            return Ok(AlterTableAction::DropPrimaryKey);
        }
        if self.take_word("CONSTRAINT") {
            return self.identifier("the name of the constraint").map(AlterTableAction::DropConstraint);
        }
        if self.take_word("WATERMARK") {
            return Ok(AlterTableAction::DropWatermark);
        }
        if self.take_word("DISTRIBUTION") {
            return Ok(AlterTableAction::DropDistribution);
        }
        if self.is(TokenKind::LeftParen) {
            return self.column_names().map(AlterTableAction::DropColumns);
        }
        Ok(AlterTableAction::DropColumns(vec![self.identifier("the name of a column")?]))
    }

    fn alter_materialized_table(&mut self) -> Parsed<StatementKind> {
        let name = self.table_name("the name of the materialized table")?;
        let action = if self.take_word("SUSPEND") {
            AlterMaterializedTableAction::Suspend
        } else if self.take_word("RESUME") {
            AlterMaterializedTableAction::Resume(self.with_options()?)
        } else if self.take_word("REFRESH") {
            let partition = match self.take_word("PARTITION") {
                true => self.parenthesized_list(Parser::partition_value)?,
                false => Vec::new(),
            };
            AlterMaterializedTableAction::Refresh(partition)
        } else if self.take_word("AS") {
            AlterMaterializedTableAction::As(Box::new(self.query()?))
        } else {
            return Err(self.expected("SUSPEND, RESUME, REFRESH or AS"));
        };
        Ok(StatementKind::AlterMaterializedTable { name, action })
    }

    fn alter_catalog(&mut self) -> Parsed<StatementKind> {
        let name = self.identifier("the name of the catalog")?;
        let action = if self.take_word("SET") {
            AlterCatalogAction::Set(self.options()?)
        } else if self.take_word("RESET") {
            AlterCatalogAction::Reset(self.option_keys()?)
        } else if self.take_word("COMMENT") {
            AlterCatalogAction::Comment(self.text_literal("the comment as a string in quotes")?)
        } else {
            return Err(self.expected("SET, RESET or COMMENT"));
        };
        Ok(StatementKind::AlterCatalog { name, action })
    }

    pub(super) fn drop_object(&mut self) -> Parsed<StatementKind> {
        self.advance();
        let temporary = self.take_word("TEMPORARY");
        let object = if self.take_word("TABLE") {
            DropObject::Table
        } else if self.take_word("VIEW") {
            DropObject::View
        } else if self.take_word("MATERIALIZED") {
            self.expect_word("TABLE")?;
            DropObject::MaterializedTable
        } else if temporary && self.take_word("SYSTEM") {
            self.expect_word("FUNCTION")?;
            DropObject::SystemFunction
        } else if self.take_word("FUNCTION") {
            DropObject::Function
        } else if self.take_word("MODEL") {
            DropObject::Model
        } else if !temporary && self.take_word("DATABASE") {
            DropObject::Database
        } else if !temporary && self.take_word("CATALOG") {
            DropObject::Catalog
        } else {
            return Err(self.expected("TABLE, VIEW, FUNCTION, MODEL, DATABASE or CATALOG"));
        };
        let if_exists = self.if_exists()?;
        let name = self.table_name("the name of what to drop")?;
        let mut cascade = false;
        if object == DropObject::Database {
            cascade = self.take_word("CASCADE");
            if !cascade {
                self.take_word("RESTRICT");
            }
        }
        Ok(StatementKind::Drop(DropStatement { object, temporary, if_exists, name, cascade }))
    }
}
