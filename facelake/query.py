"""The query corridor: lake → match → spans. No video is opened and no model loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError, GalleryError
from facelake.gallery import NOBODY
from facelake.lake import Lake
from facelake.match import score_identities
from facelake.schema import REFINED, SCORES, SPANS, SpanRules, unpack_embeddings
from facelake.spans import best_per_sample, find_spans

_FACE_COLUMNS = ("face_id", "pts", "time_s", "embedded_face_id", "embedding")
_LONGEST_CHAIN = 4  # names followed from a face to the one that stands for it


@dataclass(frozen=True)
class SpanSettings:
    """`schema.SpanRules` as a person gives them: what is ``None`` follows the sampling.

    Attributes
    ----------
    miss_s
        ``None`` tolerates 1 second, and at least one missed sample.
    blind_s
        ``None`` tolerates 2 seconds, and always the usual distance of samples.
    """

    threshold: float
    exit_threshold: float | None = None
    min_hits: int = 1
    miss_s: float | None = None
    blind_s: float | None = None
    bridge_s: float = 0.0
    min_span_s: float = 0.0

    def __post_init__(self) -> None:
        self.rules(period_s=1.0)  # refuses what no rules can be made of

    def rules(self, period_s: float) -> SpanRules:
        """The rules for a video whose samples are ``period_s`` apart."""
        return SpanRules(
            threshold=self.threshold,
            exit_threshold=self.exit_threshold,
            min_hits=self.min_hits,
            miss_s=max(1.0, 2.5 * period_s) if self.miss_s is None else self.miss_s,
            blind_s=max(2.0, 2.5 * period_s) if self.blind_s is None else self.blind_s,
            bridge_s=self.bridge_s,
            min_span_s=self.min_span_s,
        )


def choose_space(lake: Lake, space: str | None = None, *, for_gallery: bool = True) -> str:
    """The space to ask a catalog in: the named one, else the one that can answer.

    Parameters
    ----------
    space
        ``None``: of several, that of both the videos and the gallery.
    for_gallery
        Whether the gallery's space is wanted where no space has both, or the videos'.

    Raises
    ------
    CatalogError
        The catalog has no such space, none at all, or several that can answer.
    """
    known = sorted(lake.spaces)
    if space is not None and space not in known:
        raise CatalogError(
            f"{lake.root}: the space must be one of {', '.join(known) or 'none yet'}, "
            f"but is {space!r}"
        )
    if space is not None or len(known) < 2:
        return space or lake.only_space()
    filmed = set(lake.runs()["space"].to_pylist())
    enrolled = {name for name in known if len(lake.exemplars(name))}
    wanted = (filmed & enrolled) or (enrolled if for_gallery else filmed) or set(known)
    if len(wanted) > 1:
        raise CatalogError(
            f"{lake.root}: holds faces of several models; name one space with --space: "
            f"{', '.join(sorted(wanted))}"
        )
    return wanted.pop()


def space_of(exemplars: pa.Table) -> str:
    """The space that exemplars were embedded in.

    Raises
    ------
    GalleryError
        There is no exemplar.
    """
    if not len(exemplars) or "embedding" not in exemplars.column_names:
        raise GalleryError(NOBODY)
    metadata = exemplars.schema.field("embedding").metadata or {}
    return str(metadata[b"space"].decode())


def match_gallery(lake: Lake, exemplars: pa.Table) -> pa.Table:
    """Every face's best identity: one row of `schema.SCORES` per face, by video and time.

    A face without an embedding has the score of the one that stands for it, of the same track.

    Parameters
    ----------
    exemplars
        Rows of `schema.EXEMPLARS` with their embeddings, of one space.

    Raises
    ------
    GalleryError
        Nobody is enrolled.
    CatalogError
        The catalog holds no face of the exemplars' space.
    """
    space = space_of(exemplars)
    video_ids = list(lake.iter_video_ids(space))
    if not video_ids:
        held = sorted(set(lake.runs()["space"].to_pylist()))
        if not held:
            raise CatalogError(f"{lake.root}: nothing is ingested yet; facelake ingest comes first")
        raise CatalogError(
            f"{lake.root}: the gallery's faces are of space {space}, but the videos' are of "
            f"{', '.join(held)}; embeddings of two models cannot be compared: enrol the photos "
            "with the pack that the videos were ingested with"
        )
    names, identity_of = np.unique(exemplars["identity"].to_pylist(), return_inverse=True)
    vectors = unpack_embeddings(exemplars["embedding"]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # float16 rounds the length, too
    tables = [SCORES.empty_table()]
    for video_id in video_ids:
        faces = lake.faces(video_id, space, _FACE_COLUMNS)
        faces, stands_for = _with_stand_in(faces)
        if len(faces):
            tables.append(
                _score(video_id, faces, stands_for, exemplars, vectors, identity_of, names)
            )
    return pa.concat_tables(tables)


def _with_stand_in(faces: pa.Table) -> tuple[pa.Table, npt.NDArray[np.intp]]:
    """The faces that can be scored, and among them the row whose embedding stands for each.

    A face without an embedding names the one that stands for it. Where several runs saw a video,
    that one may have been taken from another run and name a third; a name that leads nowhere
    leaves the face out.
    """
    own = np.arange(len(faces))
    known = pc.is_valid(faces["embedding"]).to_numpy()
    if known.all():
        return faces, own
    named = pc.index_in(faces["embedded_face_id"], faces["face_id"].combine_chunks())
    step = np.where(known, own, pc.fill_null(named, -1).to_numpy())
    stands_for = step
    for _ in range(_LONGEST_CHAIN):
        stands_for = np.where(stands_for >= 0, step[stands_for], -1)
    found = (stands_for >= 0) & known[stands_for]
    kept = np.flatnonzero(found)
    return faces.take(pa.array(kept)), np.searchsorted(kept, stands_for[kept])


def _score(
    video_id: str,
    faces: pa.Table,
    stands_for: npt.NDArray[np.intp],
    exemplars: pa.Table,
    vectors: npt.NDArray[np.float32],
    identity_of: npt.NDArray[np.intp],
    names: npt.NDArray[np.str_],
) -> pa.Table:
    probes, probe = np.unique(stands_for, return_inverse=True)
    match = score_identities(
        unpack_embeddings(faces["embedding"].take(pa.array(probes))),
        vectors,
        identity_of,
        n_identities=len(names),
    )
    has_runner_up = (match.runner_up >= 0)[probe]
    return pa.table(
        {
            "video_id": [video_id] * len(faces),
            "face_id": faces["face_id"],
            "pts": faces["pts"],
            "time_s": faces["time_s"],
            "identity": names[match.identity[probe]].tolist(),
            "score": match.score[probe],
            "exemplar_id": exemplars["exemplar_id"].take(match.exemplar[probe]),
            "runner_up": pa.array(names[match.runner_up[probe]], mask=~has_runner_up),
            "margin": pa.array(match.margin[probe], mask=~has_runner_up),
            "embedded_face_id": faces["face_id"].take(pa.array(stands_for)),
        },
        schema=SCORES,
    )


def find_all_spans(
    lake: Lake,
    scores: pa.Table,
    space: str,
    settings: SpanSettings,
    *,
    identities: tuple[str, ...] | None = None,
) -> pa.Table:
    """Spans of every identity in every video: rows of `schema.SPANS`, by path, time and identity.

    A face counts for the identity it is most like, and for no other.

    Parameters
    ----------
    scores
        From `match_gallery`.
    identities
        Only these; ``None`` is all.
    """
    tables = [SPANS.empty_table()]
    by_video = {row["video_id"]: row for row in lake.videos(space).to_pylist()}
    if identities is not None:
        scores = scores.filter(pc.is_in(scores["identity"], pa.array(identities, pa.string())))
    for video_id, of_video in _groups(scores, "video_id"):
        samples = lake.samples(video_id, space)
        samples = samples.filter(pc.field("status") == "ok")
        path = by_video[video_id]["paths"][0]
        for identity, found in _groups(of_video, "identity"):
            tables.append(_spans_of(video_id, path, identity, samples, found, settings))
    table = pa.concat_tables(tables)
    order = [(name, "ascending") for name in ("path", "video_id", "start_s", "identity")]
    return table.sort_by(order)


def _groups(table: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each value of a text column; sorted once, not filtered once a value."""
    encoded = table[column].combine_chunks().dictionary_encode()
    code = encoded.indices.to_numpy()
    order = np.argsort(code, kind="stable")
    table = table.take(pa.array(order))
    bounds = np.searchsorted(code[order], np.arange(len(encoded.dictionary) + 1))
    for number, value in enumerate(encoded.dictionary.to_pylist()):
        begin, end = int(bounds[number]), int(bounds[number + 1])
        yield value, table.slice(begin, end - begin)


