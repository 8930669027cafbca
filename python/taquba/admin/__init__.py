"""Looking at a queue and acting on it over HTTP: an ASGI app with an API and a dashboard.

Needs the extra `admin`.
"""

try:
    import starlette as _starlette
    import uvicorn as _uvicorn
except ModuleNotFoundError as error:
    message = "install `taquba[admin]` to use `taquba.admin`"
    raise ImportError(message, name=error.name) from error

from taquba.admin._app import create_app, stop
from taquba.admin._serve import serve
from taquba.admin._sessions import new_token

__all__ = ["create_app", "new_token", "serve", "stop"]

del _starlette, _uvicorn
