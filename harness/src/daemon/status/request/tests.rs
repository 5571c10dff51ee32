//! Claims about requests.
