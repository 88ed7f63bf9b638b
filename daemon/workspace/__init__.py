"""The only user of git: experiments as commits, written by plumbing, from bytes."""

from daemon.workspace.git import NotALab, WorkspaceError
from daemon.workspace.workspace import LAB_FILES, LogEntry, Workspace, commit_message, ledger_head_of

__all__ = ["LAB_FILES", "LogEntry", "NotALab", "Workspace", "WorkspaceError", "commit_message", "ledger_head_of"]
