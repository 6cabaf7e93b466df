//! Every documented example, evaluated.
