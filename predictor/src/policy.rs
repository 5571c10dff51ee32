//! What to do each quantum: observe samples, decide moves, say why.
