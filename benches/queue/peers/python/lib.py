"""What the peers' programs share; rust/src/lib.rs has the table of commands and results."""

import asyncio
import json
import os
import random
import sys
import time

import psycopg

URL = os.environ["BENCH_URL"]
PAD = "x" * 180
WARM_UPS = 5
now = time.perf_counter


def arguments():
    command, a, b = (sys.argv[1:] + ["0", "0"])[:3]
    return command, int(a), float(b)


def payload(number):
    return {"n": number, "pad": PAD}


def out(result):
    print("RESULT " + json.dumps(result), flush=True)
    os._exit(0)


async def submit(seconds, clients, one):
    await one(0)
    count, began = 0, now()

    async def loop():
        nonlocal count
        while now() - began < seconds:
            await one(count)
            count += 1

    await asyncio.gather(*[loop() for _ in range(int(clients))])
    out({"count": count, "seconds": now() - began})


async def bulk(count, size, many):
    began = now()
    for first in range(0, count, int(size)):
        await many(range(first, min(count, first + int(size))))
    out({"count": count, "seconds": now() - began})


async def drain(wanted, limit, start):
    """`start(hit)` starts a worker that calls hit() for each job."""
    moments, full = [], asyncio.Event()

    def hit():
        if len(moments) < wanted:
            moments.append(now())
        if len(moments) >= wanted:
            full.set()

    client = await psycopg.AsyncConnection.connect(URL, autocommit=True)
    began = now()
    start(hit)
    try:
        await asyncio.wait_for(full.wait(), limit)
        capped = False
    except asyncio.TimeoutError:
        capped = True
    if not moments:
        out({"handled": 0})
    end = now() if capped else moments[-1]
    report = {"handled": len(moments), "capped": capped, "seconds": end - began}
    third = len(moments) // 3
    if third > 10:
        first = third / (moments[third - 1] - began)
        report["thirds"] = third / (moments[-1] - moments[-1 - third]) / first
    durable = os.environ.get("BENCH_DURABLE")
    while durable and not capped:
        row = await (await client.execute(durable)).fetchone()
        report["completed"] = now() - began
        if row[0]:
            break
        assert report["completed"] < limit + 20, "it is never completed"
        await asyncio.sleep(0.01)
    out(report)


async def pickup(count, limit, start, one):
    """`start(ring)` starts a worker that rings for each job; `one(number)` submits one."""
    rung, samples = asyncio.Queue(), []
    start(lambda: rung.put_nowait(now()))
    await asyncio.sleep(1)
    begin = now()
    for number in range(count + WARM_UPS):
        while not rung.empty():
            rung.get_nowait()
        began = now()
        submitted = asyncio.ensure_future(one(number))
        try:
            at = await asyncio.wait_for(rung.get(), max(0.1, limit - (now() - begin)))
        except asyncio.TimeoutError:
            break
        await submitted
        if number >= WARM_UPS:
            samples.append((at - began) * 1e3)
        await asyncio.sleep(0.005 + random.random() * 0.02)
    out({"samples": samples})
