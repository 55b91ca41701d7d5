"""`inv rehearse` on the lab: what a fault breaks is whole again, however the rehearsal ends."""

from __future__ import annotations

import signal

import pytest

from tests.words.trials import Going, assert_quiet, assert_sealed, going, inv, once
from tests.words.words import Shell, Words, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

LEFT = """
systemctl list-units --all --plain --no-legend 'rehearsal-*'
nft list tables | grep rehearsal
ls -d /run/loadproof/*.kept /var/lib/loadproof/trials/*/*.kept 2>/dev/null
grep /var/lib/loadproof/trials /proc/mounts
true
"""


def assert_whole(shell: Shell) -> None:
    """Nothing of any fault is left on any host."""
    said = shell.each(LEFT)
    assert not any(text.strip() for text in said.values()), said


def broken(begun: Going) -> None:
    """Wait until its fault lasts."""
    until(lambda: any(one.get("action") == "undo.arm" for one in begun.run.journal()), "a fault", 60)
    until(lambda: [one["event"] for one in begun.run.journal() if "fault" in one] == ["begin"], "its begin")


def test_ctrl_c_while_an_app_is_frozen(words: Words, shell: Shell) -> None:
    with going(words, "freeze_app", word="rehearse") as begun:
        broken(begun)
        begun.send(signal.SIGINT)
        said = begun.ended()
    assert said.code == 4 and begun.run.id in said.message.where, said
    assert [one["event"] for one in begun.run.journal() if "fault" in one] == ["begin", "end"]
    assert_quiet(shell)
    assert_whole(shell)
    assert_sealed(shell, begun.run)


def test_stop_undoes_what_a_dead_rehearsal_left(words: Words, shell: Shell) -> None:
    with going(words, "drop_port", word="rehearse") as begun:
        broken(begun)
        until(lambda: "rehearsal" in shell.run("app2", "nft list tables"), "the filter")
        begun.send(signal.SIGKILL)
        begun.ended()
    assert "rehearsal-undo-drop_port.timer" in shell.run("app2", LEFT)
    stopped = once(words, "stop")
    assert stopped.code == 0 and "undid rehearsal-undo-drop_port" in stopped.out, stopped
    assert_quiet(shell)
    assert_whole(shell)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_every_check_turns(words: Words, shell: Shell) -> None:
    said = inv(words, "rehearse", within_s=1400)
    assert said.code == 0, said
    assert "the rehearsal is green" in said.err, said
    assert_whole(shell)
