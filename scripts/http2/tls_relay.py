"""Carries what comes in clear text to a TLS server that it asks for h2, for clients that do not know TLS.

    tls_relay.py PORT SERVER_PORT CERTFILE
"""
import asyncio
import ssl
import sys


async def carry(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # an end like another for whoever watches the other side
    finally:
        writer.close()


async def main():
    port, server_port, certfile = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    context = ssl.create_default_context(cafile=certfile)
    context.set_alpn_protocols(["h2"])

    async def relay(reader, writer):
        there, to_there = await asyncio.open_connection("127.0.0.1", server_port, ssl=context, server_hostname="localhost")
        if to_there.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            sys.exit("the server did not choose h2")
        await asyncio.gather(carry(reader, to_there), carry(there, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main())
