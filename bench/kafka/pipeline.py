"""The pipeline as people write it in Python: consume, decode, validate, clean, load, in batches.

usage: pipeline.py BOOTSTRAP TOPIC RECORDS DSN TABLE copy|execute_values
"""

import csv
import io
import json
import re
import sys

import psycopg2
from confluent_kafka import Consumer, TopicPartition
from psycopg2.extras import execute_values

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
DIGITS = re.compile(r"[^0-9]")
BATCH = 10_000


def row(value):
    """The row of a record; None: it is none."""
    try:
        user = json.loads(value)
        name, place, street = user["name"], user["location"], user["location"]["street"]
        fields = (name["first"], name["last"], place["city"], place["country"])
        if not all(isinstance(text, str) and text.strip() for text in fields):
            return None
        email = user["email"].strip().lower()
        if not EMAIL.fullmatch(email):
            return None
        clean = {
            "user_uuid": user["login"]["uuid"], "title": name["title"],
            "first_name": name["first"].strip().title(), "last_name": name["last"].strip().title(),
            "email": email, "street_address": f"{street['number']} {street['name']}",
            "city": place["city"].strip(), "state": place["state"], "country": place["country"].strip(),
            "postcode": str(place["postcode"]), "phone_cleaned": DIGITS.sub("", user["phone"]),
            "cell_cleaned": DIGITS.sub("", user["cell"]), "dob_date": user["dob"]["date"][:10],
            "age_at_ingestion": user["dob"]["age"], "picture_thumbnail_url": user["picture"]["thumbnail"],
        }
        return (*clean.values(), json.dumps(clean), "python")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


COLUMNS = ("user_uuid, title, first_name, last_name, email, street_address, city, state, country, postcode, "
           "phone_cleaned, cell_cleaned, dob_date, age_at_ingestion, picture_thumbnail_url, raw_cleaned_data, "
           "dag_run_id")


def main():
    bootstrap, topic, records, dsn, table, how = sys.argv[1:]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    connection = psycopg2.connect(dsn)
    left = int(records)
    while left > 0:
        messages = consumer.consume(min(BATCH, left), 10)
        if not messages:
            sys.exit(f"{left} records are missing")
        left -= len(messages)
        rows = [found for found in (row(message.value()) for message in messages) if found]
        with connection, connection.cursor() as cursor:
            if how == "copy":
                lines = io.StringIO()
                csv.writer(lines).writerows(rows)
                lines.seek(0)
                cursor.copy_expert(f"COPY {table} ({COLUMNS}) FROM STDIN (FORMAT csv)", lines)
            else:
                execute_values(cursor, f"INSERT INTO {table} ({COLUMNS}) VALUES %s", rows, page_size=1_000)
    consumer.close()


main()
