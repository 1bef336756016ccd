"""A fraud desk in Python. It owns the topic "fraud" and clears every order.

    python clear.py BROKERS REGISTRY FraudCleared.v1.avsc [PREFIX]

Four habits let it live in the estate:
1. Its schema is registered as <topic>-<full name>; one that breaks a reader is refused there.
2. A record's value is a zero byte, the schema's ID in four bytes, and the Avro body.
3. Keys go where everybody's go: the estate uses murmur2, librdkafka by itself CRC32.
4. An event that is sent again is the same to the last byte, and readers drop it:
   its ID says what it is about, its time is its cause's. So at least once is enough.
"""
import io, json, struct, sys, uuid
from functools import cache
from urllib.request import Request, urlopen

from confluent_kafka import Consumer, KafkaException, Producer
from fastavro import parse_schema, schemaless_reader, schemaless_writer

PLACED, CLEARED = "troupe.ordercapture.OrderPlaced", "troupe.fraud.FraudCleared"


def register(registry, subject, text):
    """Adds a schema to a subject, or finds it there; returns its ID."""
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    with urlopen(Request(f"{registry}/subjects/{subject}/versions", json.dumps({"schema": text}).encode(), headers)) as answer:
        return json.load(answer)["id"]


@cache
def schema_of(registry, number):
    with urlopen(f"{registry}/schemas/ids/{number}") as answer:
        return parse_schema(json.loads(json.load(answer)["schema"]))


def read(registry, value):
    """Returns an event's full name and its fields."""
    schema = schema_of(registry, struct.unpack_from(">bI", value)[1])
    return schema["name"], schemaless_reader(io.BytesIO(value[5:]), schema, None)


def frame(registry, number, event):
    body = io.BytesIO()
    schemaless_writer(body, schema_of(registry, number), event)
    return struct.pack(">bI", 0, number) + body.getvalue()


def cleared(of):
    """The verdict on an order, from the envelope of its OrderPlaced, under its key."""
    about = of["tenant"] + "/" + of["order"]
    own = {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, "FraudCleared/" + about)), "type": "FraudCleared", "source": "fraud", "aggregateSequence": 1}
    return about, {"envelope": of | own | {"causationId": of["id"]}, "score": 1, "basis": "SCORE"}


def check(error, _=None):
    if error:
        raise KafkaException(error)


def main(brokers, registry, avsc, prefix=""):
    number = register(registry, "fraud-" + CLEARED, open(avsc).read())
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "enable.idempotence": True})
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": prefix + "fraud", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([prefix + "orders"])
    try:
        while True:
            if (message := consumer.poll(0.2)) is None:
                continue
            check(message.error())
            name, event = read(registry, message.value())
            if name == PLACED:
                key, verdict = cleared(event["envelope"])
                producer.produce(prefix + "fraud", frame(registry, number, verdict), key, on_delivery=check)
                producer.flush()
            consumer.commit(message, asynchronous=False)  # only now: after a crash it is read, and answered, again
    except KeyboardInterrupt:
        consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
