"""Columns of the tables that are answered with and not kept in a catalog."""

from __future__ import annotations

import pyarrow as pa

# The recall audit: every face that the strongest look saw at the instants it looked at.
AUDIT_FACES = pa.schema(
    [
        pa.field("draw", pa.int64(), nullable=False),  # the instant, in AUDIT_INSTANTS
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("stratum", pa.string(), nullable=False),  # unexamined | empty | with faces
        pa.field("found", pa.bool_(), nullable=False),  # whether the catalog has it
        pa.field("det_score", pa.float32(), nullable=False),  # the best of the strong looks'
        pa.field("size_px", pa.float32(), nullable=False),  # square root of the box's area
        *[pa.field(side, pa.float32(), nullable=False) for side in ("x1", "y1", "x2", "y2")],
        pa.field("face_id", pa.string()),  # the catalog's face; null at unexamined instants
        pa.field("track_id", pa.int32()),
    ]
)

# The instants that a recall audit drew.
AUDIT_INSTANTS = pa.schema(
    [
        pa.field("draw", pa.int64(), nullable=False),  # number of the draw, from 0
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),  # as it was drawn
        pa.field("pts", pa.int64()),  # of the frame that is shown then; null where none decodes
        pa.field("stratum", pa.string(), nullable=False),
        pa.field("weight_s", pa.float64(), nullable=False),  # the archive's time it stands for
        pa.field("status", pa.string(), nullable=False),  # ok | undecodable
        pa.field("n_strong", pa.int32(), nullable=False),  # faces that the strongest look saw
        pa.field("n_missed", pa.int32(), nullable=False),  # of these, not in the catalog
        pa.field("n_known", pa.int32(), nullable=False),  # faces that the catalog has there
        pa.field("n_unconfirmed", pa.int32(), nullable=False),  # of these, not seen again
    ]
)

# What a recall audit comes to: one row a stratum, size of face, and kind of question.
AUDIT_SUMMARY = pa.schema(
    [
        pa.field("what", pa.string(), nullable=False),  # what the share is of
        pa.field("where", pa.string(), nullable=False),  # all time, a stratum, or a size of face
        pa.field("n_instants", pa.int64(), nullable=False),  # looked at again
        pa.field("n_total", pa.int64(), nullable=False),  # faces, or instants
        pa.field("n_counted", pa.int64(), nullable=False),  # of these, those the share is of
        pa.field("share", pa.float64()),  # of the archive's time, weighted; null: none to count
        pa.field("low", pa.float64()),  # ends of its 95 % interval
        pa.field("high", pa.float64()),
    ]
)

# Why a face is what it is taken for: one row an identity and exemplar.
EXPLANATION = pa.schema(
    [
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("exemplar_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),  # anchor | grown | negative | vetoed
        pa.field("photo", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)

# Why an identity is not found at an instant: one row.
WHY_NOT = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),  # as it was asked for
        pa.field("video_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("asked_s", pa.float64(), nullable=False),
        pa.field("time_s", pa.float64()),  # of the sample that speaks for it; null: none does
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("sentence", pa.string(), nullable=False),
        pa.field("face_id", pa.string()),
        pa.field("score", pa.float32()),  # of that face for the identity
    ]
)

# How long each identity is on screen, over all videos: one row an identity.
SCREEN_TIME = pa.schema(
    [
        pa.field("identity", pa.string(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),  # covered by spans, none twice
        pa.field("seconds_max", pa.float64(), nullable=False),  # to the far ends of the brackets
        pa.field("n_spans", pa.int64(), nullable=False),  # stretches of time without a gap
        pa.field("n_videos", pa.int64(), nullable=False),
        # The first and the last in order of path: nothing tells the days of two videos apart.
        pa.field("first_path", pa.string(), nullable=False),
        pa.field("first_s", pa.float64(), nullable=False),  # start of the first span there
        pa.field("last_path", pa.string(), nullable=False),
        pa.field("last_s", pa.float64(), nullable=False),  # end of the last span there
        pa.field("examined_s", pa.float64()),  # looked at in all videos; null: not asked
        pa.field("unexamined_s", pa.float64()),  # never looked at: they may be on there, too
    ]
)

# The same in each video: one row a video and identity.
SCREEN_TIME_BY_VIDEO = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        *[SCREEN_TIME.field(name) for name in ("identity", "seconds", "seconds_max", "n_spans")],
        *[SCREEN_TIME.field(name) for name in ("first_s", "last_s")],
        *[SCREEN_TIME.field(name) for name in ("examined_s", "unexamined_s")],
    ]
)

