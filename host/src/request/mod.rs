//! Stage 5: a rendered request becomes a valid one, with its secrets put in and its signatures made.
