"""Make, keep and check bearer tokens; only the digest of a secret is stored."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api_service.db.models import ApiToken, WebSession
from api_service.db.session import Database
from api_service.db.types import Clock

_FORM = re.compile(r"mm_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_SESSION_LIFE = timedelta(hours=12)
_UNKNOWN_DIGEST = hashlib.sha256(secrets.token_bytes(32)).hexdigest()


class Role(StrEnum):
    """What a token may do; each role includes the ones before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Say whether this role may do what the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Operator:
    """Who asks: the token's id, name and role."""

    token_id: str
    name: str
    role: Role


@dataclass(frozen=True)
class NewToken:
    """A token as it is shown once."""

    token_id: str
    text: str


@dataclass(frozen=True)
class TokenRead:
    """A token as it is listed."""

    token_id: str
    name: str
    role: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class TokenRepository:
    """All SQL on tokens and browser sessions."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def create(self, *, name: str, role: Role, life: timedelta | None = None) -> NewToken:
        """Add a token; its text cannot be had again."""
        token_id = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(12))
        secret = secrets.token_urlsafe(32)
        self._session.add(
            ApiToken(
                id=token_id,
                name=name,
                role=role.value,
                secret_sha256=_digest(secret),
                created_at=self._clock.now(),
                expires_at=self._clock.now(life) if life else None,
            )
        )
        return NewToken(token_id, f"mm_{token_id}_{secret}")

    def all(self) -> Sequence[TokenRead]:
        """Return every token, oldest first; never a secret."""
        rows = self._session.scalars(select(ApiToken).order_by(ApiToken.created_at, ApiToken.id))
        return [
            TokenRead(row.id, row.name, row.role, row.created_at, row.expires_at, row.revoked_at, row.last_used_at)
            for row in rows
        ]

    def revoke(self, token_id: str) -> bool:
        """End a token and the browser sessions that it opened; False where there is no such token."""
        token = ApiToken
        found = self._session.scalar(select(token).where(token.id == token_id))
        if found is None:
            return False
        if found.revoked_at is None:
            found.revoked_at = self._clock.now()
        return True

    def check(self, text: str) -> Operator | None:
        """Return whose token this is; None for anything that is not valid now."""
        match = _FORM.fullmatch(text)
        if match is None:
            return None
        row = self._valid(match[1])
        # An unknown id takes as long as a wrong secret.
        known = row.secret_sha256 if row else _UNKNOWN_DIGEST
        if not hmac.compare_digest(known, _digest(match[2])) or row is None:
            return None
        return Operator(row.id, row.name, Role(row.role))

    def touch(self, token_id: str) -> None:
        """Note the use, at most once a minute, so that reading does not become writing."""
        token = ApiToken
        stale = (token.last_used_at.is_(None)) | (token.last_used_at < self._clock.now(timedelta(minutes=-1)))
        self._session.execute(update(token).where(token.id == token_id, stale).values(last_used_at=self._clock.now()))

    def used_lately(self, token_id: str) -> bool:
        """Say whether the use was noted within the last minute."""
        token = ApiToken
        recent = (token.id == token_id, token.last_used_at >= self._clock.now(timedelta(minutes=-1)))
        return self._session.scalar(select(token.id).where(*recent)) is not None

    def open_session(self, operator: Operator) -> str:
        """Add a browser session and return its cookie value."""
        cookie = secrets.token_urlsafe(32)
        self._session.add(
            WebSession(
                cookie_sha256=_digest(cookie),
                token_id=operator.token_id,
                created_at=self._clock.now(),
                expires_at=self._clock.now(_SESSION_LIFE),
            )
        )
        return cookie

    def check_session(self, cookie: str) -> Operator | None:
        """Return who signed in with this browser; a revoked token ends its sessions too."""
        session = WebSession
        live = (session.cookie_sha256 == _digest(cookie), session.expires_at > self._clock.now())
        token_id = self._session.scalar(select(session.token_id).where(*live))
        row = self._valid(token_id) if token_id else None
        return Operator(row.id, row.name, Role(row.role)) if row else None

    def _valid(self, token_id: str) -> ApiToken | None:
        token = ApiToken
        valid = (
            token.id == token_id,
            token.revoked_at.is_(None),
            (token.expires_at.is_(None)) | (token.expires_at > self._clock.now()),
        )
        return self._session.scalar(select(token).where(*valid))


def operator_of_token(database: Database, text: str) -> Operator | None:
    """Return whose valid token this is and note its use."""
    with database.reading() as session:
        tokens = TokenRepository(session, database.clock)
        operator = tokens.check(text)
        noted = operator is None or tokens.used_lately(operator.token_id)
    if operator is not None and not noted:
        with database.transaction() as session:
            TokenRepository(session, database.clock).touch(operator.token_id)
    return operator


def operator_of_session(database: Database, cookie: str) -> Operator | None:
    """Return who signed in with this browser."""
    with database.reading() as session:
        return TokenRepository(session, database.clock).check_session(cookie)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
