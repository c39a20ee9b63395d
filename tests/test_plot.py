from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure

from facelake.errors import ExportError
from facelake.plot import PALETTE, format_clock, plot_spans, save_plot
from facelake.schema import SPANS


def span(
    start_s: float, end_s: float, identity: str = "Ann", video_id: str = "v", **facts: Any
) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "path": f"tv/{video_id}.mp4",
        "identity": identity,
        "start_s": start_s,
        "end_s": end_s,
        "score_max": 0.75,
        "score_mean": 0.5,
        "n_hits": 4,
        "n_samples": 5,
        "best_face_id": "f",
        "best_time_s": start_s,
    } | facts


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SPANS)


def videos(*facts: tuple[str, float | None, float | None]) -> pa.Table:
    return pa.table(
        {
            "video_id": [video_id for video_id, *_ in facts],
            "paths": [[f"tv/{video_id}.mp4"] for video_id, *_ in facts],
            "start_s": pa.array([start_s for _, start_s, _ in facts], pa.float64()),
            "duration_s": pa.array([duration_s for *_, duration_s in facts], pa.float64()),
        }
    )


def bars(ax: Any) -> list[tuple[int, float, float]]:
    """Row, start and end of every bar."""
    return [
        (round(bar.get_y() + bar.get_height() / 2), bar.get_x(), bar.get_x() + bar.get_width())
        for bar in ax.patches
        if bar.get_gid() == "span"
    ]


def brackets(ax: Any) -> list[tuple[float, float]]:
    return [
        (float(min(line.get_xdata())), float(max(line.get_xdata())))
        for line in ax.lines
        if line.get_gid() == "bracket"
    ]


