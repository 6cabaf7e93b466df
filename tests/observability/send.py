"""Sends logs, metrics and spans of one service by OpenTelemetry's own SDK: OTLP over HTTP, packed with gzip.

    send.py ENDPOINT

Ends with an error where something was not taken.
"""

import logging
import sys

from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

ENDPOINT = sys.argv[1]
RESOURCE = Resource.create({"service.name": "checkout", "service.instance.id": "7"})
FAILED = []


def noted(exporter, what):
    """The exporter, whose failures are noted: the SDK only logs them."""
    export = exporter.export

    def watched(*arguments, **named):
        result = export(*arguments, **named)
        if result.name != "SUCCESS":
            FAILED.append(what)
        return result

    exporter.export = watched
    return exporter


def settings(path):
    return {"endpoint": f"{ENDPOINT}/v1/{path}", "compression": Compression.Gzip}


logs = LoggerProvider(resource=RESOURCE)
logs.add_log_record_processor(BatchLogRecordProcessor(noted(OTLPLogExporter(**settings("logs")), "logs")))
set_logger_provider(logs)
reader = PeriodicExportingMetricReader(noted(OTLPMetricExporter(**settings("metrics")), "metrics"))
metrics = MeterProvider(metric_readers=[reader], resource=RESOURCE)
traces = TracerProvider(resource=RESOURCE)
traces.add_span_processor(BatchSpanProcessor(noted(OTLPSpanExporter(**settings("traces")), "spans")))

logger = logging.getLogger("shop")
logger.addHandler(LoggingHandler(logger_provider=logs))
meter = metrics.get_meter("shop")
with traces.get_tracer("shop").start_as_current_span("pay", attributes={"amount": 12.5, "lines": [1, 2]}):
    logger.warning("the card of %s was refused", "änna", extra={"order": 4711})
meter.create_counter("payments", unit="1").add(3, {"state": "refused"})
meter.create_histogram("duration", unit="s").record(0.25)
for provider in (logs, metrics, traces):
    provider.shutdown()
if FAILED:
    sys.exit(f"not taken: {FAILED}")