# How long two identities are on screen at the same time: one row a pair that ever is.
TOGETHER = pa.schema(
    [
        pa.field("identity_a", pa.string(), nullable=False),  # the two in order of the alphabet
        pa.field("identity_b", pa.string(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),  # both on screen
        pa.field("n_spans", pa.int64(), nullable=False),  # stretches of such time
        pa.field("n_videos", pa.int64(), nullable=False),
        pa.field("jaccard", pa.float64()),  # seconds of both / of either; null of nothing
    ]
)

# People: everybody who appears, named or not, one row each.
PEOPLE = pa.schema(
    [
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("name", pa.string()),  # from labels; null where nobody named them
        pa.field("n_tracks", pa.int64(), nullable=False),
        pa.field("n_faces", pa.int64(), nullable=False),
        pa.field("n_videos", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),  # within tracks, overlaps once
        pa.field("first_video_id", pa.string(), nullable=False),  # in order of path, then time
        pa.field("first_s", pa.float64(), nullable=False),
        pa.field("last_video_id", pa.string(), nullable=False),
        pa.field("last_s", pa.float64(), nullable=False),  # end of the last track
        pa.field("best_face_id", pa.string(), nullable=False),  # highest quality
        pa.field("best_video_id", pa.string(), nullable=False),
        pa.field("best_time_s", pa.float64(), nullable=False),
        pa.field("cos_to_mean_min", pa.float32(), nullable=False),  # the track least like the mean
        pa.field("identity", pa.string()),  # who of the gallery is most like; null without one
        pa.field("score", pa.float32()),  # of that identity
        pa.field("n_conflicts", pa.int64(), nullable=False),
    ]
)

# The tracks of people: who each track is of.
PEOPLE_TRACKS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("track_id", pa.int32(), nullable=False),
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("n_faces", pa.int32(), nullable=False),
        pa.field("best_face_id", pa.string(), nullable=False),
        pa.field("best_time_s", pa.float64(), nullable=False),
        pa.field("quality", pa.float32(), nullable=False),  # of the best face
        pa.field("cos_to_mean_min", pa.float32()),  # of the track; low: it may show two people
        pa.field("score", pa.float32(), nullable=False),  # cosine to the person's mean
    ]
)

# What labels say that does not go together.
PEOPLE_CONFLICTS = pa.schema(
    [
        # two_names | not_named | same_instant | unlike | lost
        pa.field("kind", pa.string(), nullable=False),
        pa.field("person_id", pa.string()),
        pa.field("name", pa.string(), nullable=False),
        pa.field("video_id", pa.string()),
        pa.field("track_id", pa.int32()),
        pa.field("face_id", pa.string()),
        pa.field("what", pa.string(), nullable=False),  # one sentence
    ]
)

# A search: every appearance of a face that was asked for, or every single face of it.
HITS = pa.schema(
    [
        pa.field("rank", pa.int64(), nullable=False),  # by score, from 1
        pa.field("query", pa.string(), nullable=False),  # what was asked, as a person reads it
        pa.field("query_face_id", pa.string()),  # the face that is most alike; null of a photo
        pa.field("score", pa.float32(), nullable=False),  # the best
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("track_id", pa.int32()),  # null where the face has none
        pa.field("start_s", pa.float64(), nullable=False),  # of the track; else the face's time
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("n_faces", pa.int64(), nullable=False),  # that score enough
        pa.field("best_face_id", pa.string(), nullable=False),
        pa.field("best_time_s", pa.float64(), nullable=False),
    ]
)

