"""Remove the trees of agents that no live submission owns."""

from pathlib import Path

import structlog

from api_service.db.session import Database
from moonmind.workflows.speckit_celery.repositories import Repositories
from moonmind.workspace.agent_folders import agent_tree_keys, remove_agent_tree

_log = structlog.get_logger(__name__)


class Janitor:
    """
    Cleans one workspace folder at boot and now and then.

    The folder is listed before the database is read: a tree's owner is recorded before its
    first file, so whatever is listed and has no live owner then will never get one.
    """

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root

    def clean(self) -> None:
        """Remove what nobody owns; repeating is safe."""
        keys = agent_tree_keys(self._root)
        if not keys:
            return
        with self._database.reading() as session:
            owned = Repositories(session, self._database.clock).submissions.owned_workspaces()
        for key in keys:
            if key not in owned:
                _log.info("agent_tree_removed", key=key)
                remove_agent_tree(self._root, key)