def _spans_of(
    video_id: str,
    path: str,
    identity: str,
    samples: pa.Table,
    scores: pa.Table,
    settings: SpanSettings,
) -> pa.Table:
    time_s = samples["time_s"].to_numpy()
    score, face = best_per_sample(
        samples["pts"].to_numpy(), scores["pts"].to_numpy(), scores["score"].to_numpy()
    )
    # Samples added where something begins or ends lie closer than what was asked for.
    regular_s = samples.filter(pc.field("source") != REFINED)["time_s"].to_numpy()
    period_s = float(np.median(np.diff(regular_s))) if len(regular_s) > 1 else 0.0
    spans = find_spans(
        time_s, score, settings.rules(period_s), shown_s=samples["shown_s"].to_numpy()
    )
    best_face_id = scores["embedded_face_id"].take(pa.array(face[spans.best]))
    return pa.table(
        {
            "video_id": [video_id] * len(spans),
            "path": [path] * len(spans),
            "identity": [identity] * len(spans),
            "start_s": spans.start_s,
            "end_s": spans.end_s,
            "score_max": spans.score_max,
            "score_mean": spans.score_mean,
            "n_hits": spans.n_hits,
            "n_samples": spans.n_samples,
            "start_after_s": pa.array(spans.start_after_s, from_pandas=True),
            "end_before_s": pa.array(spans.end_before_s, from_pandas=True),
            "best_face_id": best_face_id,
            "best_time_s": scores["time_s"].take(pc.index_in(best_face_id, scores["face_id"])),
        },
        schema=SPANS,
    )
