//! Plans of statements, as EXPLAIN shows them.