# Footage that two videos share, as their faces tell.
COPIES = pa.schema(
    [
        pa.field("video_a", pa.string(), nullable=False),
        pa.field("path_a", pa.string(), nullable=False),
        pa.field("start_a_s", pa.float64(), nullable=False),  # the first face that matches
        pa.field("end_a_s", pa.float64(), nullable=False),  # the last one
        pa.field("video_b", pa.string(), nullable=False),
        pa.field("path_b", pa.string(), nullable=False),
        pa.field("start_b_s", pa.float64(), nullable=False),
        pa.field("end_b_s", pa.float64(), nullable=False),
        pa.field("offset_s", pa.float64(), nullable=False),  # time in b − rate × time in a
        pa.field("rate", pa.float64(), nullable=False),  # seconds of b a second of a
        pa.field("shared_s", pa.float64(), nullable=False),  # seconds of a, at least
        pa.field("share", pa.float64(), nullable=False),  # of the shorter's time with faces
        pa.field("n_matched", pa.int64(), nullable=False),
        pa.field("n_compared", pa.int64(), nullable=False),  # there in both at that time and place
        pa.field("score", pa.float32(), nullable=False),  # median cosine of the matched
        pa.field("verdict", pa.string(), nullable=False),  # same | overlap
    ]
)


def _rate(name: str) -> list[pa.Field]:
    """A rate in [0, 1] and its 95 % interval; null where there is no pair to tell it from."""
    return [pa.field(name + end, pa.float64()) for end in ("", "_low", "_high")]


# Error rates of an archive at each threshold (ISO/IEC 19795-1), from its own faces.
CALIBRATION = pa.schema(
    [
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("n_impostor", pa.int64(), nullable=False),  # pairs of faces of two people
        pa.field("n_false_matches", pa.int64(), nullable=False),  # of these, at the threshold or up
        *_rate("fmr"),
        # Pairs of one track, about so far apart in time, and the share of them below the threshold.
        pa.field("n_genuine_500ms", pa.int64(), nullable=False),
        *_rate("fnmr_500ms"),
        pa.field("n_genuine_5s", pa.int64(), nullable=False),
        *_rate("fnmr_5s"),
        pa.field("n_genuine_30s", pa.int64(), nullable=False),
        *_rate("fnmr_30s"),
        # Of two tracks that were linked by their own scores: too good to be true.
        pa.field("n_genuine_across_shots", pa.int64(), nullable=False),
        *_rate("fnmr_across_shots"),
    ]
)

# reference: at least one face of reference quality, what thresholds are chosen by; poor: none
_PAIRS = pa.field("pairs", pa.string(), nullable=False)

# The same by quality of the poorer face of each pair.
CALIBRATION_BY_QUALITY = pa.schema(
    [
        _PAIRS,
        pa.field("quality_from", pa.float64(), nullable=False),
        pa.field("quality_to", pa.float64(), nullable=False),  # the bin is half-open but for 1
        *CALIBRATION,
    ]
)

# The same by size of the smaller face of each pair.
CALIBRATION_BY_SIZE = pa.schema(
    [
        _PAIRS,
        pa.field("size_from_px", pa.float64(), nullable=False),
        pa.field("size_to_px", pa.float64()),  # null: no end
        *CALIBRATION,
    ]
)

