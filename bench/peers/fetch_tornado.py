import asyncio
import sys
import time

from tornado.httpclient import AsyncHTTPClient

url, concurrency = sys.argv[1], int(sys.argv[2])
warm_up, window = float(sys.argv[3]), float(sys.argv[4])


async def main():
    client = AsyncHTTPClient(max_clients=concurrency)
    count, next_at, since, measured = 0, time.monotonic() + warm_up, None, None

    async def worker():
        nonlocal count, next_at, since, measured
        while measured is None:
            response = await client.fetch(url)
            assert response.body == b"Hello world!"
            count += 1
            now = time.monotonic()
            if now < next_at:
                continue
            cpu = time.process_time_ns()
            if since is None:
                since, count, next_at = (now, cpu), 0, now + window
            elif measured is None:
                measured = count, int((now - since[0]) * 1e9), cpu - since[1]

    await asyncio.gather(*[worker() for _ in range(concurrency)])
    print(*measured, time.process_time_ns())


asyncio.run(main())
