//! Views: the results of jobs, kept by key, read at one place of the log.
