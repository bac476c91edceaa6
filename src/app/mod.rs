//! LOCAL STAND-IN, thrown away at the merge: the composition root.
