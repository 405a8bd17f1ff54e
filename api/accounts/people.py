"""Everything about who calls, wired together."""

from typing import TypedDict

from api.accounts.access_tokens import AccessTokens
from api.accounts.accounts import Accounts, Rules
from api.accounts.api_tokens import ApiTokens
from api.accounts.directory import Directory
from api.accounts.passwords import Passwords
from api.accounts.sessions import Sessions
from api.callers import Callers
from pipeline.clock import Clock
from pipeline.identity import new_id, new_token
from pipeline.ports.documents import Documents


class People(TypedDict):
    """What handlers ask about callers, tokens, sessions and accounts."""

    callers: Callers
    api_tokens: ApiTokens
    sessions: Sessions
    accounts: Accounts
    directory: Directory


def people_of(documents: Documents, rules: Rules, *, clock: Clock) -> People:
    """All of them on one database and one set of rules."""
    passwords = Passwords(rules.hasher)
    directory = Directory(documents.users, passwords, clock=clock, new_id=new_id)
    access = AccessTokens(rules.key, life=rules.access_life, clock=clock, new_id=new_id)
    callers = Callers(documents, access, clock=clock)
    sessions = Sessions(
        documents, access, callers, life=rules.refresh_life, clock=clock, new_id=new_id, new_token=new_token
    )
    return People(
        callers=callers,
        api_tokens=ApiTokens(documents.tokens, callers, clock=clock, new_id=new_id, new_token=new_token),
        sessions=sessions,
        accounts=Accounts(documents.users, sessions, passwords, directory, registration=rules.registration),
        directory=directory,
    )
