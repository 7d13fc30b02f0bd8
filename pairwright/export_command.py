"""The commands that take a release out of the house: `export` and `push`."""

from pathlib import Path

import click

from pairwright.options import DATA

RELEASE = click.argument("release", metavar="RELEASE")


@click.command()
@RELEASE
@click.option("--format", "kind", metavar="F", required=True, help="Name of the format; a wrong one lists them all.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write.")
@click.option("--plain", is_flag=True, help="Bare text instead of messages, where the format has both.")
@click.option(
    "--reasoning",
    type=click.Choice(["strip", "keep", "think-tags"]),
    default="strip",
    show_default=True,
    help="What was thought before an answer: left out, kept apart where the format can, or put before it.",
)
@DATA
def export(release: str, kind: str, out: Path, plain: bool, reasoning: str, data: Path) -> None:
    """Write a release (a folder, DATASET/v3, or DATASET for its latest) in a trainer's format."""
    from pairwright.assets.publishing.export import export as write
    from pairwright.assets.publishing.export import format_named
    from pairwright.assets.releasing.versions import resolve

    options = ({"plain": True} if plain else {}) | ({"reasoning": reasoning} if reasoning != "strip" else {})
    form = format_named(kind, **options)
    made = write(resolve(data, release), form, out)
    for name, one in made.stamp["files"].items():
        click.echo(f"{name}: {one['rows']:,} rows, {_size(one['bytes'])}")
    left = sum(made.stamp["left_out"].values())
    if left:
        click.echo(f"left out: {left:,} rows that {kind} cannot hold")
    click.echo(f"not in this format: {'; '.join(form.loses())}")
    click.echo(str(made.path))


@click.command()
@RELEASE
@click.option("--repo", required=True, metavar="ORG/NAME", help="Data set repository on the Hub.")
@click.option("--public", is_flag=True, help="Make a new repository public; one that exists stays as it is.")
@click.option("--dry-run", is_flag=True, help="List what would go up, and change nothing; wants no token.")
@DATA
def push(release: str, repo: str, public: bool, dry_run: bool, data: Path) -> None:
    """Publish a release (a folder, DATASET/v3, or DATASET for its latest); the token comes from HF_TOKEN."""
    from pairwright.assets.publishing.hub import push as publish
    from pairwright.assets.releasing.versions import resolve

    done = publish(resolve(data, release), repo, public=public, dry_run=dry_run)
    for name in done.add:
        click.echo(f"add {name} ({_size(done.sizes[name])})")
    for name in done.delete:
        click.echo(f"delete {name}")
    click.echo(f"unchanged: {len(done.unchanged)} files")
    if dry_run:
        total = _size(sum(done.sizes[name] for name in done.add))
        click.echo(f"{total} would go to {repo} under the tag {done.version}")
        click.echo(f"a new repository would be {'public' if public else 'private'}; one that exists stays as it is")
        if done.unseen:
            click.echo(f"not compared with the repository: {done.unseen}")
        click.echo("dry run: nothing was changed")
    else:
        click.echo(
            f'{repo} {done.version} at {done.commit}: load_dataset("{repo}", "pairs", revision="{done.version}")'
        )


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
