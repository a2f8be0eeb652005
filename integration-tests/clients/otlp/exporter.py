"""A profiler of itself that exports OTLP profiles, by the messages of whichever opentelemetry-proto is on the path.
Usage: exporter.py LAYOUT URL SECONDS, where LAYOUT is 1.7, 1.9 or 1.10. Each round goes out by gRPC, HTTP protobuf and HTTP JSON, each as a service of
its own, `otlp-<layout>-<way>`."""
import base64
import collections
import json
import sys
import threading
import time
import urllib.request

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2 as service
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2_grpc as service_grpc

PERIOD = 0.01
ROUND = 1.0


def otlp_spin_here(until):
    count = 0
    while time.monotonic() < until:
        count += 1
    return count


def stacks(seconds):
    """(stack of (function, file, line), leaf first) -> moments at which the main thread was there."""
    found, main = collections.defaultdict(list), threading.main_thread().ident
    stop = threading.Event()

    def look():
        while not stop.wait(PERIOD):
            frame, stack = sys._current_frames().get(main), []
            while frame is not None:
                code = frame.f_code
                stack.append((code.co_name, code.co_filename, frame.f_lineno))
                frame = frame.f_back
            found[tuple(stack)].append(time.time_ns())

    looker = threading.Thread(target=look)
    looker.start()
    otlp_spin_here(time.monotonic() + seconds)
    stop.set()
    looker.join()
    return found


class Tables:
    """The dictionary; entry 0 of each table means nothing, but in 1.7, where no entry does."""

    def __init__(self, dictionary, layout):
        self.dictionary, self.layout, self.strings, self.locations = dictionary, layout, {}, {}
        self.string("")
        if layout != "1.7":
            for table in ("mapping_table", "location_table", "function_table", "link_table", "attribute_table", "stack_table"):
                getattr(dictionary, table).add()

    def string(self, text):
        if text not in self.strings:
            self.strings[text] = len(self.dictionary.string_table)
            self.dictionary.string_table.append(text)
        return self.strings[text]

    def location(self, frame):
        if frame not in self.locations:
            name, file, line = frame
            function = self.dictionary.function_table.add(name_strindex=self.string(name), filename_strindex=self.string(file))
            assert function.name_strindex > 0
            location = self.dictionary.location_table.add()
            lines = location.line if self.layout == "1.7" else location.lines
            lines.add(function_index=len(self.dictionary.function_table) - 1, line=line)
            self.locations[frame] = len(self.dictionary.location_table) - 1
        return self.locations[frame]

    def link(self):
        self.dictionary.link_table.add(trace_id=bytes(range(16)), span_id=bytes(range(1, 9)))
        return len(self.dictionary.link_table) - 1


def add_samples(profile, tables, found):
    link = tables.link()
    for stack, moments in found.items():
        locations = [tables.location(frame) for frame in stack]
        if tables.layout == "1.7":
            sample = profile.sample.add(locations_start_index=len(profile.location_indices), locations_length=len(locations))
            profile.location_indices.extend(locations)
            sample.value.append(len(moments))
        else:
            tables.dictionary.stack_table.add(location_indices=locations)
            sample = profile.samples.add(stack_index=len(tables.dictionary.stack_table) - 1)
            sample.values.append(len(moments))
        sample.link_index = link
        sample.timestamps_unix_nano.extend(moments)


def export(layout, name, found, begun):
    request = service.ExportProfilesServiceRequest()
    tables = Tables(request.dictionary, layout)
    resource = request.resource_profiles.add()
    for key, value in (("service.name", name), ("region", "eu")):
        resource.resource.attributes.add(key=key).value.string_value = value
    profile = resource.scope_profiles.add().profiles.add()
    kind = dict(type_strindex=tables.string("samples"), unit_strindex=tables.string("count"))
    period = dict(type_strindex=tables.string("cpu"), unit_strindex=tables.string("nanoseconds"))
    profile.period_type.MergeFrom(type(profile.period_type)(**period))
    profile.period = int(PERIOD * 1e9)
    if layout == "1.7":
        profile.sample_type.add(**kind)
        profile.time_nanos, profile.duration_nanos = begun, time.time_ns() - begun
    else:
        profile.sample_type.MergeFrom(type(profile.sample_type)(**kind))
        profile.time_unix_nano, profile.duration_nano = begun, time.time_ns() - begun
    add_samples(profile, tables, found)
    return request


def post(url, kind, body):
    headers = {"content-type": kind}
    with urllib.request.urlopen(urllib.request.Request(url + "/v1development/profiles", data=body, headers=headers)) as answer:
        assert answer.status == 200, answer.status


def otlp_json(request):
    """As OTLP wants it: ids in hex, where protobuf's JSON has base64."""
    document = json_format.MessageToDict(request)
    for link in document["dictionary"]["linkTable"]:
        for key in ("traceId", "spanId"):
            if key in link:
                link[key] = base64.b64decode(link[key]).hex()
    return json.dumps(document).encode()


def main():
    layout, url, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    stub = service_grpc.ProfilesServiceStub(grpc.insecure_channel(url.split("://")[1]))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.time_ns()
        found = stacks(ROUND)
        answer = stub.Export(export(layout, f"otlp-{layout}-grpc", found, begun))
        assert answer.partial_success.rejected_profiles == 0, answer
        post(url, "application/x-protobuf", export(layout, f"otlp-{layout}-http", found, begun).SerializeToString())
        post(url, "application/json", otlp_json(export(layout, f"otlp-{layout}-json", found, begun)))
        as_protobuf_writes_it = json_format.MessageToJson(export(layout, f"otlp-{layout}-base64", found, begun))
        post(url, "application/json", as_protobuf_writes_it.encode())


main()
