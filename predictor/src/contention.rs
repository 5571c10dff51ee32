//! What a phase asks of cache and bandwidth, and how much co-located phases slow each other down.