# Which threshold gives a wanted false match rate; null where the archive cannot tell.
THRESHOLD_CHOICES = pa.schema(
    [
        pa.field("wanted_fmr", pa.float64(), nullable=False),
        pa.field("threshold", pa.float64()),  # the lowest whose FMR is at most the wanted one
        pa.field("threshold_low", pa.float64()),  # its 95 % bootstrap interval
        pa.field("threshold_high", pa.float64()),
        *_rate("fmr"),
        *_rate("fnmr_500ms"),
        *_rate("fnmr_5s"),
        *_rate("fnmr_30s"),
        *_rate("fnmr_across_shots"),
        pa.field("n_impostor", pa.int64(), nullable=False),
        pa.field("n_false_matches", pa.int64()),
        pa.field("n_effective", pa.int64()),  # as how many independent pairs these count
        pa.field("n_false_track_pairs", pa.int64()),  # pairs of tracks of the false matches
        pa.field("why", pa.string()),  # there is no threshold, for a person
    ]
)

# The pairs of tracks of one frame that are most alike, and those that were set apart.
LOOK_ALIKES = pa.schema(
    [
        # counted; or set apart: one person seen twice | boxes overlap
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),  # of the two faces that are most alike
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("other_face_id", pa.string(), nullable=False),
        pa.field("other_time_s", pa.float64(), nullable=False),
        pa.field("n_pairs", pa.int64(), nullable=False),  # of faces, of these two tracks
    ]
)

# A threshold sweep: one row a video, identity and threshold. Pairs of which no face reaches the
# lowest threshold have no rows.
SWEEP = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("n_faces", pa.int64(), nullable=False),  # at or above the threshold
        pa.field("n_tracks", pa.int64(), nullable=False),  # with such a face
        pa.field("n_spans", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),  # of the spans together
    ]
)

# The same over all videos: one row an identity and threshold.
SWEEP_TOTALS = pa.schema(
    [
        SWEEP.field("identity"),
        SWEEP.field("threshold"),
        pa.field("n_videos", pa.int64(), nullable=False),  # with a span
        *[SWEEP.field(name) for name in ("n_faces", "n_tracks", "n_spans", "seconds")],
    ]
)

# The widest range of thresholds over which an identity has as many spans in every video.
SWEEP_PLATEAUS = pa.schema(
    [
        pa.field("identity", pa.string(), nullable=False),
        pa.field("low_threshold", pa.float64(), nullable=False),
        pa.field("high_threshold", pa.float64(), nullable=False),
        pa.field("n_videos", pa.int64(), nullable=False),
        pa.field("n_spans", pa.int64(), nullable=False),
        pa.field("seconds_at_low", pa.float64(), nullable=False),
        pa.field("seconds_at_high", pa.float64(), nullable=False),
    ]
)

# The thresholds over which each span is there on its own: low_threshold < t <= high_threshold.
SPAN_LIVES = pa.schema(
    [
        pa.field("life_id", pa.int64(), nullable=False),
        # The life that goes on where this span becomes part of it; null: it is there at the
        # lowest threshold of the sweep, too.
        pa.field("parent_id", pa.int64()),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("high_threshold", pa.float64(), nullable=False),
        pa.field("low_threshold", pa.float64(), nullable=False),
        pa.field("persistence", pa.float64(), nullable=False),  # high − low
        pa.field("start_s", pa.float64(), nullable=False),  # at its widest, just above the low
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("best_face_id", pa.string(), nullable=False),
        pa.field("best_time_s", pa.float64(), nullable=False),
    ]
)

# A sweep over more than the threshold: one row a combination, video, identity and threshold.
SWEEP_GRID = pa.schema(
    [
        pa.field("sample_fps", pa.float64()),  # null: every sample of the catalog
        pa.field("min_quality", pa.float64(), nullable=False),
        pa.field("min_det_score", pa.float64(), nullable=False),
        pa.field("min_size_px", pa.float64(), nullable=False),
        pa.field("exit_threshold", pa.float64()),  # null: the threshold
        pa.field("min_hits", pa.int64(), nullable=False),
        pa.field("miss_s", pa.float64()),  # null: 1 s and at least one missed sample
        pa.field("blind_s", pa.float64()),  # null: 2 s and at least the sampling period
        pa.field("bridge_s", pa.float64(), nullable=False),
        pa.field("min_span_s", pa.float64(), nullable=False),
        *SWEEP,
    ]
)

