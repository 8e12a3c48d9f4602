"""tf.train.Example, features by name, without TensorFlow: read and written by protobuf alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from apgan_jax.data.tfrecord import CorruptRecordError


def _example_class() -> Any:
    """tf.train.Example as a protobuf class, from a descriptor made at run time.

    In a pool and a package of its own, so that it stands beside TensorFlow's; the wire format
    knows field numbers only.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name='apgan_example.proto', package='apgan', syntax='proto3'
    )

    def add(message: str, *fields: tuple[str, int, int, str | None]) -> None:
        descriptor = file.message_type.add(name=message)
        for name, kind, label, type_name in fields:
            number = len(descriptor.field) + 1
            descriptor.field.add(
                name=name, number=number, type=kind, label=label, type_name=type_name
            )

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    nested = field.TYPE_MESSAGE
    add('BytesList', ('value', field.TYPE_BYTES, many, None))
    add('FloatList', ('value', field.TYPE_FLOAT, many, None))
    add('Int64List', ('value', field.TYPE_INT64, many, None))
    add(
        'Feature',
        ('bytes_list', nested, one, '.apgan.BytesList'),
        ('float_list', nested, one, '.apgan.FloatList'),
        ('int64_list', nested, one, '.apgan.Int64List'),
    )
    # A map is a repeated message of key and value that says so.
    add(
        'FeatureEntry',
        ('key', field.TYPE_STRING, one, None),
        ('value', nested, one, '.apgan.Feature'),
    )
    entry = file.message_type.pop()
    entry.options.map_entry = True
    add('Features', ('feature', nested, many, '.apgan.Features.FeatureEntry'))
    file.message_type[-1].nested_type.append(entry)
    add('Example', ('features', nested, one, '.apgan.Features'))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('apgan.Example'))


_Example = _example_class()


def parse_example(data: bytes) -> Mapping[str, Any]:
    """The features of a serialised tf.train.Example, tf.train.Feature messages by name.

    Raises:
      CorruptRecordError: `data` is no tf.train.Example.
    """
    try:
        return _Example.FromString(data).features.feature
    except message.DecodeError as error:
        raise CorruptRecordError(f'no tf.train.Example ({error})') from error


def serialise_example(features: Mapping[str, bytes | np.ndarray]) -> bytes:
    """Writes bytes and float arrays (flattened) as a tf.train.Example."""
    example = _Example()
    for name, value in sorted(features.items()):
        feature = example.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        else:
            feature.float_list.value.extend(np.ravel(value).tolist())
    return example.SerializeToString(deterministic=True)
