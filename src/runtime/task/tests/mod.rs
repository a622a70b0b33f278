//! Tests of the task core with a scheduler of their own.
