"""`taquba completion`: what a shell completes, made of the parser.

Invariants:
    1. A script says what the parser takes: a new option is completed without a line here.
    2. Completing runs nothing: no store is opened behind a tab.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from taquba.cli._command import OK, Command

__all__ = ["command"]

# What these take are names of files.
_FILE_METAVARS: Final = frozenset({"FILE", "DIR", "STORE"})


@final
@dataclass(frozen=True, slots=True)
class _Option:
    """An option of a command.

    Args:
        words: How it is called.
        summary: What it does.
        takes: What follows: its choices, `FILE` for a file, another text, or nothing.
    """

    words: Sequence[str]
    summary: str
    takes: Sequence[str] | None

    @property
    def takes_file(self) -> bool:
        """Whether a file follows."""
        return self.takes is not None and any(each in _FILE_METAVARS for each in self.takes)

    @property
    def choices(self) -> Sequence[str]:
        """What may follow, if that is a list."""
        return () if self.takes is None or self.takes_file else self.takes


@final
@dataclass(frozen=True, slots=True)
class _Node:
    """A command, or a group of them.

    Args:
        words: How it is called, behind the name of the program.
        commands: What follows, with what each does.
        options: What it takes.
    """

    words: Sequence[str]
    commands: Mapping[str, str]
    options: Sequence[_Option]


def command(parser: Callable[[], argparse.ArgumentParser]) -> Command:
    """Make the command.

    Args:
        parser: Returns the parser that it is about.
    """

    def run(options: argparse.Namespace) -> int:
        nodes = list(_nodes(parser(), []))
        sys.stdout.write(_SHELLS[options.shell](nodes))
        return OK

    return Command(
        name="completion",
        summary="a script that completes this command in a shell",
        description="Writes a script for a shell: `source <(taquba completion bash)`, "
        '`eval "$(taquba completion zsh)"` or `taquba completion fish | source`.',
        add_arguments=_add_arguments,
        run=run,
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=list(_SHELLS))


def _nodes(parser: argparse.ArgumentParser, words: list[str]) -> Iterator[_Node]:
    options: list[_Option] = []
    commands: dict[str, str] = {}
    following: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:  # noqa: SLF001 - `argparse` has no other way to look
        # `Any`: it is private, and generic in the parser.
        group: Any = action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            commands = {each.dest: each.help or "" for each in group._choices_actions}  # noqa: SLF001
            following = list(group.choices.items())
        else:
            options.append(_option(action))
    yield _Node(words, commands, options)
    for name, each in following:
        yield from _nodes(each, [*words, name])


def _option(action: argparse.Action) -> _Option:
    summary = (action.help or "").partition(" (")[0]
    takes: Sequence[str] | None = None
    if action.choices is not None:
        takes = [str(choice) for choice in action.choices]
    elif action.nargs != 0:
        takes = [action.metavar] if action.metavar in _FILE_METAVARS else []
    return _Option(action.option_strings, summary, takes)


def _bash(nodes: Sequence[_Node]) -> str:
    cases = []
    for node in nodes:
        options = [word for option in node.options for word in option.words]
        unnamed = [option for option in node.options if not option.words]
        positional = [choice for option in unnamed for choice in option.choices]
        cases.append(
            f"    {_quoted(' '.join(node.words))})\n"
            f"      words={_quoted(' '.join([*node.commands, *positional]))}\n"
            f"      options={_quoted(' '.join(options))}\n"
            f"      commands={_quoted(' '.join(node.commands))}\n"
            f"      case $previous in\n{_bash_options(node)}"
            "      esac ;;\n"
        )
    return _BASH.replace("@cases@", "".join(cases))


def _bash_options(node: _Node) -> str:
    lines = []
    for option in node.options:
        if not option.words or option.takes is None:
            continue
        words = _quoted(" ".join(option.choices) or " ")
        found = "files=1" if option.takes_file else f"words={words}"
        lines.append(f"        {'|'.join(option.words)}) {found} ;;\n")
    return "".join(lines)


def _zsh(nodes: Sequence[_Node]) -> str:
    # zsh runs what bash runs, with this module of its own.
    return _ZSH_HEAD + _bash(nodes)


def _fish(nodes: Sequence[_Node]) -> str:
    lines = [_FISH_HEAD]
    for node in nodes:
        place = "at" if node.commands else "below"
        here = f"__taquba_{place} {_quoted(' '.join(node.words))}"
        lines.extend(
            f"complete -c taquba -n {_quoted(here)} -f -a {name} -d {_quoted(_summary(summary))}\n"
            for name, summary in node.commands.items()
        )
        lines.extend(_fish_option(here, option) for option in node.options)
    return "".join(lines)


def _fish_option(here: str, option: _Option) -> str:
    names = "".join(
        f" -l {word[2:]}" if word.startswith("--") else f" -s {word[1:]}" for word in option.words
    )
    takes = ""
    if option.choices:
        takes = f" -x -a {_quoted(' '.join(option.choices))}"
    elif option.takes is not None and option.words:
        takes = " -r -F" if option.takes_file else " -x"
    if not names and not takes:
        return ""
    summary = f" -d {_quoted(_summary(option.summary))}" if names else ""
    return f"complete -c taquba -n {_quoted(here)}{names}{takes}{summary}\n"


def _summary(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# Both find out how far the command is: the names of commands are followed as long as they are some.
_BASH: Final = """\
_taquba() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  local place="" words="" options="" commands="" files="" index=1 word
  while :; do
    files=""
    case $place in
@cases@    esac
    word=${COMP_WORDS[index]}
    [ "$index" -lt "$COMP_CWORD" ] || break
    case " $commands " in
      *" $word "*) place="$place${place:+ }$word" ;;
      *) [ -z "$commands" ] || words=" "; break ;;
    esac
    index=$((index + 1))
  done
  COMPREPLY=()
  if [ -z "$files" ] && [ "${current#-}" != "$current" ]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [ -z "$files" ] && [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    compopt -o filenames 2> /dev/null
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -F _taquba taquba
"""

_ZSH_HEAD: Final = """\
autoload -Uz compinit bashcompinit
(( $+functions[compdef] )) || compinit
bashcompinit
"""

_FISH_HEAD: Final = """\
function __taquba_place
  for word in (commandline -opc)[2..-1]
    string match -q -- '-*' $word; and break
    echo $word
  end
end
function __taquba_at
  set -l place (__taquba_place)
  test "$argv[1]" = "$place"
end
function __taquba_below
  set -l place (__taquba_place)
  string match -q -- "$argv[1] *" "$place "
end
"""

_SHELLS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}
