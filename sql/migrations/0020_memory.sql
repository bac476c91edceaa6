-- breaking: no
-- Attempts that the kernel ended for want of memory.
--
-- The new word can't be used in the transaction that adds it: nothing here does.
ALTER TYPE hostler.failure_class ADD VALUE 'memory';
