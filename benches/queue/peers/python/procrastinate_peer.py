"""procrastinate: 30 at a time, finished jobs deleted. It has no claim of many."""

import asyncio
import logging

import uvloop
from procrastinate import App, PsycopgConnector

import lib

logging.disable(logging.CRITICAL)
app = App(connector=PsycopgConnector(conninfo=lib.URL, min_size=12, max_size=40))
told = None


@app.task(name="noop", queue="noop")
async def noop(n, pad):
    told()


def start(tell):
    global told
    told = tell
    options = {"concurrency": 30, "delete_jobs": "successful"}
    worker = app.run_worker_async(queues=["noop"], install_signal_handlers=False, **options)
    asyncio.ensure_future(worker)


def one(number):
    return noop.defer_async(**lib.payload(number))


def many(numbers):
    return noop.batch_defer_async(*[lib.payload(number) for number in numbers])


async def main():
    command, a, b = lib.arguments()
    async with app.open_async():
        if command == "setup":
            await app.schema_manager.apply_schema_async()
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
