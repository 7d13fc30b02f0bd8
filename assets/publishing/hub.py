"""Publishing: a release pushed to a data set repository on the Hub, one commit and one tag per version."""

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pairwright.assets.releasing.release_rows import CONTENT
from pairwright.assets.releasing.versions import Release, verify_release
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.options import HUB_REPOSITORY

if TYPE_CHECKING:  # a library that takes long to import, and that only a push needs
    from huggingface_hub import HfApi

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Environment variables in which a token is looked for; it comes from nowhere else."""
REFUSALS = {
    401: "the Hub does not accept the token; set HF_TOKEN to one that may write",
    403: "the token may not write there; use one with write access to the organisation",
    404: "there is no such repository, or the token may not see it",
    409: "somebody else changed the repository meanwhile; push again",
    412: "somebody else changed the repository meanwhile; push again",
}


class Push(NamedTuple):
    """What a push did, or would do."""

    repo: str
    version: str
    add: list[str]
    delete: list[str]
    unchanged: list[str]
    commit: str | None
    """The commit that the version's tag names; None for a dry run that would make one."""
    sizes: dict[str, int] = {}  # noqa: RUF012 - never changed
    """Bytes of each local file."""
    unseen: str | None = None
    """Why a dry run has not compared the files with the repository."""


def push(made: Release, repo: str, *, public: bool = False, dry_run: bool = False) -> Push:
    """Bring a repository to a release: its Parquet files, card and manifest, under a tag named like the version.

    Only files that differ go up, and a push that broke off goes on where it was. A new repository is private unless
    `public`. A dry run tells what would go up, compared with the repository where there is a token and the Hub answers,
    and does without both else.

    Raises StoreError when the tag exists with other content, when the release's files are not those of its manifest,
    and with the reason when the Hub refuses.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if not re.match(HUB_REPOSITORY, repo):
        raise PairwrightError(f"{repo!r} is no repository; write organisation/name")
    token = next((os.environ[name] for name in TOKENS if os.environ.get(name)), None)
    if token is None and not dry_run:
        raise PairwrightError("no token to push with; set HF_TOKEN in the environment to one that may write")
    local = _local(made)
    sizes = {name: path.stat().st_size for name, path in local.items()}
    alone = Push(repo, made.version, list(local), [], [], None, sizes, "no token is set in HF_TOKEN")
    if token is None:
        return alone
    try:
        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
        return _push(api, made, repo, local, public, dry_run)._replace(sizes=sizes)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        why = f"{REFUSALS.get(status, 'the Hub failed; what was uploaded is kept, push again')} (HTTP {status})"
        cause: Exception = error
    except (httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        why, cause = f"the connection broke ({type(error).__name__}); push again", error
    if dry_run:
        return alone._replace(unseen=why)
    raise StoreError(f"{made.version} was not pushed to {repo}: {why}") from cause


def _push(api: "HfApi", made: Release, repo: str, local: dict[str, Path], public: bool, dry_run: bool) -> Push:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    head, tags = _refs(api, repo)
    if made.version in tags:
        _same_or_refuse(api, repo, made, local)
        return Push(repo, made.version, [], [], sorted(local), tags[made.version])
    there = _tree(api, repo, head) if head else {}
    add = [name for name, path in local.items() if there.get(name) != _oid(path, there.get(name))]
    delete = [name for name in there if name.split("/")[0] in CONTENT and name not in local]
    unchanged = sorted(set(local) - set(add))
    if dry_run:
        return Push(repo, made.version, add, delete, unchanged, None)
    if head is None:
        api.create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
        head = _refs(api, repo)[0]
    if add or delete:
        operations = [CommitOperationAdd(name, str(local[name])) for name in add]
        done = api.create_commit(
            repo,
            [*operations, *(CommitOperationDelete(name) for name in delete)],
            commit_message=f"{made.manifest['dataset']} {made.version}",
            repo_type="dataset",
            parent_commit=head,
        )
        head = done.oid
    api.create_tag(repo, tag=made.version, revision=head, repo_type="dataset")
    return Push(repo, made.version, add, delete, unchanged, head)


def _local(made: Release) -> dict[str, Path]:
    """The files that go up, by their name there, once they are known to be what the manifest says."""
    verify_release(made)
    names = [*sorted(made.manifest["files"]), "README.md", "manifest.json"]
    if not (made.path / "README.md").is_file():
        raise StoreError(f"{made.path / 'README.md'}, the card of {made.version}, is missing; put a copy of it back")
    return {name: made.path / name for name in names}


def _refs(api: "HfApi", repo: str) -> tuple[str | None, dict[str, str]]:
    """The commit of `main` (None where there is no repository) and the commit of each tag."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        refs = api.list_repo_refs(repo, repo_type="dataset")
    except RepositoryNotFoundError as error:
        if error.response is not None and error.response.status_code == 401:
            api.whoami()  # the Hub says 401 for what a token may not see, too: only a bad token fails here
        return None, {}
    head = next((one.target_commit for one in refs.branches if one.name == "main"), None)
    return head, {one.name: one.target_commit for one in refs.tags}


def _tree(api: "HfApi", repo: str, revision: str) -> dict[str, str]:
    """Name → SHA-256 of a large file, or the git object id of another."""
    from huggingface_hub.hf_api import RepoFile

    entries = api.list_repo_tree(repo, recursive=True, revision=revision, repo_type="dataset")
    return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in entries if isinstance(one, RepoFile)}


def _oid(path: Path, like: str | None) -> str | None:
    """The hash of a local file, of the kind that the Hub has of it."""
    if like is None:
        return ""
    with path.open("rb") as file:
        if len(like) == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        content = file.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _same_or_refuse(api: "HfApi", repo: str, made: Release, local: dict[str, Path]) -> None:
    there = _tree(api, repo, made.version)
    data = {name for name in {*local, *there} if name.split("/")[0] in CONTENT}
    other = [
        name for name in sorted(data) if name not in local or there.get(name) != _oid(local[name], there.get(name))
    ]
    if other:
        raise StoreError(
            f"{repo} already has a {made.version} with other content ({', '.join(other[:3])}); "
            "a version is never overwritten: push to another repository"
        )
