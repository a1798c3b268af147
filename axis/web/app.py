"""
The HTTP API of the axis, put together. `axis.web.server` serves it, `axis.bootstrap` makes its services.

    wire        the contract: paths, headers, bodies, errors          imported by stations' software, too
    services    what the API is given: the desk and a few ports
    edge        bounds, faults and the line of log around every request
    identity    who is calling
    bodies      what they send, bounded in size and time
    stations    the endpoints of stations
    public      the log for everybody, health and numbers for operators
    problems    every "no" in one shape
    shapes      the same contract as OpenAPI describes it

There is no page to look at: the OpenAPI document is at `/api/v1/openapi.json`, for any viewer. The viewers FastAPI
brings load scripts from elsewhere, so they are off.
"""

from __future__ import annotations

import asyncio
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from axis.core.errors import AxisError
from axis.core.exchange import BadMessage
from axis.web import shapes, wire
from axis.web.edge import Edge, Occupancy
from axis.web.problems import (
    NotServed,
    answer_axis_error,
    answer_invalid,
    answer_not_served,
    answer_routing,
)
from axis.web.public import health_router, log_router
from axis.web.services import Desk, Figure, Figures, Keys, Payloads, WebLimits, WebServices
from axis.web.stations import router as station_router


def create_app(services: WebServices) -> FastAPI:
    """The API over these services. One app serves one event loop."""
    app = FastAPI(
        title="Axis: electronic document interchange",
        version=metadata.version("axis-exchange"),
        openapi_url=wire.BASE + wire.OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Settings come from AXIS_* only, and nothing is sent anywhere: FastAPI would look at OTEL variables.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        exception_handlers={
            NotServed: answer_not_served,
            AxisError: answer_axis_error,
            BadMessage: answer_axis_error,
            RequestValidationError: answer_invalid,
            HTTPException: answer_routing,
        },
    )
    occupancy = Occupancy(services.limits)
    app.state.services = services
    app.state.occupancy = occupancy
    app.state.stopping = asyncio.Event()
    app.add_middleware(
        Edge, occupancy=occupancy, limits=services.limits, clock=services.clock, ids=services.ids
    )
    for router in (station_router, log_router, health_router):
        app.include_router(router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is not None:
        return app.openapi_schema
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=(
            "Stations hand in signed edXML, take what is addressed to their organs, acknowledge and ask. "
            "Every error has the shape `Problem`. Times are ISO 8601 in Vietnam time."
        ),
        routes=app.routes,
    )
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for shape in shapes.UNREFERENCED:
        schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[shape.__name__] = schema
    components["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "The station's API key, `<station>.<secret>`.",
        },
        "certificate": {
            "type": "mutualTLS",
            "description": "A client certificate whose subject has the station's id as its common name.",
        },
    }
    for operations in found["paths"].values():
        for operation in operations.values():
            if "station" in operation.get("tags", ()):
                operation["security"] = [{"key": []}, {"certificate": []}]
    app.openapi_schema = found
    return found


__all__ = [
    "Desk",
    "Figure",
    "Figures",
    "Keys",
    "Payloads",
    "WebLimits",
    "WebServices",
    "create_app",
]
