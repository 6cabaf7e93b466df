//! Formats against tables of good and bad inputs.
