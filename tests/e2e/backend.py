"""A backend for the e2e tests, run by the image's own Python: it names its pod, and ends as a good server should."""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/slow"):
            time.sleep(3)
        body = json.dumps({"pod": os.environ.get("POD", ""), "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def main() -> None:
    server = ThreadingHTTPServer(("", 8080), Handler)
    server.daemon_threads = True

    def end(*_: object) -> None:
        # endpoints are withdrawn at the same moment: serve on until everybody knows
        threading.Timer(float(os.environ.get("LINGER", "5")), server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    server.serve_forever()


if __name__ == "__main__":
    main()
