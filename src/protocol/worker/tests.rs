//! The conversation, line by line, and against every kind of rubbish.
