"""Parcels by Confluent's Python client, which is librdkafka with its own serializers: no code of Millrace takes part.

Reads one JSON object from standard input and answers one on standard output; the arguments are brokers and registry.
  {"do": "produce", "type": "AVRO" | "PROTOBUF", "topic", "partitions",
   "records": [{"key", "value", "headers", "timestamp", "codec"}]} -> {}
  {"do": "consume", "type": "AVRO" | "PROTOBUF", "topic"} ->
   {"records": [{"key", "value", "headers", "timestamp", "partition"}]}
"produce" makes the topic; records of one codec share their batches. "consume" reads what is there now.
"""

import datetime
import json
import sys
import uuid

from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2  # noqa: F401

brokers, registry_url = sys.argv[1:]
registry = SchemaRegistryClient({'url': registry_url})

parcel_avro = {
    'type': 'record',
    'name': 'Parcel',
    'namespace': 'interop',
    'fields': [
        {'name': 'id', 'type': 'long'},
        {
            'name': 'to',
            'type': {
                'type': 'record',
                'name': 'Address',
                'fields': [{'name': 'city', 'type': 'string'}, {'name': 'street', 'type': 'string'}],
            },
        },
        {
            'name': 'items',
            'type': {
                'type': 'array',
                'items': {
                    'type': 'record',
                    'name': 'Item',
                    'fields': [{'name': 'sku', 'type': 'string'}, {'name': 'count', 'type': 'int'}],
                },
            },
        },
        {'name': 'weight', 'type': 'double'},
        {'name': 'status', 'type': {'type': 'enum', 'name': 'Status', 'symbols': ['UNKNOWN', 'SENT', 'LOST']}},
        {'name': 'placed', 'type': {'type': 'long', 'logicalType': 'timestamp-micros'}},
        {'name': 'note', 'type': ['null', 'string'], 'default': None},
    ],
}

Field = descriptor_pb2.FieldDescriptorProto


def field(name, number, kind, label=Field.LABEL_OPTIONAL, type_name=None, **more):
    return Field(name=name, number=number, type=kind, label=label, type_name=type_name, **more)


def with_note(message, number):
    message.oneof_decl.add(name='_note')
    message.field.append(field('note', number, Field.TYPE_STRING, oneof_index=0, proto3_optional=True))


def proto_file(name, package):
    return descriptor_pb2.FileDescriptorProto(
        name=name, package=package, syntax='proto3', dependency=['google/protobuf/timestamp.proto']
    )


def status_enum(file, name):
    kind = file.enum_type.add(name=name)
    for number, value in enumerate(['UNKNOWN', 'SENT', 'LOST']):
        kind.value.add(name=value, number=number)


def parcel_file():
    """The parcel is the second message of its file, and its items are nested in it."""
    file = proto_file('interop_parcel.proto', 'interop.parcel')
    status_enum(file, 'Status')
    address = file.message_type.add(name='Address')
    address.field.extend([field('city', 1, Field.TYPE_STRING), field('street', 2, Field.TYPE_STRING)])
    parcel = file.message_type.add(name='Parcel')
    item = parcel.nested_type.add(name='Item')
    item.field.extend([field('sku', 1, Field.TYPE_STRING), field('count', 2, Field.TYPE_INT32)])
    parcel.field.extend(
        [
            field('id', 1, Field.TYPE_INT64),
            field('to', 2, Field.TYPE_MESSAGE, type_name='.interop.parcel.Address'),
            field('items', 3, Field.TYPE_MESSAGE, Field.LABEL_REPEATED, '.interop.parcel.Parcel.Item'),
            field('weight', 4, Field.TYPE_DOUBLE),
            field('status', 5, Field.TYPE_ENUM, type_name='.interop.parcel.Status'),
            field('placed', 6, Field.TYPE_MESSAGE, type_name='.google.protobuf.Timestamp'),
        ]
    )
    with_note(parcel, 7)
    return file


