"""The service: a catalogue searched over HTTP and JSON.

```text
gate.py        every request passes it first: host, token, size, room and time; every failure leaves through it
app.py         the routes (FastAPI), what they read and what they answer
schemas.py     what a client may send, and what it gets
bodies.py      a photo and fields, from JSON, a form or raw bytes
photos.py      bytes of a client's photo, decoded within limits
lane.py        photos of requests at the same time go through the network in one pass
catalogue.py   the index: searched, looked up, tagged
changes.py     the index changed: here, or by the writer's process
server.py      uvicorn with time limits, in one process
processes.py   several of them, beside one that writes
```
"""
