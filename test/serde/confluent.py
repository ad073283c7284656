"""Serializes and deserializes values with Confluent's Python client, to be compared with what Millrace does.

Reads one JSON object for each line of standard input and answers each with one line:
  {"do": "write", "type": "AVRO" | "JSON", "topic", "schema", "values", "kinds"?} -> {"bytes": [base64, ...]}
  {"do": "write", "type": "PROTOBUF", "topic", "message", "values"} -> {"bytes": [base64, ...]}
  {"do": "read", ..., "bytes": [base64, ...]} -> {"values": [...]}
"kinds" says by field what Python takes instead of JSON: bytes, decimal, datetime, date, int. The Protobuf files are described here by hand, so that no code of Millrace takes part in them.
"""

import base64
import datetime
import decimal
import json
import sys

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2  # noqa: F401
from google.protobuf import struct_pb2, wrappers_pb2  # noqa: F401

Field = descriptor_pb2.FieldDescriptorProto


def field(name, number, kind, label=Field.LABEL_OPTIONAL, type_name=None, **more):
    return Field(name=name, number=number, type=kind, label=label, type_name=type_name, **more)


def files():
    money = descriptor_pb2.FileDescriptorProto(name='shop/money.proto', package='shop', syntax='proto3')
    message = money.message_type.add(name='Money')
    message.field.extend([field('currency', 1, Field.TYPE_STRING), field('units', 2, Field.TYPE_INT64)])

    order = descriptor_pb2.FileDescriptorProto(
        name='order.proto',
        package='shop',
        syntax='proto3',
        dependency=['shop/money.proto', 'google/protobuf/timestamp.proto', 'google/protobuf/struct.proto', 'google/protobuf/wrappers.proto'],
    )
    kind = order.enum_type.add(name='Kind')
    kind.value.add(name='KIND_UNSPECIFIED', number=0)
    kind.value.add(name='GIFT', number=1)
    message = order.message_type.add(name='Order')
    label = message.nested_type.add(name='LabelsEntry')
    label.field.extend([field('key', 1, Field.TYPE_STRING), field('value', 2, Field.TYPE_INT64)])
    label.options.map_entry = True
    message.oneof_decl.add(name='payment')
    message.oneof_decl.add(name='_note')
    message.field.extend(
        [
            field('id', 1, Field.TYPE_INT64),
            field('big', 2, Field.TYPE_UINT64),
            field('small', 3, Field.TYPE_SINT32),
            field('ratio', 4, Field.TYPE_DOUBLE),
            field('paid', 5, Field.TYPE_BOOL),
            field('name', 6, Field.TYPE_STRING),
            field('blob', 7, Field.TYPE_BYTES),
            field('kind', 8, Field.TYPE_ENUM, type_name='.shop.Kind'),
            field('tags', 9, Field.TYPE_STRING, Field.LABEL_REPEATED),
            field('numbers', 10, Field.TYPE_INT32, Field.LABEL_REPEATED),
            field('labels', 11, Field.TYPE_MESSAGE, Field.LABEL_REPEATED, '.shop.Order.LabelsEntry'),
            field('total', 12, Field.TYPE_MESSAGE, type_name='.shop.Money'),
            field('at', 13, Field.TYPE_MESSAGE, type_name='.google.protobuf.Timestamp'),
            field('extra', 14, Field.TYPE_MESSAGE, type_name='.google.protobuf.Struct'),
            field('limit', 15, Field.TYPE_MESSAGE, type_name='.google.protobuf.Int64Value'),
            field('card', 16, Field.TYPE_STRING, oneof_index=0),
            field('cash', 17, Field.TYPE_MESSAGE, type_name='.shop.Money', oneof_index=0),
            field('note', 18, Field.TYPE_STRING, oneof_index=1, proto3_optional=True),
            field('parts', 19, Field.TYPE_MESSAGE, Field.LABEL_REPEATED, '.shop.Order'),
        ]
    )
    refund = order.message_type.add(name='Refund')
    refund.field.extend([field('order', 1, Field.TYPE_INT64)])
    first = refund.nested_type.add(name='First')
    first.field.extend([field('a', 1, Field.TYPE_STRING)])
    second = refund.nested_type.add(name='Second')
    second.field.extend([field('b', 1, Field.TYPE_STRING)])
    inner = second.nested_type.add(name='Inner')
    inner.field.extend([field('c', 1, Field.TYPE_STRING)])
    return [money, order]


pool = descriptor_pool.Default()
for file in files():
    pool.Add(file)

client = SchemaRegistryClient({'url': sys.argv[1]})


def message_class(name):
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


of_json = {
    'bytes': base64.b64decode,
    'decimal': decimal.Decimal,
    'datetime': lambda text: datetime.datetime.fromisoformat(text.replace('Z', '+00:00')),
    'date': datetime.date.fromisoformat,
    'int': int,
}


def python_value(value, kinds):
    if isinstance(value, list):
        return [python_value(item, kinds) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: of_json[kinds[name]](member) if name in kinds and member is not None else python_value(member, kinds)
        for name, member in value.items()
    }


def json_value(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec='microseconds').replace('+00:00', 'Z')
    return str(value)


def writer(request):
    if request['type'] == 'AVRO':
        return AvroSerializer(client, Schema(request['schema'], 'AVRO'))
    if request['type'] == 'JSON':
        return JSONSerializer(Schema(request['schema'], 'JSON'), client)
    made = message_class(request['message'])
    serialize = ProtobufSerializer(made, client, {'use.deprecated.format': False})
    return lambda value, context: serialize(json_format.ParseDict(value, made()), context)


def reader(request):
    if request['type'] == 'AVRO':
        return AvroDeserializer(client)
    if request['type'] == 'JSON':
        return JSONDeserializer(None, schema_registry_client=client)
    # Without a client: a registry that is not Confluent's own does not hand out descriptors.
    read = ProtobufDeserializer(message_class(request['message']), {'use.deprecated.format': False})
    return lambda data, context: json_format.MessageToDict(read(data, context), preserving_proto_field_name=True)


for line in sys.stdin:
    request = json.loads(line)
    context = SerializationContext(request['topic'], MessageField.VALUE)
    try:
        if request['do'] == 'write':
            write = writer(request)
            values = python_value(request['values'], request.get('kinds', {}))
            answer = {'bytes': [base64.b64encode(write(value, context)).decode() for value in values]}
        else:
            read = reader(request)
            answer = {'values': [read(base64.b64decode(data), context) for data in request['bytes']]}
    except Exception as error:  # The test says what went wrong.
        answer = {'error': f'{type(error).__name__}: {error}'}
    print(json.dumps(answer, default=json_value), flush=True)
