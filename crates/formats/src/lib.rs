//! JSON and CSV to Arrow builders, and back.
