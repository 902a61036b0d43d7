"""A receiver of webhooks: verifies each message, answers at once, and prints it as a line of JSON.

    pip install -r requirements.txt
    WEBHOOK_SECRET=whsec_… python receiver.py 8000

The secret is what `molctl webhook create` shows. While a secret rotates, messages are signed with both, so the
receiver goes on with the old one for a day.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

# Larger than any message.
MAX_BODY = 1 << 20

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
# A message may come twice: it is done once, by its id. A real receiver keeps this in its database.
seen = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > MAX_BODY:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            # The signature and the time; an old message sent again by somebody else is refused.
            message = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            print(f"refused: {error}", file=sys.stderr, flush=True)
            return self.answer(400)
        message_id = self.headers["webhook-id"]
        if message_id not in seen:
            seen.add(message_id)
            print(json.dumps({"id": message_id, **message}), flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
