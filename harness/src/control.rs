//! One turn of control: watch, decide, act.
