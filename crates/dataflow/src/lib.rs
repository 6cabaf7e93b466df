//! The deterministic stepping machine: plans, operators, watermarks, source and sink traits.
