//! Simulator, conformance suites and process harnesses shared by the tests.
