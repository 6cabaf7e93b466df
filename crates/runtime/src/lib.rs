//! Drives jobs: positions, step records, snapshots, outboxes, recovery.
