-- copy/forms: in this transaction, write times and numbers in one form, whatever the server's
--     settings, and read a table from its beginning.
-- State: none.
-- Locks: none.
-- Index: none.
SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),
    set_config('IntervalStyle', 'iso_8601', true), set_config('bytea_output', 'hex', true),
    set_config('extra_float_digits', '1', true), set_config('synchronize_seqscans', 'off', true),
    set_config('statement_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', '0', true);
