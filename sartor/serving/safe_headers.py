"""Response headers that every page of ours has: nothing may frame it, guess its type, or learn where it was."""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
POLICY_OF_DATA = "default-src 'none'; frame-ancestors 'none'"


class SafeHeaders:
    """ASGI middleware: `HEADERS` for every response, and the strictest policy for those without one."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(event: Any) -> None:
            if event["type"] == "http.response.start":
                names = {name.lower() for name, _ in event["headers"]}
                more = {"Content-Security-Policy": POLICY_OF_DATA, **HEADERS}
                event["headers"] = [
                    *event["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in more.items()
                        if name.lower().encode() not in names
                    ),
                ]
            await send(event)

        await self.app(scope, receive, send_safely)
