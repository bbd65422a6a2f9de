#!/usr/bin/env python3
"""A users API in the shape of randomuser.me, for demos and tests without the internet.

usage: users_api.py [--port PORT] [--total N] [--bad SHARE] [--seed N] [--log FILE]

GET /api/?results=N answers {"results": [...]}, the same users for the same seed. With --bad some of them
are broken in every way that a pipeline has to bear, some answers are no JSON or no UTF-8 at all, and some
are an error that passes (503, 429). With --log every record is written down as it was sent: `bad` tells
what is wrong with it, `row` what becomes of a good one. Prints its address, and ends with its input.
"""

import argparse
import base64
import json
import random
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

FIRST = ["ni luh", "PUTU", " made", "Ketut ", "siti", "Zoë", "josé", "ADA", "Grace", "Søren", "Leila", "🐙 Kai"]
LAST = ["suartini", "WIBOWO", "santoso ", " Hidayat", "o'neill", "müller", "GARCÍA", "Hopper", "chen", "da silva"]
PLACES = [("Denpasar", "Bali", "Indonesia"), ("Jakarta", "DKI Jakarta", "Indonesia"),
          ("Lyon", "Rhône", "France"), ("Köln", "NRW", "Germany"), ("Accra", "Greater Accra", "Ghana")]
STREETS = ["Jalan Merdeka", "Rue Victor Hugo", "Hauptstraße", "High Street"]

# Answers that hold no user, each kind in its turn.
BODIES = [("utf8", b"\xff\xfe{\"results\":[]}"), ("html", b"<html>maintenance</html>"),
          ("cut", b"{\"results\": ["), ("error", b"{\"error\": \"none\"}"), ("array", b"[1, 2")]


class Users:
    """The users of a seed, one after the other, and what is known of those that were sent."""

    def __init__(self, options):
        self.random = random.Random(options.seed)
        self.options = options
        self.sent = 0
        self.asked = 0
        self.emails = []
        self.lock = threading.Lock()
        self.log = open(options.log, "w", encoding="utf-8") if options.log else None

    def answer(self, count):
        """Status, headers and body of the next answer."""
        with self.lock:
            self.asked += 1
            left = count if self.options.total is None else min(count, self.options.total - self.sent)
            if self.options.bad and left > 0:
                if self.asked % 11 == 3:
                    return 503, {}, b"overloaded"
                if self.asked % 17 == 5:
                    return 429, {"Retry-After": "0"}, b""
                if self.asked % 13 == 7:
                    bad, body = BODIES[self.asked // 13 % len(BODIES)]
                    return 200, {}, self.note(body, bad)
            records = [self.record() for _ in range(left)]
            return 200, {}, b"{\"results\":[" + b",".join(records) + b"]}"

    def note(self, body, bad, row=None):
        self.sent += 1
        if self.log:
            line = {"raw": base64.b64encode(body).decode(), "bad": bad, "row": row}
            self.log.write(json.dumps(line) + "\n")
            self.log.flush()
        return body

    def record(self):
        r = self.random
        user = self.user()
        if self.options.bad and r.random() < self.options.bad:
            bad = r.choice(["first", "last", "email", "email_form", "city", "country", "blank", "missing", "two", "list", "text"])
            return self.note(json.dumps(self.broken(user, bad), ensure_ascii=False).encode(), bad)
        if self.options.bad and r.random() < 0.0005:
            user["picture"]["thumbnail"] = "https://example.com/" + "x" * 1_000_000
        return self.note(json.dumps(user, ensure_ascii=False).encode(), None, row(user))

    def user(self):
        r, number = self.random, self.sent
        city, state, country = r.choice(PLACES)
        if self.emails and r.random() < 0.05:
            email, uuid = r.choice(self.emails)
        else:
            email, uuid = f"User.{number}@Example.com", "%08x-%04x-4%03x-8%03x-%012x" % (
                r.getrandbits(32), r.getrandbits(16), r.getrandbits(12), r.getrandbits(12), r.getrandbits(48))
            self.emails.append((email, uuid))
        return {
            "gender": r.choice(["female", "male"]),
            "name": {"title": r.choice(["Mr", "Ms"]), "first": r.choice(FIRST), "last": r.choice(LAST)},
            "location": {"street": {"number": r.randint(1, 999), "name": r.choice(STREETS)}, "city": city,
                         "state": state, "country": country,
                         "postcode": r.choice([r.randint(10000, 99999), "AB1 2CD"])},
            "email": r.choice([email, f" {email.upper()} "]),
            "login": {"uuid": uuid, "username": f"user{number}"},
            "dob": {"date": f"{r.randint(1950, 2005)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}T08:30:00.000Z",
                    "age": r.randint(20, 75)},
            "phone": f"({r.randint(100, 999)}) {r.randint(100, 999)}-{r.randint(1000, 9999)}",
            "cell": f"+{r.randint(10, 99)}-{r.randint(100, 999)}-{r.randint(1000, 9999)}",
            "picture": {"thumbnail": f"https://example.com/{r.randint(0, 99)}.jpg"},
            "nat": "ID",
        }

    def broken(self, user, bad):
        if bad in ("first", "last"):
            user["name"][bad] = ""
        elif bad == "email":
            user["email"] = ""
        elif bad == "email_form":
            user["email"] = self.random.choice(["nobody", "a b@c.d", "a@", "@b.c", "a@b"])
        elif bad in ("city", "country"):
            user["location"][bad] = ""
        elif bad == "blank":
            user["name"]["first"] = "  "
        elif bad == "missing":
            del user["location"]
        elif bad == "two":
            user["name"]["last"], user["location"]["city"] = "", None
        elif bad == "list":
            return [user["email"]]
        elif bad == "text":
            return "no user"
        return user


def row(user):
    """What the pipeline makes of a good one."""
    digits = lambda text: "".join(c for c in text if c in "0123456789")
    place, street = user["location"], user["location"]["street"]
    return {
        "user_uuid": user["login"]["uuid"],
        "title": user["name"]["title"],
        "first_name": user["name"]["first"].strip().title(),
        "last_name": user["name"]["last"].strip().title(),
        "email": user["email"].strip().lower(),
        "street_address": f"{street['number']} {street['name']}",
        "city": place["city"],
        "state": place["state"],
        "country": place["country"],
        "postcode": str(place["postcode"]),
        "phone_cleaned": digits(user["phone"]),
        "cell_cleaned": digits(user["cell"]),
        "dob_date": user["dob"]["date"][:10],
        "age_at_ingestion": user["dob"]["age"],
        "picture_thumbnail_url": user["picture"]["thumbnail"],
    }


def handler(users):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            wanted = parse_qs(urlparse(self.path).query).get("results", ["1"])[0]
            status, headers, body = users.answer(min(int(wanted), 5000))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser(description="A users API in the shape of randomuser.me")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--total", type=int, help="records that there are; left out: no end")
    parser.add_argument("--bad", type=float, default=0.0, help="share of broken records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", help="file of what was sent, one JSON object a line")
    users = Users(parser.parse_args())
    server = ThreadingHTTPServer(("127.0.0.1", users.options.port), handler(users))
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