def booking_file():
    file = proto_file('interop_booking.proto', 'interop.booking')
    status_enum(file, 'Status')
    booking = file.message_type.add(name='Booking')
    booking.field.extend(
        [
            field('id', 1, Field.TYPE_INT64),
            field('city', 2, Field.TYPE_STRING),
            field('weight', 3, Field.TYPE_DOUBLE),
            field('pieces', 4, Field.TYPE_INT32),
            field('status', 5, Field.TYPE_ENUM, type_name='.interop.booking.Status'),
            field('placed', 6, Field.TYPE_MESSAGE, type_name='.google.protobuf.Timestamp'),
        ]
    )
    with_note(booking, 7)
    return file


pool = descriptor_pool.Default()
for made in (parcel_file(), booking_file()):
    pool.Add(made)


def message_class(name):
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def instant(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))


def avro_of(value):
    return {**value, 'id': int(value['id']), 'placed': instant(value['placed'])}


def serializer(kind):
    if kind == 'AVRO':
        write = AvroSerializer(registry, Schema(json.dumps(parcel_avro), 'AVRO'))
        return lambda value, context: write(avro_of(value), context)
    parcel = message_class('interop.parcel.Parcel')
    write = ProtobufSerializer(parcel, registry, {'use.deprecated.format': False})
    return lambda value, context: write(json_format.ParseDict(value, parcel()), context)


def iso(at):
    return at.replace(tzinfo=None).isoformat(timespec='microseconds') + 'Z'


def booking_of_avro(value):
    return {**value, 'id': str(value['id']), 'placed': iso(value['placed'])}


def booking_of_message(message):
    return {
        'id': str(message.id),
        'city': message.city,
        'weight': message.weight,
        'pieces': message.pieces,
        'status': message.DESCRIPTOR.fields_by_name['status'].enum_type.values_by_number[message.status].name,
        'placed': iso(message.placed.ToDatetime()),
        'note': message.note if message.HasField('note') else None,
    }


def deserializer(kind):
    if kind == 'AVRO':
        read = AvroDeserializer(registry)
        return lambda data, context: booking_of_avro(read(data, context))
    read = ProtobufDeserializer(message_class('interop.booking.Booking'), {'use.deprecated.format': False})
    return lambda data, context: booking_of_message(read(data, context))


def create(topic, partitions):
    admin = AdminClient({'bootstrap.servers': brokers})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)


def produce(request):
    topic = request['topic']
    create(topic, request['partitions'])
    write = serializer(request['type'])
    context = SerializationContext(topic, MessageField.VALUE)
    problems = []
    for codec in dict.fromkeys(record['codec'] for record in request['records']):
        producer = Producer(
            {
                'bootstrap.servers': brokers,
                'compression.type': codec,
                'linger.ms': 500,
                # As in Java's client and in Millrace; librdkafka's own default is another.
                'partitioner': 'murmur2_random',
            }
        )
        for record in request['records']:
            if record['codec'] != codec:
                continue
            value = record['value']
            producer.produce(
                topic,
                key=record['key'],
                value=None if value is None else write(value, context),
                headers=[(name, text.encode()) for name, text in record['headers'].items()],
                timestamp=record['timestamp'],
                on_delivery=lambda error, _: problems.append(str(error)) if error else None,
            )
        if producer.flush(60) > 0 or problems:
            raise RuntimeError(f'not delivered: {problems}')
    return {}


def consume(request):
    topic = request['topic']
    read = deserializer(request['type'])
    context = SerializationContext(topic, MessageField.VALUE)
    consumer = Consumer(
        {
            'bootstrap.servers': brokers,
            'group.id': str(uuid.uuid4()),
            'auto.offset.reset': 'earliest',
            'enable.partition.eof': True,
        }
    )
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.subscribe([topic])
    records = []
    ended = set()
    while len(ended) < len(partitions):
        message = consumer.poll(60)
        if message is None:
            raise RuntimeError(f'{topic} does not end: {len(records)} records, ends of {sorted(ended)}')
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise RuntimeError(str(message.error()))
            ended.add(message.partition())
            continue
        value = message.value()
        records.append(
            {
                'key': None if message.key() is None else message.key().decode(),
                'value': None if value is None else read(value, context),
                'headers': {name: content.decode() for name, content in message.headers() or []},
                'timestamp': message.timestamp()[1],
                'partition': message.partition(),
            }
        )
    consumer.close()
    return {'records': records}


request = json.load(sys.stdin)
print(json.dumps(produce(request) if request['do'] == 'produce' else consume(request)))
