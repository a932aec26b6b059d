"""A client of Session Manager's data channel, written after what `session-manager-plugin` sends and takes, and not after mote's own code."""

import hashlib
import json
import struct
import threading
import time
import uuid

from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

# Length of the header without its last field, type, version, time, sequence number, flags, id, digest, kind of payload, length of payload.
HEADER = struct.Struct(">I32sIQqQ16s32sII")

OUTPUT, SIZE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE, FLAG = 1, 3, 5, 6, 7, 10
TERMINATE = struct.pack(">I", 2)

# The most that is waited for whatever comes next: far longer than anything takes.
PATIENCE_SECONDS = 120


def packed(message_type, sequence, flags, kind, payload):
    """A message, and its id as text."""
    identity = uuid.uuid4()
    # The id's last eight bytes come first.
    halves = identity.bytes[8:] + identity.bytes[:8]
    digest = hashlib.sha256(payload).digest()
    header = HEADER.pack(116, message_type.ljust(32).encode(), 1, int(time.time() * 1000), sequence, flags, halves, digest, kind, len(payload))
    return header + payload, str(identity)


def parsed(data):
    """Type, sequence number, id as text, kind and payload of a message that is whole."""
    told, message_type, version, _, sequence, _, halves, digest, kind, length = HEADER.unpack_from(data)
    payload = data[HEADER.size :]
    assert (told, version, length) == (116, 1, len(payload)), data
    assert digest == hashlib.sha256(payload).digest(), data
    return message_type.decode().strip(" \0"), sequence, str(uuid.UUID(bytes=halves[8:] + halves[:8])), kind, payload


class Session:
    """What `ExecuteCommand` gave, opened."""

    def __init__(self, session, columns=100, rows=30):
        self.name = session["sessionId"]
        self.output = b""
        # Why the session ended, once the host has said so.
        self.end = None
        # Ids of what was sent and has not arrived yet.
        self.under_way = set()
        # Shared by who reads and who writes: the sequence of what is sent has no gaps.
        self._lock = threading.Lock()
        self._sent, self._expected, self._early, self._has_begun = 0, 0, {}, False
        self._socket = connect(session["streamUrl"], open_timeout=PATIENCE_SECONDS)
        opening = {"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "TokenValue": session["tokenValue"],
                   "ClientId": str(uuid.uuid4()), "ClientVersion": "1.2.707.0"}
        self._socket.send(json.dumps(opening))
        while not self._has_begun:
            assert self.step(), "the session ended before it began"
        self.send(SIZE, json.dumps({"cols": columns, "rows": rows}).encode())

    def send(self, kind, payload):
        with self._lock:
            data, identity = packed("input_stream_data", self._sent, int(self._sent == 0), kind, payload)
            self._sent += 1
            self.under_way.add(identity)
            self._socket.send(data)

    def type(self, text):
        self.send(OUTPUT, text.encode())

    def terminate(self):
        self.send(FLAG, TERMINATE)

    def step(self):
        """Takes the next message; false where the host has closed the connection."""
        try:
            data = self._socket.recv(timeout=PATIENCE_SECONDS)
        except ConnectionClosedOK:
            return False
        message_type, sequence, identity, kind, payload = parsed(data)
        if message_type == "acknowledge":
            self.under_way.discard(json.loads(payload)["AcknowledgedMessageId"])
        elif message_type == "channel_closed":
            self.end = json.loads(payload)
            assert self.end["SessionId"] == self.name, self.end
        elif message_type == "output_stream_data":
            self._acknowledge(message_type, sequence, identity)
            if sequence >= self._expected:
                self._early[sequence] = (kind, payload)
            while self._expected in self._early:
                self._take(*self._early.pop(self._expected))
                self._expected += 1
        return True

    def wait_for(self, text):
        """Reads until the output holds `text`; all output until now."""
        while text not in self.output.decode(errors="replace"):
            assert self.step(), self.output
        return self.output.decode()

    def wait(self):
        """Reads to the session's end; all output, and why it ended."""
        while self.step():
            pass
        assert self.end is not None, self.output
        return self.output.decode(), self.end.get("Output", "")

    def _acknowledge(self, message_type, sequence, identity):
        arrived = {"AcknowledgedMessageType": message_type, "AcknowledgedMessageId": identity,
                   "AcknowledgedMessageSequenceNumber": sequence, "IsSequentialMessage": True}
        self._socket.send(packed("acknowledge", 0, 3, 0, json.dumps(arrived).encode())[0])

    def _take(self, kind, payload):
        if kind == HANDSHAKE_REQUEST:
            wanted = json.loads(payload)["RequestedClientActions"]
            done = [{"ActionType": action["ActionType"], "ActionStatus": 1, "ActionResult": None, "Error": ""} for action in wanted]
            response = {"ClientVersion": "1.2.707.0", "ProcessedClientActions": done, "Errors": []}
            self.send(HANDSHAKE_RESPONSE, json.dumps(response).encode())
        elif kind == HANDSHAKE_COMPLETE:
            self._has_begun = True
        elif kind == OUTPUT:
            self.output += payload
