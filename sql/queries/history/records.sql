-- history/records: everything there is of the tasks $1, one text of JSON for each, in their order.
-- State: none.
-- Locks: none.
-- Index: tasks_pkey, by the list of ids; then the keys of the tables beside it, one look for each.
SELECT json_build_object(
        'id', 'tsk_' || replace(tasks.id::text, '-', ''),
        'state', tasks.state,
        'task', to_jsonb(tasks) - 'id' - 'lane',
        'input', (SELECT input FROM hostler.task_inputs WHERE task_id = tasks.id),
        'result', (SELECT output FROM hostler.task_results WHERE task_id = tasks.id),
        'attempts', (
            SELECT coalesce(jsonb_agg(to_jsonb(one) - 'task_id' ORDER BY one.attempt), '[]')
            FROM hostler.attempts AS one WHERE one.task_id = tasks.id
        ),
        'workspaces', (
            SELECT coalesce(jsonb_agg(one.record ORDER BY one.attempt), '[]')
            FROM hostler.workspaces AS one WHERE one.task_id = tasks.id
        ),
        'events', (
            SELECT coalesce(
                jsonb_agg(to_jsonb(one) - 'task_id' - 'position' - 'tx' ORDER BY one.number), '[]'
            )
            FROM hostler.task_events AS one WHERE one.task_id = tasks.id
        ),
        'failure', (
            SELECT to_jsonb(one) - 'task_id'
            FROM hostler.task_failures AS one WHERE one.task_id = tasks.id
        ),
        'depends_on', ARRAY(
            SELECT json_build_object(
                'id', 'tsk_' || replace(one.depends_on::text, '-', ''), 'name', one.name
            )
            FROM hostler.dependencies AS one WHERE one.task_id = tasks.id ORDER BY one.place
        ),
        'needs', ARRAY(
            SELECT json_build_object('kind', one.kind, 'name', one.name)
            FROM hostler.task_needs AS one WHERE one.task_id = tasks.id
            ORDER BY one.kind, one.name
        ),
        'member_of', (
            SELECT json_build_object('group', one.group_name, 'batch', one.batch_id)
            FROM hostler.task_members AS one WHERE one.task_id = tasks.id
        ),
        'dead_letter', (
            SELECT to_jsonb(one) - 'task_id'
            FROM hostler.dead_letter_notes AS one WHERE one.task_id = tasks.id
        )
    )::text AS record
FROM hostler.tasks
WHERE tasks.id = ANY ($1::uuid[])
ORDER BY tasks.id;