# What spans are worth by a truth: one row a person and video, and their sums.
EVALUATION = pa.schema(
    [
        # each: a person in a video; identity, video: over all of the other; all: everything
        pa.field("level", pa.string(), nullable=False),
        pa.field("video", pa.string()),  # file name; null: over all videos
        pa.field("identity", pa.string()),  # null: over all people
        pa.field("truth_s", pa.float64(), nullable=False),  # should be found: right + missed
        pa.field("found_s", pa.float64(), nullable=False),  # is found: right + false
        pa.field("right_s", pa.float64(), nullable=False),
        pa.field("missed_s", pa.float64(), nullable=False),
        pa.field("false_s", pa.float64(), nullable=False),
        pa.field("precision", pa.float64()),  # rates are null where there is nothing to count
        pa.field("recall", pa.float64()),
        pa.field("f1", pa.float64()),
        pa.field("n_truth_spans", pa.int64(), nullable=False),
        pa.field("n_found_spans", pa.int64(), nullable=False),
        pa.field("n_matched", pa.int64(), nullable=False),
        pa.field("span_precision", pa.float64()),
        pa.field("span_recall", pa.float64()),
        pa.field("span_f1", pa.float64()),
        *[
            field
            for edge in ("start", "end")
            for field in (
                pa.field(f"n_{edge}s", pa.int64(), nullable=False),  # of matched spans, measured
                pa.field(f"{edge}_error_median_s", pa.float64()),  # of the absolute error
                pa.field(f"{edge}_error_p90_s", pa.float64()),
                pa.field(f"{edge}_bias_s", pa.float64()),  # mean of found - truth: positive is late
            )
        ],
    ]
)

# Which spans of a truth and of those found are each other's.
SPAN_MATCHES = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),  # matched | missed | false | left out
        pa.field("truth_start_s", pa.float64()),
        pa.field("truth_end_s", pa.float64()),
        pa.field("found_start_s", pa.float64()),
        pa.field("found_end_s", pa.float64()),
        pa.field("iou", pa.float64()),  # over the time that counts
        pa.field("start_error_s", pa.float64()),  # found - truth: positive is late
        pa.field("end_error_s", pa.float64()),
    ]
)

# Labelled pairs of pictures.
PAIRS = pa.schema(
    [
        pa.field("image_a", pa.string(), nullable=False),
        pa.field("image_b", pa.string(), nullable=False),
        pa.field("same", pa.bool_(), nullable=False),  # whether they show one person
        pa.field("fold", pa.int32()),
        pa.field("score", pa.float32()),  # null before they are compared, and where one failed
    ]
)

# The pictures of such pairs, and the face of each that was taken.
PICTURES = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("n_faces", pa.int32(), nullable=False),
        pa.field("error", pa.string()),  # why it could not be enrolled
        pa.field("bbox_xyxy", pa.list_(pa.float32(), 4)),  # of the face nearest to its centre
        pa.field("det_score", pa.float32()),
    ]
)

_PAIR_ERRORS = (
    pa.field("n_impostor", pa.int64(), nullable=False),  # pairs of two people
    pa.field("n_false_matches", pa.int64()),  # of these, with a score from the threshold on
    pa.field("fmr", pa.float64()),
    pa.field("n_genuine", pa.int64(), nullable=False),  # pairs of one person
    pa.field("n_false_non_matches", pa.int64()),  # of these, with a score below the threshold
    pa.field("fnmr", pa.float64()),
)

# ROC and DET of labelled pairs: one row for each threshold at which something changes.
PAIR_CURVE = pa.schema([pa.field("threshold", pa.float64(), nullable=False), *_PAIR_ERRORS])

