"""What a careless producer sends. Each line of input is a kind of mistake and an order.

    echo "crc32 web-7" | python wrong.py BROKERS REGISTRY FraudCleared.v1.avsc [PREFIX]
"""
import sys
from datetime import datetime, timezone

from confluent_kafka import Producer

from clear import CLEARED, check, cleared, frame, register

NEVER_REGISTERED = (4711).to_bytes(4, "big")
MISTAKES = {
    "none": lambda value: value,
    "crc32": lambda value: value,  # the bytes are good: it is the producer that was left at its default
    "unframed": lambda value: b'{"orderCleared": true}',
    "unknown": lambda value: value[:1] + NEVER_REGISTERED + value[5:],
    "truncated": lambda value: value[: len(value) // 2],
}


def main(brokers, registry, avsc, prefix=""):
    number = register(registry, "fraud-" + CLEARED, open(avsc).read())
    careful = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})
    careless = Producer({"bootstrap.servers": brokers})
    for mistake, order in map(str.split, sys.stdin):
        placed = {"id": order, "tenant": "acme", "order": order, "aggregateId": "acme/" + order, "occurredAt": datetime(2026, 1, 5, 9, tzinfo=timezone.utc)}
        key, verdict = cleared(placed)
        producer = careless if mistake == "crc32" else careful
        producer.produce(prefix + "fraud", MISTAKES[mistake](frame(registry, number, verdict)), key, on_delivery=check)
        producer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
