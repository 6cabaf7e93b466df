//! MATCH_RECOGNIZE, a clause on each line.

use super::commas;
use crate::ast::*;
use std::fmt::{self, Display, Formatter};

impl Display for MatchRecognize {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("MATCH_RECOGNIZE (")?;
        if !self.partition_by.is_empty() {
            write!(f, "\nPARTITION BY {}", commas(&self.partition_by))?;
        }
        if !self.order_by.is_empty() {
            write!(f, "\nORDER BY {}", commas(&self.order_by))?;
        }
        if !self.measures.is_empty() {
            write!(f, "\nMEASURES {}", commas(&self.measures))?;
        }
        f.write_str("\nONE ROW PER MATCH")?;
        match &self.after {
            None => {}
            Some(AfterMatch::PastLastRow) => f.write_str("\nAFTER MATCH SKIP PAST LAST ROW")?,
            Some(AfterMatch::ToNextRow) => f.write_str("\nAFTER MATCH SKIP TO NEXT ROW")?,
            Some(AfterMatch::ToFirst(variable)) => write!(f, "\nAFTER MATCH SKIP TO FIRST {variable}")?,
            Some(AfterMatch::ToLast(variable)) => write!(f, "\nAFTER MATCH SKIP TO LAST {variable}")?,
        }
        f.write_str("\nPATTERN (")?;
        super::separated(f, &self.pattern, " ")?;
        f.write_str(")")?;
        if let Some(within) = &self.within {
            write!(f, " WITHIN {within}")?;
        }
        write!(f, "\nDEFINE {}\n)", commas(&self.definitions))
    }
}

impl Display for Measure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.expression, self.name)
    }
}

impl Display for Definition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.variable, self.condition)
    }
}

impl Display for PatternVariable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.quantifier)
    }
}

impl Display for PatternQuantifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (1, Some(1)) if !self.reluctant => {}
            (0, Some(1)) => f.write_str("?")?,
            (0, None) => f.write_str("*")?,
            (1, None) => f.write_str("+")?,
            (least, Some(most)) if least == most => write!(f, "{{{least}}}")?,
            (least, Some(most)) => write!(f, "{{{least}, {most}}}")?,
            (least, None) => write!(f, "{{{least}, }}")?,
        }
        f.write_str(if self.reluctant { "?" } else { "" })
    }
}