# Error rates of labelled pairs at given thresholds, and for wanted false match rates.
PAIR_RATES = pa.schema(
    [
        pa.field("wanted_fmr", pa.float64()),  # null at a given threshold
        pa.field("n_allowed", pa.int64()),  # false matches that the wanted FMR allows
        pa.field("threshold", pa.float64()),  # null where the pairs cannot carry the wanted FMR
        *_PAIR_ERRORS,
        *[
            pa.field(name, pa.float64())  # ends of the Clopper-Pearson interval
            for name in ("fmr_low", "fmr_high", "fnmr_low", "fnmr_high")
        ],
        pa.field("note", pa.string()),
    ]
)

# Accuracy of labelled pairs by folds, each at the threshold that is best on the others.
PAIR_FOLDS = pa.schema(
    [
        pa.field("fold", pa.int32(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("n_pairs", pa.int64(), nullable=False),
        pa.field("n_right", pa.int64(), nullable=False),
        pa.field("accuracy", pa.float64(), nullable=False),
    ]
)

# Who is in the gallery and whom each of them is like: one row an exemplar.
GALLERY_MEMBERS = pa.schema(
    [
        pa.field("exemplar_id", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),  # anchor | grown | negative | vetoed
        pa.field("photo", pa.string(), nullable=False),
        pa.field("quality", pa.float32(), nullable=False),
        pa.field("to_anchors", pa.float32()),  # best score with another anchor of its identity
        pa.field("nearest", pa.string()),  # of the other identities, the one it is most like
        pa.field("to_nearest", pa.float32()),  # best score with that one
        pa.field("note", pa.string()),  # what a person should know of it, or against it
        pa.field("face_id", pa.string()),  # of a face of the lake, as the next two
        pa.field("video_id", pa.string()),
        pa.field("time_s", pa.float64()),
        pa.field("score", pa.float32()),  # with the anchors when it was grown
        pa.field("margin", pa.float32()),
        pa.field("added_utc", pa.timestamp("ms", tz="UTC")),
    ]
)

# What each member of the gallery does today; null where it is not compared.
GALLERY_AUDIT = pa.schema(
    [
        *GALLERY_MEMBERS,
        pa.field("n_faces", pa.int64()),  # faces of its identity that it brings in
        pa.field("n_alone", pa.int64()),  # of these, those that no other exemplar would
    ]
)

# Faces of the archive that are, or would be, added to the gallery.
GROWTH = pa.schema(
    [
        pa.field("exemplar_id", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("track_id", pa.int32()),
        pa.field("quality", pa.float32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),  # best score with an anchor
        pa.field("margin", pa.float32()),  # that minus the best with anybody else
        pa.field("likeness", pa.float32(), nullable=False),  # with the nearest exemplar there was
    ]
)

# Who each track is and how sure that is: one row a track, or a face of none.
DECISIONS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("track_id", pa.int32()),  # null: one face that is of no track
        pa.field("identity", pa.string()),  # most like; null where negatives rule out everybody
        pa.field("tier", pa.string(), nullable=False),  # certain | likely | unknown | conflict
        pa.field("rule", pa.string(), nullable=False),  # what the tier rests on
        pa.field("score", pa.float32()),  # of the best face
        pa.field("score_mean", pa.float32()),  # of the faces that were asked
        pa.field("margin", pa.float32()),  # that minus the runner-up's; null with one identity
        pa.field("runner_up", pa.string()),
        pa.field("n_faces", pa.int64(), nullable=False),  # embedded ones, all that were compared
        pa.field("seconds", pa.float64(), nullable=False),
        # Score in standard deviations above that of strangers; null where too few are known.
        pa.field("z_score", pa.float64()),
        pa.field("rank", pa.int64()),  # place of the score among all faces', 1: none is higher
        pa.field("n_ranked", pa.int64(), nullable=False),  # faces it was ranked among
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("best_face_id", pa.string(), nullable=False),
    ]
)