def hatched(ax: Any) -> list[tuple[float, float]]:
    return [
        (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in ax.patches
        if patch.get_hatch()
    ]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def rows(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_a_span_is_a_bar_from_its_start_to_its_end() -> None:
    [ax] = plot_spans(table(span(6.0, 13.0), span(2.0, 4.0, "Bo"), span(20.0, 21.0)))
    assert sorted(bars(ax)) == [(0, 6.0, 13.0), (0, 20.0, 21.0), (1, 2.0, 4.0)]
    assert rows(ax) == ["Ann", "Bo"]
    assert ax.get_title(loc="left") == "v.mp4"


def test_who_is_seen_longest_is_on_top_and_the_same_in_every_panel() -> None:
    axes = plot_spans(
        table(span(0, 1), span(2, 4, "Bo"), span(0, 5, "Cy", "w"), span(5, 6, "Bo", "w"))
    )
    assert [rows(ax) for ax in axes] == [["Cy", "Bo", "Ann"]] * 2
    colours = [
        {round(bar.get_y() + bar.get_height() / 2): bar.get_edgecolor() for bar in ax.patches}
        for ax in axes
    ]
    assert colours[0][1] == colours[1][1]
    assert colours[0][1] != colours[0][2]


def test_the_callers_order_is_kept_and_others_left_out() -> None:
    [ax] = plot_spans(
        table(span(0, 9), span(2, 4, "Bo"), span(5, 6, "Cy")), identities=["Cy", "Nobody", "Ann"]
    )
    assert rows(ax) == ["Cy", "Nobody", "Ann"]
    assert sorted(bars(ax)) == [(0, 5, 6), (2, 0, 9)]


def test_brackets_reach_to_the_examined_instants_around() -> None:
    [ax] = plot_spans(
        table(
            span(6.0, 13.0, start_after_s=5.75, end_before_s=13.5),
            span(20.0, 21.0, start_after_s=None, end_before_s=21.25),
        )
    )
    assert sorted(brackets(ax)) == [(5.75, 6.0), (13.0, 13.5), (21.0, 21.25)]


def test_a_panel_shows_its_whole_video() -> None:
    [ax] = plot_spans(table(span(6.0, 13.0)), videos=videos(("v", 1.75, 26.25)))
    assert ax.get_xlim() == (1.75, 28.0)


def test_time_that_nobody_examined_is_hatched() -> None:
    coverage = pa.table(
        {"video_id": ["v", "v", "x"], "start_s": [10.0, 2.0, 0.0], "end_s": [20.0, 12.0, 9.0]}
    )
    [ax] = plot_spans(table(span(6.0, 9.0)), videos=videos(("v", 1.0, 27.0)), coverage=coverage)
    assert hatched(ax) == [(1.0, 2.0), (20.0, 28.0)]
    [bare] = plot_spans(table(span(6.0, 9.0)), videos=videos(("v", 1.0, 27.0)))
    assert hatched(bare) == []


def test_a_video_without_spans_has_an_empty_panel_after_the_others() -> None:
    axes = plot_spans(
        table(span(2, 4, video_id="b")), videos=videos(("a", 0.0, 9.0), ("b", 0.0, 9.0))
    )
    assert [ax.get_title(loc="left") for ax in axes] == ["b.mp4", "a.mp4"]
    assert bars(axes[1]) == []
    assert texts(axes[1]) == ["no span"]


def test_a_video_of_unknown_length_still_has_a_panel() -> None:
    [ax] = plot_spans(SPANS.empty_table(), videos=videos(("a", None, None)))
    assert ax.get_xlim() == (0.0, 1.0)


def test_no_spans_and_no_videos_give_an_empty_picture() -> None:
    [ax] = plot_spans(SPANS.empty_table())
    assert texts(ax) == ["no span"]


def test_too_many_videos_are_left_out_aloud() -> None:
    spans = table(*(span(0, 1, video_id=f"v{k:02d}") for k in range(15)))
    axes = plot_spans(spans)
    assert len(axes) == 12
    assert "3 of 15 videos are not shown" in axes[0].figure.get_supxlabel()
    assert len(plot_spans(spans, max_panels=15)) == 15
    with pytest.raises(ValueError, match="max_panels must be 1 or more, but is 0"):
        plot_spans(spans, max_panels=0)


def test_a_higher_mean_score_has_a_stronger_bar_and_wide_bars_carry_it() -> None:
    [ax] = plot_spans(
        table(span(0, 4, score_mean=0.31), span(5, 9, score_mean=0.72), span(9.5, 9.51)),
        videos=videos(("v", 0.0, 10.0)),
    )
    faint, strong, _ = (bar for bar in ax.patches if bar.get_gid() == "span")
    assert sum(faint.get_facecolor()[:3]) > sum(strong.get_facecolor()[:3])
    assert sorted(texts(ax)) == ["0.31", "0.72"]


def test_files_of_one_name_are_told_apart_by_their_folder() -> None:
    axes = plot_spans(
        table(
            span(0, 1, video_id="a", path="day1/cam.mp4"),
            span(0, 1, video_id="b", path="day2/cam.mp4"),
        )
    )
    assert [ax.get_title(loc="left") for ax in axes] == ["day1/cam.mp4", "day2/cam.mp4"]


def test_given_axes_are_drawn_on() -> None:
    given = Figure().subplots(2, 1)
    drawn = plot_spans(table(span(0, 1), span(0, 1, video_id="w")), axes=given)
    assert list(drawn) == list(given)
    with pytest.raises(ValueError, match="one for each of 2 panels, but hold 1"):
        plot_spans(table(span(0, 1), span(0, 1, video_id="w")), axes=given[0])


def test_more_panels_and_rows_make_a_higher_figure() -> None:
    def height(*spans: dict[str, Any]) -> float:
        return float(plot_spans(table(*spans))[0].figure.get_figheight())

    one = height(span(0, 1))
    assert one < height(span(0, 1), span(0, 1, "Bo"))
    assert one < height(span(0, 1), span(0, 1, video_id="w"))


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(
    "name", ["李娜 🎬", "$x^{", "a\nb", "{curly} %d", "", "\u202eabc", "é" * 500]
)
def test_any_name_can_be_drawn(tmp_path: Path, name: str) -> None:
    save_plot(plot_spans(table(span(0, 1, name, path=f"tv/{name}.mp4"))), tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_colours_are_distinct() -> None:
    assert len({to_rgb(colour) for colour in PALETTE}) == len(PALETTE) >= 12
    assert not any(same_color(colour, "white") for colour in PALETTE)


@pytest.mark.parametrize(
    ("time_s", "told"),
    [(0, "0:00"), (59.96, "1:00"), (83.5, "1:23.5"), (3600, "1:00:00"), (-1.5, "−0:01.5")],
)
def test_times_read_as_a_clock(time_s: float, told: str) -> None:
    assert format_clock(time_s) == told


def test_ticks_are_round_times_within_the_video() -> None:
    [ax] = plot_spans(table(span(30, 40)), videos=videos(("v", 1.7, 7200.0)))
    ticks = np.asarray(ax.get_xticks())
    assert 5 <= len(ticks) <= 13
    assert (ticks % 60 == 0).all()
    assert ticks.min() >= 1.7
    assert ax.xaxis.get_major_formatter()(3600.0, 0) == "1:00:00"


def test_a_picture_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = plot_spans(table(span(0, 1)))
    path = tmp_path / "plots" / "spans.png"
    save_plot(axes, path, dpi=50)
    before = path.read_bytes()
    with pytest.raises(ExportError, match="must end in one of"):
        save_plot(axes, path.with_suffix(".xyz"))

    def full(part: Path, **_: object) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(axes[0].figure, "savefig", full)
    with pytest.raises(ExportError, match="No space left"):
        save_plot(axes, path)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def test_a_notebook_can_show_the_figure() -> None:
    figure: Any = plot_spans(table(span(0, 1)))[0].figure
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_nothing_global_is_touched() -> None:
    code = (
        "import sys, facelake.plot; assert 'matplotlib' not in sys.modules\n"
        "from facelake.schema import SPANS; facelake.plot.plot_spans(SPANS.empty_table())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    before = dict(mpl.rcParams)
    plot_spans(table(span(0, 1)))
    assert dict(mpl.rcParams) == before
