"""What a sweep looks like, read back from the Axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facelake.plot import plot_sweep, save_plot
from facelake.schema import SPAN_LIVES, SWEEP_PLATEAUS, SWEEP_TOTALS


def totals(**seconds: list[float]) -> pa.Table:
    """Seconds at 0.1, 0.2, … of each identity; as many spans as whole seconds."""
    rows = [
        {
            "identity": name,
            "threshold": round(0.1 * (k + 1), 1),
            "n_videos": 1,
            "n_faces": 1,
            "n_tracks": 1,
            "n_spans": int(value),
            "seconds": value,
        }
        for name, values in seconds.items()
        for k, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, SWEEP_TOTALS)


def lives(*spans: tuple[str, float, float]) -> pa.Table:
    """Lives of an identity from a low to a high threshold."""
    rows = [
        {
            "life_id": k,
            "video_id": "v",
            "path": "v.mp4",
            "identity": name,
            "low_threshold": low,
            "high_threshold": high,
            "persistence": high - low,
            "start_s": 0.0,
            "end_s": 1.0,
            "best_face_id": "f",
            "best_time_s": 0.0,
        }
        for k, (name, low, high) in enumerate(spans)
    ]
    return pa.Table.from_pylist(rows, SPAN_LIVES)


def drawn(ax: Axes, gid: str) -> list[list[float]]:
    """Where each line of a kind goes along x, or for curves along y."""
    lines: list[Any] = [line for line in ax.lines if line.get_gid() == gid]
    at = 0 if gid == "life" else 1
    return [list(line.get_data()[at]) for line in lines]


def test_each_life_is_a_bar_over_its_thresholds_the_most_certain_at_the_top() -> None:
    axes = plot_sweep(
        totals(Ann=[2.0, 1.0, 1.0]), lives(("Ann", 0.1, 0.2), ("Ann", 0.1, 0.7), ("Bob", 0.1, 0.9))
    )
    assert axes.shape == (1, 2)
    assert drawn(axes[0, 0], "life") == [[0.1, 0.7], [0.1, 0.2]]
    assert axes[0, 0].get_title(loc="left") == "Ann"


def test_a_life_above_the_thresholds_of_the_sweep_is_not_drawn() -> None:
    axes = plot_sweep(totals(Ann=[1.0, 1.0, 1.0]), lives(("Ann", 0.1, 0.7), ("Ann", 0.3, 0.5)))
    assert drawn(axes[0, 0], "life") == [[0.1, 0.7]]


def test_curves_are_the_seconds_and_the_spans() -> None:
    axes = plot_sweep(totals(Ann=[3.5, 2.25, 1.0]), lives())
    assert drawn(axes[0, 1], "seconds") == [[3.5, 2.25, 1.0]]
    (twin,) = (ax for ax in axes[0, 1].figure.axes if ax not in set(axes.flat))
    assert drawn(twin, "spans") == [[3, 2, 1]]


def test_a_plateau_is_shaded_on_both_sides() -> None:
    plateau = {
        "identity": "Ann", "low_threshold": 0.2, "high_threshold": 0.3, "n_videos": 1,
        "n_spans": 1, "seconds_at_low": 1.0, "seconds_at_high": 1.0,
    }  # fmt: skip
    flat = pa.Table.from_pylist([plateau], SWEEP_PLATEAUS)
    axes = plot_sweep(totals(Ann=[2.0, 1.0, 1.0]), lives(), plateaus=flat)
    for ax in axes.flat:
        (shade,) = (patch for patch in ax.patches if patch.get_gid() == "plateau")
        assert shade.get_extents().transformed(ax.transData.inverted()).intervalx.tolist() == (
            pytest.approx([0.2, 0.3])
        )


def test_the_one_with_the_most_time_comes_first_and_who_has_none_is_left_out() -> None:
    axes = plot_sweep(totals(Ann=[1.0, 0.0], Bob=[5.0, 1.0], Cleo=[0.0, 0.0]), lives())
    assert [ax.get_title(loc="left") for ax in axes[:, 0]] == ["Bob", "Ann"]
    wanted = plot_sweep(totals(Ann=[1.0, 0.0], Cleo=[0.0, 0.0]), lives(), identities=["Cleo"])
    assert [ax.get_title(loc="left") for ax in wanted[:, 0]] == ["Cleo"]


def test_what_is_left_out_is_told() -> None:
    many = {f"P{k}": [1.0, 1.0] for k in range(10)}
    axes = plot_sweep(totals(**many), lives(), max_identities=3)
    assert len(axes) == 3
    assert "7 of 10 identities are not shown" in axes[0, 0].figure.get_supxlabel()
    axes = plot_sweep(
        totals(Ann=[1.0, 1.0]), lives(*[("Ann", 0.1, 0.2 + k / 100) for k in range(9)]), max_lives=4
    )
    assert len(drawn(axes[0, 0], "life")) == 4
    assert "the 4 longest of 9 lives" in axes[0, 0].get_title(loc="right")


@pytest.mark.parametrize("name", ["max_identities", "max_lives"])
def test_limits_that_make_no_sense_are_refused(name: str) -> None:
    limit: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, but is 0"):
        plot_sweep(totals(Ann=[1.0]), lives(), **limit)


def test_given_axes_are_drawn_on() -> None:
    given = Figure().subplots(2, 2)
    axes = plot_sweep(totals(Ann=[1.0, 1.0], Bob=[2.0, 1.0]), lives(), axes=given)
    assert np.array_equal(axes, given)
    with pytest.raises(ValueError, match="two for each of 2 identities, but hold 2"):
        plot_sweep(totals(Ann=[1.0, 1.0], Bob=[2.0, 1.0]), lives(), axes=given[0])


def test_nothing_swept_is_an_empty_picture(tmp_path: Path) -> None:
    axes = plot_sweep(SWEEP_TOTALS.empty_table(), SPAN_LIVES.empty_table())
    assert axes[0, 0].texts[0].get_text() == "no span"
    save_plot(axes, tmp_path / "sweep.png", dpi=40)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_one_threshold_is_a_picture_too(tmp_path: Path) -> None:
    axes = plot_sweep(totals(Ann=[1.0]), lives(("Ann", 0.1, 0.4)))
    save_plot(axes, tmp_path / "sweep.svg")
