//! Claims about explanations.
