//! Statements in, answers and jobs out.
