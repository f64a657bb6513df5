"""What the C++ interop client checks and the Python one doesn't, and what neither does, written with grpcio's API: gzip both
ways, many calls on one and on many channels, a slow reader, a Unix socket."""

import importlib
import sys
import tempfile
from pathlib import Path

import grpc
from grpc_tools import protoc

_stubs = tempfile.TemporaryDirectory(prefix="mend-interop-stubs-")
_schemas = Path(__file__).parent / "proto"
_schema = _schemas / "grpc/testing/test.proto"
assert protoc.main(
    ["protoc", f"-I{_schema.parent}", f"--python_out={_stubs.name}", f"--grpc_python_out={_stubs.name}", str(_schema)]) == 0
sys.path.insert(0, _stubs.name)
pb = importlib.import_module("test_pb2")
stubs = importlib.import_module("test_pb2_grpc")

TIMEOUT_SECONDS = 60


def _channel(server, options=()):
    return grpc.insecure_channel(f"127.0.0.1:{server.plain}", options=[("grpc.use_local_subchannel_pool", 1), *options])


def many_calls_on_one_channel(server):
    with _channel(server) as channel:
        stub = stubs.TestServiceStub(channel)
        futures = [
            stub.UnaryCall.future(
                pb.SimpleRequest(response_size=size * 100, payload=pb.Payload(body=b"x" * size)), timeout=TIMEOUT_SECONDS)
            for size in range(500)]
        for size, future in enumerate(futures):
            assert len(future.result().payload.body) == size * 100


def many_channels(server):
    for _ in range(50):
        with _channel(server) as channel:
            answer = stubs.TestServiceStub(channel).UnaryCall(
                pb.SimpleRequest(response_size=314159, payload=pb.Payload(body=b"x" * 271828)), timeout=TIMEOUT_SECONDS)
            assert len(answer.payload.body) == 314159


def a_reader_that_stops_and_goes_on(server):
    count = 300
    request = pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=100_000)] * count)
    with _channel(server) as channel:
        stub = stubs.TestServiceStub(channel)
        call = stub.StreamingOutputCall(request, timeout=TIMEOUT_SECONDS)
        next(call)
        # 30 MB wait at the server, which sends no more than the window allows; others are served.
        for _ in range(200):
            stub.EmptyCall(pb.Empty(), timeout=TIMEOUT_SECONDS)
        assert sum(1 for _ in call) == count - 1


def half_duplex(server):
    with _channel(server) as channel:
        requests = (
            pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=size)]) for size in (3, 1, 2))
        call = stubs.TestServiceStub(channel).HalfDuplexCall(requests, timeout=TIMEOUT_SECONDS)
        assert [len(message.payload.body) for message in call] == [3, 1, 2]


def gzip_requests(server):
    with _channel(server) as channel:
        stub = stubs.TestServiceStub(channel)
        body = pb.Payload(body=b"x" * 271828)
        stub.UnaryCall(
            pb.SimpleRequest(payload=body, expect_compressed=pb.BoolValue(value=True)), compression=grpc.Compression.Gzip,
            timeout=TIMEOUT_SECONDS)
        try:
            stub.UnaryCall(
                pb.SimpleRequest(payload=body, expect_compressed=pb.BoolValue(value=True)), timeout=TIMEOUT_SECONDS)
            raise AssertionError("a plain request passed for a compressed one")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        messages = [pb.StreamingInputCallRequest(payload=body, expect_compressed=pb.BoolValue(value=True))] * 10
        answer = stub.StreamingInputCall(iter(messages), compression=grpc.Compression.Gzip, timeout=TIMEOUT_SECONDS)
        assert answer.aggregated_payload_size == 2718280


def gzip_responses(server):
    with _channel(server) as channel:
        stub = stubs.TestServiceStub(channel)
        for wanted in (True, False):
            answer = stub.UnaryCall(
                pb.SimpleRequest(response_size=314159, response_compressed=pb.BoolValue(value=wanted)),
                timeout=TIMEOUT_SECONDS)
            assert len(answer.payload.body) == 314159
        parameters = [pb.ResponseParameters(size=size, compressed=pb.BoolValue(value=size % 2 == 1))
                      for size in (31415, 92650, 1, 0)]
        call = stub.StreamingOutputCall(
            pb.StreamingOutputCallRequest(response_parameters=parameters), timeout=TIMEOUT_SECONDS)
        assert [len(message.payload.body) for message in call] == [31415, 92650, 1, 0]


def an_unknown_encoding_is_unimplemented(server):
    with _channel(server) as channel:
        try:
            stubs.TestServiceStub(channel).UnaryCall(
                pb.SimpleRequest(payload=pb.Payload(body=b"x" * 1000)), compression=grpc.Compression.Deflate,
                timeout=TIMEOUT_SECONDS)
            raise AssertionError("deflate passed")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
            assert "deflate" in error.details()


def a_gzip_bomb_is_refused(server):
    with _channel(server) as channel:
        stub = stubs.TestServiceStub(channel)
        try:
            stub.UnaryCall(
                pb.SimpleRequest(payload=pb.Payload(body=b"\0" * (8 << 20))), compression=grpc.Compression.Gzip,
                timeout=TIMEOUT_SECONDS)
            raise AssertionError("8 MiB passed")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
        stub.EmptyCall(pb.Empty(), timeout=TIMEOUT_SECONDS)


def over_a_unix_socket(server):
    with grpc.insecure_channel(f"unix:{server.socket}") as channel:
        assert stubs.TestServiceStub(channel).EmptyCall(pb.Empty(), timeout=TIMEOUT_SECONDS) == pb.Empty()


def metadata_of_every_kind(server):
    sent = (("x-grpc-test-echo-initial", "a, b"), ("x-grpc-test-echo-trailing-bin", bytes(range(256))))
    with _channel(server) as channel:
        _, call = stubs.TestServiceStub(channel).UnaryCall.with_call(
            pb.SimpleRequest(), metadata=sent, timeout=TIMEOUT_SECONDS)
        assert dict(call.initial_metadata())["x-grpc-test-echo-initial"] == "a, b"
        assert dict(call.trailing_metadata())["x-grpc-test-echo-trailing-bin"] == bytes(range(256))


def cases():
    for case in (
            many_calls_on_one_channel, many_channels, a_reader_that_stops_and_goes_on, half_duplex, gzip_requests,
            gzip_responses, an_unknown_encoding_is_unimplemented, a_gzip_bomb_is_refused, over_a_unix_socket,
            metadata_of_every_kind):
        yield f"grpcio: {case.__name__.replace('_', ' ')}", case
