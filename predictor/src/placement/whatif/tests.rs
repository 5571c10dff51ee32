//! Both solvers against brute force and each other.
