//! Expressions and their values.
