//! What the PostgreSQL protocol shows of the log: views and topics as tables.
