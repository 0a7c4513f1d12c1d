"""A TCP proxy whose connections can be cut, reset, slowed down, or frozen."""

import contextlib
import socket
import struct
import threading
import time
from typing import Self

POLL_S = 0.05
CLOSE_BY_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """`with Proxy(9042) as proxy: … proxy.port`; `cut()` closes every connection and refuses new ones until `open()`.

    `reset()` ends every connection with a TCP reset; new ones are accepted. `slow(seconds)` delays each piece of data by this time.
    `freeze()` keeps the connections but forwards nothing until `thaw()`, like a server that hangs or a network that drops packets.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1") -> None:
        self.target_port = target_port
        self.host = host
        self.port = 0
        self._listener: socket.socket | None = None
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_frozen = False
        self._delay_s = 0.0

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def open(self) -> None:
        self._listener = socket.create_server((self.host, self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._close_all(socket.SHUT_RDWR)

    def reset(self) -> None:
        for one in list(self._pairs):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_BY_RESET)
        self._close_all(socket.SHUT_RD)  # ends a waiting recv without sending anything

    def slow(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def freeze(self) -> None:
        self._is_frozen = True

    def thaw(self) -> None:
        self._is_frozen = False

    def _close_all(self, direction: int) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for one in pairs:
            with contextlib.suppress(OSError):
                one.shutdown(direction)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs = [one for one in self._pairs if one.fileno() >= 0] + [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                while self._is_frozen and source.fileno() >= 0:
                    time.sleep(POLL_S)
                if self._delay_s:
                    time.sleep(self._delay_s)
                target.sendall(chunk)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
