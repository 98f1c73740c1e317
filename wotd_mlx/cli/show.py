"""``wotd-mlx show``: all that is known of a word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from wotd_mlx.cli.options import TEXT, as_json, device, known_run, one_line, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from wotd_mlx.show import Shown


@click.command("show")
@click.argument("word", metavar="WORD", type=TEXT)
@known_run
@device
@as_json
def command(word: str, run: str | None, as_json: bool) -> None:
    """Print what WORD means, how it sounds, what its labels rest on, its ID, words like it, its family and origin.

    Of a word that nobody knows the labels are predicted, with how likely they are, and the nearest words stand there.

    \b
    Examples:
      wotd-mlx show serendipity
      wotd-mlx show Forsooth --json
    """
    from wotd_mlx.show import show
    from wotd_mlx.vocabulary import Vocabulary

    words = Vocabulary.open(run)
    click.echo(f"from {words.name}", err=True)
    found = show(words, word)
    if as_json:
        print_json(found.as_json())
        return
    _print(found)


def _print(found: Shown) -> None:
    """Aligned and in colour on a terminal, a line each where the output goes elsewhere."""
    from rich.text import Text

    lines = [headline(found)]
    if found.source != "known":
        told = "its labels are predicted" if found.source else "the dictionary alone has it"
        lines.append(Text(f"no word of this vocabulary; {told}", "yellow"))
    sources = [Text(one_line(line), "dim") for line in found.attribution]
    print_page(lines, _rows(found), sources, 12)


def print_page(
    head: Sequence[Text], rows: Iterator[tuple[str, Text]], foot: Sequence[Text], width: int, gap: Sequence[str] = ()
) -> None:
    """Lines, titled rows and lines: aligned and in colour on a terminal, with ``gap`` around the rows; a line each
    where the output goes elsewhere, titles ``width`` wide."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if console.is_terminal:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for title, text in rows:
            table.add_row(title, text)
        console.print(*head, *gap, table, *gap, *foot, sep="\n")
        return
    for text in (*head, *(Text(f"{title:<{width}}").append(text) for title, text in rows), *foot):
        click.echo(text.plain)


def headline(found: Shown) -> Text:
    """The word, how it sounds, and its ID."""
    from rich.text import Text

    sound = f"  /{one_line(found.ipa)}/{' (predicted)' if found.ipa_predicted else ''}" if found.ipa else ""
    number = f"  {found.id}" if found.id is not None else ""
    return Text.assemble((one_line(found.word), "bold"), (sound, "italic"), (number, "cyan"))


def _rows(found: Shown) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    before = None
    for sense in found.senses:
        yield sense.pos if sense.pos != before else "", Text(one_line(sense.gloss))
        before = sense.pos
    for name, value in found.labels.items():
        yield one_line(name), _label(found, name, value)
    if found.uses:
        yield "works", Text(str(found.uses))
    for title, words in (("like it", [n.word for n in found.neighbours]), ("its family", list(found.family))):
        if words:
            yield title, Text(one_line(", ".join(words)))
    if found.etymology:
        yield "origin", Text(one_line(found.etymology))


def _label(found: Shown, name: str, value: str | None) -> Text:
    """A label, and what it rests on or how likely it is."""
    from rich.text import Text

    if name in found.evidence:
        because = one_line(str(found.evidence[name].get("because", "")))
        return Text.assemble((one_line(str(value)), "bold"), (f"  {because}" if because else "", "dim"))
    if value is None:
        return Text("nothing can be said", "dim")
    return Text.assemble(one_line(value), (f"  predicted, {found.probability[name] or 0:.0%} likely", "yellow"))
