//! Scripted guests and fixed co-run slowdowns: control tests in milliseconds.
