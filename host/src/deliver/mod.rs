//! Stage 7: the request goes out and the response comes back, within bounds.
