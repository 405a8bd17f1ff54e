"""A document server that is away, in the words of the ports."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from pymongo.errors import ConnectionFailure

from pipeline.errors import storage_unavailable

Store = TypeVar("Store")
Found = TypeVar("Found")
Given = ParamSpec("Given")


def answering(store: type[Store]) -> type[Store]:
    """Let every method of *store* raise `storage_unavailable` while the server is away, as the ports promise."""

    def wrapped(method: Callable[Given, Awaitable[Found]]) -> Callable[Given, Awaitable[Found]]:
        @functools.wraps(method)
        async def answered(*args: Given.args, **kwargs: Given.kwargs) -> Found:
            try:
                return await method(*args, **kwargs)
            except ConnectionFailure as error:
                raise storage_unavailable(f"documents, {type(error).__name__}") from error

        return answered

    for name, method in list(vars(store).items()):
        if inspect.iscoroutinefunction(method):
            setattr(store, name, wrapped(method))
    return store
