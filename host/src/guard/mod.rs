//! Stage 6: where a request may go.
