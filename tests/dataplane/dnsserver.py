"""A DNS server with one answer for every name."""

from __future__ import annotations

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class Dns:
    """`addresses`, of either family, may change at any time; None: there is no such name."""

    def __init__(self, addresses: list[str] | None) -> None:
        self.addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            question = dns.message.from_wire(data)
            answer = dns.message.make_response(question)
            answer.flags |= dns.flags.RA
            if self.addresses is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            for kind, mark in ((dns.rdatatype.A, "."), (dns.rdatatype.AAAA, ":")):
                found = [one for one in self.addresses or () if mark in one]
                if question.question[0].rdtype == kind and found:
                    answer.answer.append(dns.rrset.from_text(question.question[0].name, 0, "IN", kind, *found))
            self._socket.sendto(answer.to_wire(), peer)

    def __enter__(self) -> Dns:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
