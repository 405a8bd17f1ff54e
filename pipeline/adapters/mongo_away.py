"""A document server that cannot do what it is asked, in the words of the ports."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

from pymongo.errors import ConnectionFailure, ExecutionTimeout, OperationFailure, PyMongoError, WriteConcernError

from pipeline.errors import storage_unavailable

Store = TypeVar("Store")
Found = TypeVar("Found")
Given = ParamSpec("Given")


#: Unauthorized, AuthenticationFailed, OutOfDiskSpace (src/mongo/base/error_codes.yml): somebody has to mend it.
_TO_BE_MENDED: Final = frozenset({13, 18, 14031})


def _is_theirs(error: PyMongoError) -> bool:
    """Whether the server is away, full, too slow or without its majority: nothing of that is the fault of a job."""
    if isinstance(error, ConnectionFailure | ExecutionTimeout | WriteConcernError):
        return True
    return isinstance(error, OperationFailure) and error.code in _TO_BE_MENDED


def answering(store: type[Store]) -> type[Store]:
    """Let every method of *store* raise `storage_unavailable` where the server cannot do it, as the ports promise."""

    def wrapped(method: Callable[Given, Awaitable[Found]]) -> Callable[Given, Awaitable[Found]]:
        @functools.wraps(method)
        async def answered(*args: Given.args, **kwargs: Given.kwargs) -> Found:
            try:
                return await method(*args, **kwargs)
            except PyMongoError as error:
                if not _is_theirs(error):
                    raise
                raise storage_unavailable(f"documents, {type(error).__name__}") from error

        return answered

    for name, method in list(vars(store).items()):
        if inspect.iscoroutinefunction(method):
            setattr(store, name, wrapped(method))
    return store
