"""What a failed delivery leaves behind: a text that helps, and that can be stored."""

__all__ = ["describe", "message"]


def describe(error: BaseException) -> str:
    """Return type, message and last frame."""
    text = f"{type(error).__name__}: {message(error)}"
    frame = error.__traceback__
    if frame is None:
        return text
    while frame.tb_next is not None:
        frame = frame.tb_next
    code = frame.tb_frame.f_code
    return _storable(f"{text} ({code.co_filename}:{frame.tb_lineno} in {code.co_name})")


def message(error: BaseException) -> str:
    """Return the message alone."""
    try:
        return _storable(str(error))
    except Exception:  # noqa: BLE001 - a broken `__str__` must not hide the error
        return "<no message: its __str__ failed>"


def _storable(text: str) -> str:
    """Escape lone surrogates, which no UTF-8 can hold."""
    return text.encode(errors="backslashreplace").decode()
