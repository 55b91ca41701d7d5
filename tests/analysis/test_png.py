"""Drawings as PNG: few and small ones here, many or large ones by another process, all the same."""

from __future__ import annotations

import multiprocessing
import struct

import pytest

from analysis import png


def svg(width: int, padding: int = 0) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="8">'
    return f'{head}<rect width="{width}" height="8" fill="#246"/><!--{"x" * padding}--></svg>'


def size(picture: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


def test_large_ones_are_made_by_another_process_and_look_the_same() -> None:
    with png.beside() as begin:
        small, large, another = begin(svg(16)), begin(svg(16, png.MUCH)), begin(svg(32, png.MUCH))
        assert len(multiprocessing.active_children()) == 1
        assert small() == large() == png.png(svg(16)) and size(small()) == (20, 10)
        assert size(another()) == (40, 10)
    assert not multiprocessing.active_children()


def test_small_ones_need_no_other_process() -> None:
    with png.beside() as begin:
        assert size(begin(svg(16))()) == (20, 10)
        assert not multiprocessing.active_children()


def test_many_small_ones_are_made_by_another_process() -> None:
    part = png.MUCH // 4
    with png.beside() as begin:
        waiting = [begin(svg(16, part)) for _ in range(6)]
        assert len(multiprocessing.active_children()) == 1
        assert {one() for one in waiting} == {png.png(svg(16))}
    assert not multiprocessing.active_children()


def test_what_cannot_be_drawn_is_told_and_nothing_is_left() -> None:
    with png.beside() as begin, pytest.raises(RuntimeError, match="unknown token"):
        begin("no drawing" + "x" * png.MUCH)()
    assert not multiprocessing.active_children()
