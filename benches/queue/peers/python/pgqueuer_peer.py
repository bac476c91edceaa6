"""PgQueuer on asyncpg: dequeues 500 at a time, as many at once as there are."""

import asyncio
import json
import logging
import sys

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

import lib

logging.disable(logging.CRITICAL)


def body(number):
    return json.dumps(lib.payload(number)).encode()


async def worker(tell):
    """A worker that is ready to run."""
    pool = await asyncpg.create_pool(lib.URL, min_size=4, max_size=10)
    queue = PgQueuer(AsyncpgPoolDriver(pool))

    @queue.entrypoint("noop")
    async def noop(job):
        tell()

    async def run():
        try:
            await queue.run(batch_size=500, max_concurrent_tasks=None)
        except Exception as error:
            print("the worker died:", repr(error), file=sys.stderr)

    return run


async def main():
    command, a, b = lib.arguments()
    pool = await asyncpg.create_pool(lib.URL, min_size=10, max_size=12)
    queries = Queries(AsyncpgPoolDriver(pool))
    tell = None
    run = await worker(lambda: tell()) if command in ("drain", "pickup") else None

    def start(told):
        nonlocal tell
        tell = told
        asyncio.ensure_future(run())

    def one(number):
        return queries.enqueue("noop", body(number))

    def many(numbers):
        bodies = [body(number) for number in numbers]
        return queries.enqueue(["noop"] * len(bodies), bodies, [0] * len(bodies))

    if command == "setup":
        await queries.install()
        await one(0)
        lib.out({})
    elif command == "submit":
        await lib.submit(a, b, one)
    elif command == "bulk":
        await lib.bulk(a, b, many)
    elif command == "drain":
        await lib.drain(a, b, start)
    elif command == "pickup":
        await lib.pickup(a, b, start, one)


uvloop.run(main())
