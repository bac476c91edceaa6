-- history/log_records: everything there is of the completed ones among the plain tasks $2 of lane $1,
--     one text of JSON for each, in their order and in the form of history/records. What has moved is
--     told by that, when its own time has come.
-- State: none.
-- Locks: none.
-- Index: log_tasks_pkey, by the list of numbers; log_ends_pkey and log_lanes_pkey.
SELECT json_build_object(
        'id', 'tsk_' || replace(entry.id::text, '-', ''),
        'state', 'completed',
        'task', json_build_object(
            'queue', (SELECT queue FROM hostler.log_lanes WHERE log_lanes.id = entry.lane),
            'kind', entry.kind, 'state', 'completed', 'priority', 0, 'attempt', 1, 'failures', 0,
            'max_attempts', entry.max_attempts, 'timeout_ms', entry.timeout_ms,
            'created_at', entry.created_at, 'run_at', entry.created_at,
            'finished_at', ended.ended_at
        ),
        'input', entry.input,
        'result', ended.output,
        'attempts', json_build_array(json_build_object(
            'attempt', 1, 'outcome', 'completed', 'host_id', ended.host_id, 'agent', ended.agent,
            'started_at', ended.started_at, 'ended_at', ended.ended_at
        )),
        'events', json_build_array(
            json_build_object('number', 1, 'state', 'pending', 'attempt', 0, 'at', entry.created_at),
            json_build_object('number', 2, 'state', 'running', 'attempt', 1, 'at', ended.started_at),
            json_build_object('number', 3, 'state', 'completed', 'attempt', 1, 'at', ended.ended_at)
        )
    )::text AS record
FROM hostler.log_tasks AS entry
JOIN hostler.log_ends AS ended ON ended.lane = entry.lane AND ended.number = entry.number
WHERE entry.lane = $1 AND entry.number = ANY ($2::bigint[]) AND NOT ended.moved
ORDER BY entry.number;
