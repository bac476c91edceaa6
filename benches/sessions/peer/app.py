"""The same endpoints as a program of FastAPI and asyncpg, as one would write it with care: a pool of
connections, prepared statements (asyncpg keeps them), one statement a command, indexes for tags and for
words. It has sessions, memories and commands of git; what it does not have it need not pay for."""

import asyncio
import json
import os
import time
import uuid
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    id text PRIMARY KEY, title text NOT NULL, state text NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS memories (
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL REFERENCES sessions, key text NOT NULL, type text NOT NULL,
    content jsonb NOT NULL, tags text[] NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
    search tsvector GENERATED ALWAYS AS (jsonb_to_tsvector('english', content, '["string"]')) STORED,
    UNIQUE (session_id, key)
);
CREATE INDEX IF NOT EXISTS memories_tags ON memories USING gin (tags);
CREATE INDEX IF NOT EXISTS memories_search ON memories USING gin (search);
"""

STORE = """
INSERT INTO memories (session_id, key, type, content, tags) VALUES ($1, $2, $3, $4::jsonb, $5)
ON CONFLICT (session_id, key) DO UPDATE
SET type = EXCLUDED.type, content = EXCLUDED.content, tags = EXCLUDED.tags
RETURNING xmax = 0 AS created
"""
BY_TAG = """
SELECT key, type, content, tags, created_at FROM memories
WHERE session_id = $1 AND tags @> $2 ORDER BY no DESC LIMIT $3
"""
BY_TEXT = """
SELECT key, type, content, tags, created_at, ts_rank(search, query) AS rank
FROM memories, websearch_to_tsquery('english', $2) AS query
WHERE session_id = $1 AND search @@ query ORDER BY rank DESC LIMIT $3
"""

KEY = os.environ.get("PEER_KEY")


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with await asyncpg.create_pool(os.environ["PEER_DATABASE"], min_size=16, max_size=16) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


class Command(BaseModel):
    type: str
    command: str | None = None
    session_id: str | None = None
    data: dict = {}
    sync: bool = False


def answer(command: Command, data: dict) -> JSONResponse:
    return JSONResponse({
        "type": "collaborative_session_response", "command": command.command,
        "session_id": command.session_id, "status": "success", "message": "done", "data": data,
    })


def memory(row) -> dict:
    return {
        "key": row["key"], "type": row["type"], "content": json.loads(row["content"]),
        "tags": row["tags"], "created": row["created_at"].isoformat(),
    }


async def git(command: Command) -> JSONResponse:
    params, began = command.data["params"], time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *params["command"], cwd=params["working_dir"],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return JSONResponse({
        "status": "completed" if process.returncode == 0 else "failed",
        "output": {"success": process.returncode == 0, "stdout": out.decode(), "stderr": err.decode(),
                   "returncode": process.returncode},
        "execution_time_ms": int((time.monotonic() - began) * 1000),
    })


@app.post("/webhook")
async def webhook(command: Command, authorization: str | None = Header(None)):
    if KEY and authorization != f"Bearer {KEY}":
        return JSONResponse({"detail": "no key"}, 401)
    if command.type == "task_command":
        return await git(command)
    pool, data, session = app.state.pool, command.data, command.session_id
    if command.command == "create_session":
        await pool.execute("INSERT INTO sessions (id, title) VALUES ($1, $2)", session, data.get("title", ""))
        return answer(command, {"session_id": session})
    if command.command == "store_memory":
        key = data.get("key") or uuid.uuid4().hex
        row = await pool.fetchrow(
            STORE, session, key, data.get("type", "note"), json.dumps(data["content"]), data.get("tags", []))
        return answer(command, {"key": key, "created": row["created"]})
    if command.command == "query_memories":
        limit = data.get("limit", 10)
        if text := data.get("text"):
            rows = await pool.fetch(BY_TEXT, session, text, limit)
        else:
            rows = await pool.fetch(BY_TAG, session, data.get("tags", []), limit)
        return answer(command, {"memories": [memory(row) for row in rows], "count": len(rows)})
    return JSONResponse({"detail": "unknown command"}, 422)
